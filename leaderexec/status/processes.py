"""Resource usage of the command's tree, from psutil. Collected on request, and at most once a
second however many requests there are; of a large tree less often, since health checks are answered
by the same thread."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import psutil

from leaderexec.status.snapshot import Snapshot

FRESH_FOR = 1.0
# A look is used for this many times as long as it took.
SHARE = 10


class Process(NamedTuple):
    """A process below leaderexec; memory in bytes, CPU time in seconds."""

    pid: int
    parent: int
    state: str
    command: str
    resident_memory_bytes: int
    cpu_seconds: float


class Processes:
    """The command's tree. For use by a single thread."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, show_command: bool = False
    ) -> None:
        """Without `show_command` a process is shown by its name: arguments may contain secrets."""
        self._clock = clock
        self._show_command = show_command
        self._self = psutil.Process()
        self._looked_at: float | None = None
        self._fresh_for = FRESH_FOR
        self._pid: int | None = None
        self._found: list[Process] = []

    def tree(self, now: Snapshot) -> list[Process]:
        """Return the tree, parents before children; empty while nothing runs (the process that is
        forked ahead of time is not the command yet)."""
        if now.state.run is None:
            return []
        began = self._clock()
        stale = self._looked_at is None or began - self._looked_at >= self._fresh_for
        if stale or self._pid != now.pid:
            self._found = self._look(now.apart)
            self._looked_at, self._pid = self._clock(), now.pid
            self._fresh_for = max(FRESH_FOR, SHARE * (self._looked_at - began))
        return self._found

    def _look(self, groups: frozenset[int]) -> list[Process]:
        """Look at all but what runs beside the command, and what that has started."""
        found: list[Process] = []
        apart = set(groups)
        with suppress(psutil.Error, OSError):
            for one in self._self.children(recursive=True):
                # It may exit in the meantime.
                with suppress(psutil.Error, OSError), one.oneshot():
                    if one.pid in apart or one.ppid() in apart:
                        apart.add(one.pid)
                        continue
                    times = one.cpu_times()
                    line = " ".join(one.cmdline()) if self._show_command else ""
                    found.append(
                        Process(
                            one.pid,
                            one.ppid(),
                            one.status(),
                            line or f"[{one.name()}]",
                            one.memory_info().rss,
                            round(times.user + times.system, 3),
                        )
                    )
        return found
