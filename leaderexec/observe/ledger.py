"""What this wrapper has seen and done, counted. The deciding thread alone writes it; others get
copies that never change.
"""

import copy
from bisect import bisect_left
from collections import Counter, deque
from datetime import datetime
from typing import NamedTuple

from leaderexec.core import events
from leaderexec.core.machine import Phase, State
from leaderexec.core.naming import signal_name

REMEMBERED = 10
# Seconds. A takeover takes milliseconds or the delay that was asked for; a stop up to its grace.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0)
# Every word that `cause` says: they are values of a label.
CAUSES = (
    *("won", "moved", "unconfirmed", "told", "restart", "command-ended", "tree-gone"),
    *("grace-over", "start-failed", "hook-ended", "hook-timeout", "due"),
)
_SIGNALLED = 128
_HOOK_RUNS = (Phase.PREPARING, Phase.CLEANING)
_RUNS = (Phase.PREPARING, Phase.UP)


class Transition(NamedTuple):
    """One change of role, as it was logged."""

    at: datetime
    from_role: str
    to_role: str
    term: int
    reason: str
    after_seconds: float


class Durations:
    """A histogram of seconds: how many were up to each of BUCKETS, and beyond."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Take one duration in."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds

    def copied(self) -> "Durations":
        """Return a copy that stays as it is."""
        new = copy.copy(self)
        new.counts = self.counts.copy()
        return new


class Ledger:
    """Counters since the wrapper began, and the last transitions.

    `exits` counts by (code, signal), one of them empty; `transitions` by (role, cause).
    """

    def __init__(self) -> None:
        self.connects = 0
        self.announcements = 0
        self.polls = 0
        self.starts = 0
        self.start_failures = 0
        self.killed = 0
        self.exits: Counter[tuple[str, str]] = Counter()
        self.hook_failures: Counter[str] = Counter()
        self.transitions: Counter[tuple[str, str]] = Counter()
        self.last_transitions: deque[Transition] = deque(maxlen=REMEMBERED)
        self.takeovers = Durations()
        self.stops = Durations()
        self._won_at: float | None = None
        self._stopping_since: float | None = None

    def copied(self) -> "Ledger":
        """Return a copy that stays as it is."""
        new = copy.copy(self)
        new.exits = self.exits.copy()
        new.hook_failures = self.hook_failures.copy()
        new.transitions = self.transitions.copy()
        new.last_transitions = self.last_transitions.copy()
        new.takeovers = self.takeovers.copied()
        new.stops = self.stops.copied()
        return new

    def count(self, before: State, event: events.Event, after: State, now: float) -> None:
        """Count an event and what it led to."""
        match event:
            case events.StreamOpened():
                self.connects += 1
            case events.Announced():
                self.announcements += 1
            case events.Polled():
                self.polls += 1
            case events.StartFailed():
                self.start_failures += 1
            case events.Exited(code):
                self.exits[_code_and_signal(code)] += 1
        self._time_takeover(before, after, now)
        self._time_stop(before, after, now)

    def transition(
        self, told: Transition, before: State, event: events.Event, after: State
    ) -> None:
        """Count a change of role, and remember it."""
        self.transitions[told.to_role, cause(before, event, after)] += 1
        self.last_transitions.append(told)

    def _time_takeover(self, before: State, after: State, now: float) -> None:
        if after.term != before.term:
            self._won_at = now
        if after.phase is Phase.UP and before.phase is not Phase.UP:
            self.starts += 1
            if self._won_at is not None:
                self.takeovers.add(now - self._won_at)
                self._won_at = None

    def _time_stop(self, before: State, after: State, now: float) -> None:
        if before.phase is Phase.UP and after.phase in (Phase.TERMINATING, Phase.KILLING):
            self._stopping_since = now
        if self._stopping_since is not None and after.phase in (Phase.DOWN, Phase.CLEANING):
            self.stops.add(now - self._stopping_since)
            self._stopping_since = None
        elif before.phase is Phase.UP and after.phase in (Phase.DOWN, Phase.CLEANING):
            self.stops.add(0.0)


def cause(before: State, event: events.Event, after: State) -> str:
    """Return in one of a few words why the role changed."""
    if before.told is None and after.told is not None:
        return "told"
    if after.phase is Phase.KILLING and before.phase is not Phase.KILLING:
        return "hook-timeout" if before.phase in _HOOK_RUNS else "grace-over"
    if after.term != before.term:
        return "won"
    if before.belief.confirmed and not after.belief.confirmed:
        return "unconfirmed"
    if isinstance(event, events.Tick) and after.phase in _RUNS:
        return "restart" if before.attempt else "won"
    return _CAUSES.get(type(event), "due")


_CAUSES: dict[type[events.Event], str] = {
    events.Exited: "command-ended",
    events.HookEnded: "hook-ended",
    events.StartFailed: "start-failed",
    events.TreeGone: "tree-gone",
    events.Announced: "moved",
    events.Polled: "moved",
}


def _code_and_signal(code: int) -> tuple[str, str]:
    if code > _SIGNALLED:
        return "", signal_name(code - _SIGNALLED)
    return str(code), ""
