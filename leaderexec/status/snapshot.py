"""What the deciding thread publishes for others to read. No other thread ever touches the state
that decisions are based on."""

import threading
from collections.abc import Callable, Mapping

from leaderexec.core.lifecycle import State
from leaderexec.core.record import Record
from leaderexec.status.counters import Counters


class Snapshot(Record):
    """The deciding thread's state at one time; times are on its clock. `pid` is the command's or
    the hook's, None while nothing runs; `apart` are the process groups of what runs beside it.
    `said` is the command's STATUS, by sd_notify(3). `changes` counts what became of those that
    --on-change is told."""

    state: State
    role_since: float
    pid: int | None
    counters: Counters
    apart: frozenset[int] = frozenset()
    said: str = ""
    changes: Mapping[str, int] | None = None


class Published:
    """The latest snapshot, and whether the main loop responds."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """`wake` makes the main loop run once."""
        self._wake = wake
        self._turned = threading.Event()
        self._news: Callable[[], None] | None = None
        self.latest = Snapshot(State(), 0.0, None, Counters())

    def publish(self, snapshot: Snapshot) -> None:
        """Publish a snapshot: the loop has run."""
        self.latest = snapshot
        self._turned.set()
        if (news := self._news) is not None:
            news()

    def follow(self, news: Callable[[], None] | None) -> None:
        """Call `news` after each snapshot from now on, in the deciding thread: it must not wait.
        None: no longer."""
        self._news = news

    def turns(self, timeout: float) -> bool:
        """Make the main loop run; return whether it did within `timeout` seconds. For use by a
        single thread."""
        self._turned.clear()
        self._wake()
        return self._turned.wait(timeout)
