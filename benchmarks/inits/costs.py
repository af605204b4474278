"""What the wrapper costs, and what only tini can do; shown, but not compared: leaderexec loses
all of it."""

import re
import statistics
import time
from importlib.metadata import distribution
from pathlib import Path

from inits.programs import OURS, Program
from inits.running import Running
from inits.table import Cell, Row, yes

TRIES = 10
_SIZE = (
    "Without what an image may contain anyway: the C library and, for leaderexec, Python itself."
    " leaderexec's figure includes the packages that it needs, without their compiled files."
)
_REMAPPED = "`tini -e 143`, with a command that exits with 143; the others have no such option."


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


def _size(program: Program) -> Cell:
    files = _files("leaderexec", set()) if program == OURS else {Path(program.file or "")}
    size = sum(file.stat().st_size for file in files)
    return Cell(f"{size / 1000:,.0f} kB")


def _files(name: str, seen: set[str]) -> set[Path]:
    """Return the files of a package and of its dependencies. An editable installation does not list
    its files, so its folder is searched."""
    seen.add(name)
    found = distribution(name)
    if name == "leaderexec":
        import leaderexec

        files = set(Path(leaderexec.__file__).parent.rglob("*"))
    else:
        files = {Path(str(found.locate_file(file))) for file in found.files or ()}
    for needed in found.requires or ():
        other = re.split(r"[^\w.-]", needed, maxsplit=1)[0].lower()
        if "extra ==" not in needed and other not in seen:
            files |= _files(other, seen)
    return {file for file in files if file.is_file() and file.suffix != ".pyc"}


def _remapped(program: Program) -> Cell:
    """Return whether 143 can be turned into 0. A program without the option refuses it."""
    with Running(program, ["sh", "-c", "exit 143"], options=["-e", "143"]) as running:
        cell = yes(running.process.wait() == 0)
    return Cell(cell.text)


ROWS = (
    Row("an exit code can be reported as 0 (`-e`)", _remapped, _REMAPPED),
    Row("size on disk", _size, _SIZE),
    Row("resident memory", _resident),
    Row("`WRAPPER true`, start to end", _start_up),
)
