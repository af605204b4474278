"""What the sources of renewing kinds have in common: one thread requests and writes, one waits for
news.

Leadership of ours is reported with the time at which the last successful renewal was sent, so that
the deciding thread itself ends leadership at the renew deadline, wherever these threads hang.
"""

import itertools
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from leaderexec.core.backoff import doubling
from leaderexec.core.events import Announced
from leaderexec.election.complaints import Complaints, Trouble
from leaderexec.election.kind import RenewingKind
from leaderexec.election.renewing import Now, Term, Terms
from leaderexec.election.watched import start_watched

if TYPE_CHECKING:
    from leaderexec.core.events import Event
    from leaderexec.logs import Log

# The least time for a request; less would be pointless.
LEAST = 0.1
OPEN_WITHIN = 5.0
WATCH_BASE = 0.1
WATCH_CAP = 5.0
# How long an exit may wait for leadership to be released; and how long that is tried, so that there
# is time to report that it failed.
RELEASE_WITHIN = RenewingKind.ends_within
_TRY_TO_RELEASE = RELEASE_WITHIN - 0.5


class Campaign(Protocol):
    """The interface of a campaign that is used here."""

    def leads(self, now: Now) -> bool:
        """Return whether we lead."""

    @property
    def deadline(self) -> float:
        """Boot time at which leadership ends without another renewal."""

    def term(self, now: Now, asked_at: float) -> Term | None:
        """Return what to report of leadership, as requested at `asked_at` (boot time); None if
        there is nothing yet."""

    @property
    def may_hold(self) -> bool:
        """True if leadership is ours until it expires, or may be, even if we do not lead."""

    def hold_off(self, seconds: float, now: Now) -> None:
        """Stop leading, and do not compete for `seconds`."""


class Stream(Protocol):
    """A stream of news."""

    def close(self) -> None:
        """End it: the reader wakes up. Any thread may call this."""


def left(until: float) -> float:
    """Return how many seconds a request may take that should end by then (monotonic)."""
    return max(LEAST, until - time.monotonic())


class Campaigner:
    """Two threads, the lock between them, and requests from the deciding thread. The work of the
    threads is implemented by a kind's source: `_run`, which sets `_closed` at its end, and
    `_follow`; and so is what it logs of a release that failed."""

    def __init__(
        self,
        kind: str,
        campaign: Campaign,
        terms: Terms,
        complaints: Complaints,
        put: "Callable[[Event], None]",
        log: "Log",
        clock: Callable[[], float],
        turn: threading.Condition | None = None,
    ) -> None:
        """`turn`: a lock that is shared with other campaigns."""
        self._kind = kind
        self._campaign = campaign
        self._terms = terms
        self._complaints = complaints
        self._put = put
        self._log = log
        self._clock = clock
        # Guards the campaign and the order of events; threads wait on it for news.
        self._turn = threading.Condition() if turn is None else turn
        self._told: tuple[object, ...] | None = None
        self._stream: Stream | None = None
        # Seconds to hold off, once leadership has been released.
        self._hold_off: float | None = None
        # Until when an exit has leadership released (monotonic).
        self._release_by: float | None = None
        self._closing = threading.Event()
        self._closed = threading.Event()

    def start(self, _now: float) -> None:
        """Begin to campaign."""
        for name, work in ((self._kind, self._run), ("watch", self._follow)):
            start_watched(name, work, self._put, self._log, self._clock)

    def _run(self) -> None:
        raise NotImplementedError

    def _follow(self) -> None:
        raise NotImplementedError

    def _say_not_released(self, reason: str) -> None:
        raise NotImplementedError

    def resubscribe(self) -> None:
        """Reopen the watch."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def inherited(self) -> tuple[int, ...]:
        """Return nothing: this leadership is not tied to a descriptor."""
        return ()

    def troubles(self) -> Mapping[tuple[str, str], int]:
        """Return how often each kind of trouble occurred, in requests and on the watch."""
        return dict(self._complaints.counts.copy())

    def release(self) -> None:
        """Release leadership, if it is ours; the command's whole tree must have exited. Returns
        within a few seconds: what could not be released expires."""
        self._release_by = time.monotonic() + _TRY_TO_RELEASE
        self.end()
        if not self._closed.wait(RELEASE_WITHIN) and self._campaign.may_hold:
            self._say_not_released("an earlier request has not been answered")

    def end(self) -> None:
        """Have both threads end, as in `release`, but don't wait for that."""
        self._closing.set()
        with self._turn:
            self._turn.notify_all()
        self.resubscribe()

    def step_down(self, hold_off: float) -> None:
        """Have leadership released, and wait before it is taken again. A term that was reported at
        the same moment must not begin: it is about to be released, too."""
        with self._turn:
            self._hold_off = hold_off
            if self._campaign.leads(self._now()):
                self._put(Announced(None, self._clock()))
            self._turn.notify_all()

    def _steps_down(self) -> bool:
        """Stop leading, if that was requested; return whether leadership has to be released."""
        with self._turn:
            seconds, self._hold_off = self._hold_off, None
            if seconds is None:
                return False
            self._campaign.hold_off(seconds, self._now())
            return True

    def _release(
        self,
        let_go: Callable[[float], None],
        failures: tuple[type[Exception], ...] = (Trouble,),
    ) -> None:
        """Call it, with the time by which it has to end (monotonic), again after such a failure."""
        by = self._release_by or time.monotonic() + _TRY_TO_RELEASE
        for attempt in itertools.count():
            try:
                let_go(by)
            except failures as failure:
                pause = doubling(attempt, base=0.05, cap=1.0)
                if time.monotonic() + pause > by:
                    self._say_not_released(str(failure))
                    return
                time.sleep(pause)
            else:
                return

    def _now(self) -> Now:
        return Now(time.monotonic(), self._clock())

    def _rest(self, until: float, now: Now) -> None:
        """Wait for news, at most until then (monotonic), unless there is something to do. Call it
        with the lock."""
        if not self._closing.is_set() and self._hold_off is None:
            self._turn.wait(max(0.0, until - now.monotonic))

    def _patience(self, now: Now) -> float:
        """Return how long a request may take: while we lead, no longer than until the deadline, and
        short enough that after one that hangs there is time for another."""
        half = max(self._terms.renew_deadline / 2, LEAST)
        if not self._campaign.leads(now):
            return half
        return max(LEAST, min(half, self._campaign.deadline - now.boot))

    def _tell(self, now: Now, asked_at: float | None = None) -> None:
        """Report leadership, if there is news. Call it with the lock."""
        if self._hold_off is not None:
            # Whatever it is, it is about to be released.
            return
        term = self._campaign.term(now, now.boot if asked_at is None else asked_at)
        if term is not None and term != self._told:
            self._told = term
            self._put(Announced(term.leader, term.at, term.fence))
