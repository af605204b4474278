"""What one process uses, as the kernel counts it (proc(5))."""

import os
from pathlib import Path
from typing import NamedTuple

_KILOBYTE = 1024
_TICKS = os.sysconf("SC_CLK_TCK")


class Sample(NamedTuple):
    """A process at `at`, in seconds since the start. Memory is in bytes: shared pages count in
    `proportional` by their share, and not at all in `private`. `busy`, in ms, and `logged`, in bytes,
    are totals so far, as is `moves`, how often leadership was moved in this scene; `children` counts
    zombies, too."""

    scene: str
    name: str
    at: float
    resident: int
    proportional: int
    private: int
    descriptors: int
    threads: int
    children: int
    busy: float
    logged: int
    moves: int


def taken(scene: str, name: str, at: float, pid: int, logged: int, moves: int) -> Sample:
    """Sample this process. Raises OSError if there is none."""
    root = Path(f"/proc/{pid}")
    pages = _memory((root / "smaps_rollup").read_text())
    return Sample(
        scene,
        name,
        at,
        pages["Rss"],
        pages["Pss"],
        pages["Private_Clean"] + pages["Private_Dirty"],
        len(list((root / "fd").iterdir())),
        len(list((root / "task").iterdir())),
        # Only the main thread forks.
        len((root / "task" / str(pid) / "children").read_text().split()),
        _busy((root / "stat").read_text()),
        logged,
        moves,
    )


def _memory(text: str) -> dict[str, int]:
    rows = (line.split() for line in text.splitlines()[1:])
    return {row[0].rstrip(":"): int(row[1]) * _KILOBYTE for row in rows}


def _busy(text: str) -> float:
    """Return user and system time, also of threads that have ended, without children's."""
    user, system = text.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) * 1000 / _TICKS
