"""What the tests of real processes share, in addition to what any plug-in's have."""

import sys
from pathlib import Path

from leaderexec.logs import Log
from leaderexec.testing.processes import (
    BIN,
    LEADEREXEC,
    MARK,
    PATIENCE,
    Wrapper,
    alive,
    command_line,
    marked,
    wait_for,
)

__all__ = [
    "BIN",
    "LEADEREXEC",
    "MARK",
    "PATIENCE",
    "Kept",
    "Wrapper",
    "alive",
    "command_line",
    "is_held",
    "marked",
    "wait_for",
    "waits_in_flock",
    "without_threads",
]

_WITHOUT_THREADS = """
import sys, threading
start, refused = threading.Thread.start, sys.argv.pop(1)
def started(thread):
    if refused in (thread.name, "all"):
        raise RuntimeError("can't start new thread")
    start(thread)
threading.Thread.start = started
sys.argv[0] = "leaderexec"
from leaderexec.__main__ import main
main()
"""


class Kept(Log):
    """A log that keeps its lines."""

    def __init__(self) -> None:
        super().__init__("debug", "json")
        self.lines: list[tuple[str, dict[str, object]]] = []

    def log(self, level: str, event: str, **fields: object) -> None:
        """Keep the line."""
        del level
        self.lines.append((event, fields))


def is_held(pid: int) -> bool:
    """Return whether every thread of a process is stopped."""
    states = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(state.rpartition(")")[2].split()[0] == "T" for state in states)


def waits_in_flock(pid: int) -> bool:
    """Return whether a process is blocked on a lock (proc_locks(5))."""
    waiting = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return any(words[1] == "->" and words[5] == str(pid) for words in waiting)


def without_threads(refused: str) -> tuple[str, ...]:
    """Return a leaderexec that can create no thread of this name ("all": none)."""
    return (sys.executable, "-c", _WITHOUT_THREADS, refused)
