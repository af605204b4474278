"""What the sources of kinds that renew do alike: one thread asks and writes, one waits for news.

That we lead is told with the moment at which the last good renewal was sent, so that the deciding
thread itself takes leadership away at the renew deadline, whatever these threads hang in.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from leaderexec.election.complaints import Complaints
from leaderexec.election.kind import RenewingKind
from leaderexec.election.renewing import Now, Term, Terms
from leaderexec.election.watched import start_watched

if TYPE_CHECKING:
    from leaderexec.core.events import Event
    from leaderexec.logs import Log

# A request has at least so long; less would be no try.
LEAST = 0.1
OPEN_WITHIN = 5.0
WATCH_BASE = 0.1
WATCH_CAP = 5.0
# How long the end may wait for leadership to be let go of.
RELEASE_WITHIN = RenewingKind.ends_within


class Campaign(Protocol):
    """What a campaign is asked for here."""

    def leads(self, now: Now) -> bool:
        """Tell whether we lead."""

    @property
    def deadline(self) -> float:
        """Boot time at which leadership ends without another renewal."""

    def term(self, now: Now, asked_at: float) -> Term | None:
        """Return what is to be told of leadership, which was asked for at `asked_at` (boot time);
        None where there is nothing yet."""

    def hold_off(self, seconds: float, now: Now) -> None:
        """Lead no more, and do not compete for so long."""


class Stream(Protocol):
    """News, as they come."""

    def close(self) -> None:
        """End it: the reader wakes up. Any thread may call this."""


class Campaigner:
    """Two threads, what guards them, and what the deciding thread asks of them. A kind's own source
    has the threads' work: `_run`, which sets `_closed` at its end, and `_follow`."""

    def __init__(
        self,
        kind: str,
        campaign: Campaign,
        terms: Terms,
        complaints: Complaints,
        put: "Callable[[Event], None]",
        log: "Log",
        clock: Callable[[], float],
    ) -> None:
        self._kind = kind
        self._campaign = campaign
        self._terms = terms
        self._complaints = complaints
        self._put = put
        self._log = log
        self._clock = clock
        # Guards the campaign and the order of what is put; waited on for news.
        self._turn = threading.Condition()
        self._told: tuple[object, ...] | None = None
        self._stream: Stream | None = None
        # Seconds to hold off, once leadership was let go.
        self._hold_off: float | None = None
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

    def resubscribe(self) -> None:
        """Open the watch anew."""
        stream = self._stream
        if stream is not None:
            stream.close()

    def inherited(self) -> tuple[int, ...]:
        """Return nothing: no descriptor stands for this leadership."""
        return ()

    def troubles(self) -> Mapping[tuple[str, str], int]:
        """Return how often each kind of trouble came up, in requests and on the watch."""
        return dict(self._complaints.counts.copy())

    def release(self) -> None:
        """Let go, if it is ours; the command's whole tree must be gone. Returns within some
        seconds: what could not be let go of runs out."""
        self._closing.set()
        with self._turn:
            self._turn.notify_all()
        self.resubscribe()
        self._closed.wait(RELEASE_WITHIN)

    def step_down(self, hold_off: float) -> None:
        """Have leadership let go of, and wait before it is taken again."""
        with self._turn:
            self._hold_off = hold_off
            self._turn.notify_all()

    def _steps_down(self) -> bool:
        """Lead no more, if that was asked for; tell whether leadership is to be let go of."""
        with self._turn:
            seconds, self._hold_off = self._hold_off, None
            if seconds is None:
                return False
            self._campaign.hold_off(seconds, self._now())
            return True

    def _now(self) -> Now:
        return Now(time.monotonic(), self._clock())

    def _rest(self, until: float, now: Now) -> None:
        """Wait for news, until then at the latest (monotonic), unless there is something to do.
        Call it with the turn."""
        if not self._closing.is_set() and self._hold_off is None:
            self._turn.wait(max(0.0, until - now.monotonic))

    def _patience(self, now: Now) -> float:
        """Return how long a request may take: while we lead no longer than to the deadline, and so
        short that one that hangs leaves time for another."""
        half = max(self._terms.renew_deadline / 2, LEAST)
        if not self._campaign.leads(now):
            return half
        return max(LEAST, min(half, self._campaign.deadline - now.boot))

    def _tell(self, now: Now, asked_at: float | None = None) -> None:
        """Put what there is to be told of leadership, if it is news. Call it with the turn."""
        from leaderexec.core.events import Announced

        term = self._campaign.term(now, now.boot if asked_at is None else asked_at)
        if term is not None and term != self._told:
            self._told = term
            self._put(Announced(term.leader, term.at, term.fence))
