"""Counters of what this leaderexec has seen and done. Only the deciding thread writes them; others
get copies that never change.
"""

from bisect import bisect_left
from collections import Counter, deque

from leaderexec.core import events
from leaderexec.core.actions import Changed, Role
from leaderexec.core.record import Record
from leaderexec.core.signals import signal_name

REMEMBERED = 10
# Seconds. A takeover takes milliseconds, or the configured delay; a stop up to its grace period.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0)
_SIGNALLED = 128
_STOPS = (Role.STOPPING, Role.KILLING)


class Transition(Record):
    """One change of role, as it was logged."""

    at: float
    from_role: str
    to_role: str
    term: int
    reason: str
    after_seconds: float


class Durations:
    """A histogram of seconds: the number of durations in each of BUCKETS, and beyond."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds

    def copied(self) -> "Durations":
        """Return an independent copy."""
        new = Durations()
        new.counts, new.total = self.counts.copy(), self.total
        return new


class Counters:
    """Counters since leaderexec started, and the last transitions.

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
        self._term = 0
        self._won_at: float | None = None
        self._stopping_since: float | None = None

    def copied(self) -> "Counters":
        """Return an independent copy."""
        new = Counters()
        vars(new).update(vars(self))
        new.exits = self.exits.copy()
        new.hook_failures = self.hook_failures.copy()
        new.transitions = self.transitions.copy()
        new.last_transitions = self.last_transitions.copy()
        new.takeovers = self.takeovers.copied()
        new.stops = self.stops.copied()
        return new

    def count(self, event: events.Event) -> None:
        """Count an event."""
        match event:
            case events.StreamOpened():
                self.connects += 1
            case events.Announced():
                self.announcements += 1
            case events.Polled():
                self.polls += 1
            case events.StartFailed():
                self.start_failures += 1

    def exit(self, code: int) -> None:
        """Count an exit of the command."""
        self.exits[_code_and_signal(code)] += 1

    def transition(self, told: Transition, change: Changed, now: float) -> None:
        """Count a change of role, and remember it; `now` is on the deciding thread's clock."""
        self.transitions[told.to_role, change.cause.value] += 1
        self.last_transitions.append(told)
        self._time_takeover(change, now)
        self._time_stop(change, now)

    def _time_takeover(self, change: Changed, now: float) -> None:
        if change.term != self._term:
            self._term, self._won_at = change.term, now
        if change.after is Role.RUNNING and self._won_at is not None:
            self.takeovers.add(now - self._won_at)
            self._won_at = None

    def _time_stop(self, change: Changed, now: float) -> None:
        if change.before is Role.RUNNING:
            self._stopping_since = now
        if change.after not in _STOPS and self._stopping_since is not None:
            self.stops.add(now - self._stopping_since)
            self._stopping_since = None


def _code_and_signal(code: int) -> tuple[str, str]:
    if code > _SIGNALLED:
        return "", signal_name(code - _SIGNALLED)
    return str(code), ""
