"""What the wrapper costs; shown, not compared: two of them are a page of C."""

import statistics
import time
from pathlib import Path

from inits.programs import Program
from inits.running import Running
from inits.table import Cell, Row

TRIES = 10


def _resident(program: Program) -> Cell:
    command = ["sh", "-c", "echo '<ready>'; read line"]
    with Running(program, command) as running:
        running.said("<ready>")
        for line in Path(f"/proc/{running.pid()}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return Cell(f"{int(line.split()[1]) / 1024:.1f} MB")
    return Cell("?")


def _once(program: Program) -> float:
    began = time.perf_counter()
    with Running(program, ["true"]) as running:
        running.process.wait()
        return time.perf_counter() - began


def _start_up(program: Program) -> Cell:
    return Cell(f"{statistics.median(_once(program) for _ in range(TRIES)) * 1000:.0f} ms")


ROWS = (
    Row("resident memory *(not compared)*", _resident),
    Row("`WRAPPER true`, start to end *(not compared)*", _start_up),
)
