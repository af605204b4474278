"""Start-up, idle wake-ups, memory, log overhead: medians next to baselines from the same run.

Needs the program installed as users have it, compiled and not editable: see `make bench`.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from wire import Wire

HERE = Path(__file__).parent
ME, RIVAL = "app-a", "app-b"


class Table:
    """Rows of medians, printed as they are measured."""

    def __init__(self) -> None:
        print("| what | median | p95 | n | ratio |")
        print("|---|---|---|---|---|")

    def row(
        self, what: str, samples: Iterable[float], unit: str, base: float | None = None
    ) -> float:
        """Print one row; return its median."""
        ordered = sorted(samples)
        median = statistics.median(ordered)
        p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
        ratio = f"{median / base:.1f} x" if base else ""
        print(
            f"| {what} | {median:.2f} {unit} | {p95:.2f} {unit} | {len(ordered)} | {ratio} |",
            flush=True,
        )
        return median


def clean_environment() -> dict[str, str]:
    """Return the environment of the measured programs: compiled files may be used and written."""
    kept = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("ELECTOR_", "LEADEREXEC_", "PYTHON"))
    }
    # The time from the announcement to the command is measured, not the delay in between.
    return kept | {"LEADEREXEC_TAKEOVER_DELAY": "0s"}


def milliseconds(later: int, earlier: int) -> float:
    """Return a difference of nanoseconds in milliseconds."""
    return (later - earlier) / 1e6


class Wrapped:
    """A running leaderexec around the stamp program."""

    def __init__(self, program: str, wire: Wire, stamp: str, *options: str) -> None:
        self.began = time.monotonic_ns()
        self.process = subprocess.Popen(
            [program, "--get-url", wire.url, "--identity", ME, *options, "--", stamp],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=clean_environment(),
        )

    def stamp(self) -> int:
        """Wait for the command's next stamp."""
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def end(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.communicate()


def start_to_subscribed(table: Table, program: str, stamp: str, count: int) -> None:
    """Time from the fork of leaderexec to its GET /sse, next to Python's own start and imports."""
    python = str(Path(program).with_name("python"))
    bare = table.row("`python -c pass`", whole_runs([python, "-c", "pass"], count), "ms")
    libraries = "import requests, sseclient, structlog"
    table.row(
        "`python -c 'import requests'`",
        whole_runs([python, "-c", "import requests"], count),
        "ms",
        bare,
    )
    table.row(
        f"`python -c '{libraries}'`", whole_runs([python, "-c", libraries], count), "ms", bare
    )
    wire = Wire(RIVAL)
    samples = []
    for _ in range(count):
        before = wire.subscriptions
        wrapped = Wrapped(program, wire, stamp)
        samples.append(milliseconds(wire.wait_subscribed(before + 1), wrapped.began))
        wrapped.end()
        wire.hang_up()
    table.row("start to subscribed", samples, "ms", bare)
    for arguments in (["--version"], ["--election", "off", "--", "true"]):
        table.row(
            f"`leaderexec {' '.join(arguments)}`",
            whole_runs([program, *arguments], count),
            "ms",
            bare,
        )
    for init, words in (("tini", ["--", "true"]), ("dumb-init", ["true"])):
        if shutil.which(init):
            table.row(f"`{init} {' '.join(words)}`", whole_runs([init, *words], count), "ms", bare)


def whole_runs(command: list[str], count: int) -> list[float]:
    """Time a command from start to end."""
    samples = []
    for _ in range(count):
        began = time.monotonic_ns()
        subprocess.run(command, env=clean_environment(), check=True, capture_output=True)
        samples.append(milliseconds(time.monotonic_ns(), began))
    return samples


def moves(wire: Wire, wrapped: Wrapped, count: int) -> tuple[list[float], list[float]]:
    """Move leadership back and forth; return the ms from announcement to exec, and to SIGTERM."""
    starts, stops = [], []
    for _ in range(count):
        announced = wire.announce(ME)
        starts.append(milliseconds(wrapped.stamp(), announced))
        time.sleep(0.02)
        announced = wire.announce(RIVAL)
        stops.append(milliseconds(wrapped.stamp(), announced))
        # On standby again, with the next process forked ahead of time.
        time.sleep(0.05)
    return starts, stops


def idle(program: str, stamp: str, seconds: float) -> None:
    """Count the wake-ups of a standby, with and without polling."""
    for interval in ("5s", "off"):
        wire = Wire(RIVAL)
        wrapped = Wrapped(program, wire, stamp, "--poll-interval", interval)
        wire.wait_subscribed(1)
        time.sleep(2.5)
        polls, before = wire.polls, switches(wrapped.process.pid)
        time.sleep(seconds)
        woken = switches(wrapped.process.pid) - before
        print(
            f"idle, --poll-interval {interval}: {woken} context switches in {seconds:g}s,"
            f" {wire.polls - polls} polls"
        )
        if interval == "off":
            print(f"memory in standby: {memory(wrapped.process.pid)}")
            for child in children(wrapped.process.pid):
                print(f"memory of the process forked ahead: {memory(child)}")
            wire.announce(ME)
            wrapped.stamp()
            time.sleep(0.5)
            print(f"memory while leading: {memory(wrapped.process.pid)}")
        wrapped.end()


def switches(pid: int) -> int:
    """Return the context switches of all threads, voluntary or not."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        total += sum(map(int, re.findall(r"ctxt_switches:\s+(\d+)", status.read_text())))
    return total


def children(pid: int) -> list[int]:
    """Return the children of a process."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in found.split()]


def memory(pid: int) -> str:
    """Return resident, proportional and private memory in MB."""
    resident = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    shares = re.search(r"Pss:\s+(\d+)", rollup)
    private = sum(map(int, re.findall(r"Private_\w+:\s+(\d+)", rollup)))
    assert resident and shares  # noqa: PT018
    megabytes = [int(resident[1]) / 1024, int(shares[1]) / 1024, private / 1024]
    return "{:.1f} MB resident, {:.1f} MB proportional, {:.1f} MB private".format(*megabytes)


def log_overhead(table: Table) -> None:
    """Time what a log line costs the main thread, next to a bare write of such a line."""
    from leaderexec.logs import Log

    log = Log("info", "json", identity=ME)
    devnull = os.open(os.devnull, os.O_WRONLY)
    line = b'{"event": "command started", "identity": "app-a", "pid": 12345, "term": 1}\n'

    def batch(call: Callable[[], object]) -> float:
        began = time.perf_counter_ns()
        for _ in range(100):
            call()
        return (time.perf_counter_ns() - began) / 100 / 1000

    base = table.row(
        "a bare write", [batch(lambda: os.write(devnull, line)) for _ in range(50)], "us"
    )
    table.row(
        "a log line, in the deciding thread",
        [batch(lambda: log.info("command started", pid=12345, term=1)) for _ in range(50)],
        "us",
        base,
    )
    os.close(devnull)


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default=str(Path(sys.executable).with_name("leaderexec")))
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    count = 7 if arguments.quick else 25
    with tempfile.TemporaryDirectory() as folder:
        stamp = str(Path(folder) / "stamp")
        subprocess.run(["cc", "-static", "-O1", "-o", stamp, HERE / "stamp.c"], check=True)
        table = Table()
        start_to_subscribed(table, arguments.program, stamp, count)
        log_overhead(table)
        print()
        idle(arguments.program, stamp, 6 if arguments.quick else 30)


if __name__ == "__main__":
    main()
