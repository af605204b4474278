"""One candidate's part in the election by an advisory lock. Pure: no clock, no network, no thread.

The server frees the lock as soon as the holder's session ends, while the holder's command may
still have to be stopped. So a new holder leads only when the old command has exited: at once if
the former holder recorded a clean release, else after a wait. The reasons are these:

- The server ends a session that has been silent for `Times.session_timeout`, which is longer
  than the renew deadline; and the holder counts that from sending the last successful query,
  before the server does. So when a holder that is cut off loses its session, its command has
  already been sent its stop signal, and `Times.gone_after` later it has exited.
- A session that ends in any other way is noticed at once, on the connection.
- If the server was restarted, or another promoted, a holder that is cut off is not notified, and
  its session may have ended at any time: then the renew deadline is added.

Two clocks are passed in, as for the Lease's campaign: what others do is timed by the monotonic
one, what we hold by boot time.
"""

from enum import Enum
from typing import NamedTuple

from leaderexec.core.backoff import doubling
from leaderexec.election.renewing import Now, Term

_RETRY_BASE = 0.1
# How much longer the server tolerates a silent session than the holder a silent server.
_SERVER_MARGIN = 1.0


class Step(Enum):
    """What the shell should do."""

    WAIT = "wait"
    CONNECT = "connect"
    TRY = "try"
    BEAT = "beat"
    DROP = "drop"


class Plan(NamedTuple):
    """A step, and for WAIT, until when (monotonic)."""

    step: Step
    until: float = 0.0


class Times(NamedTuple):
    """Seconds: how long we lead without a response, between two queries, and from a command's stop
    signal until it has exited."""

    renew_deadline: float
    retry_period: float
    gone_after: float

    @property
    def session_timeout(self) -> float:
        """After how much silence the server should end our session."""
        return self.renew_deadline + _SERVER_MARGIN


class Former(NamedTuple):
    """The row before we took the lock. `released`: the holder's command had exited.
    `timeline` and `started` identify the servers on which commands ran under that lock; both are
    empty in a new row, until its first holder's first successful query."""

    fence: int
    holder: str
    life: str
    released: bool
    timeline: str
    started: str


class Taken(NamedTuple):
    """The result of taking the lock."""

    fence: int
    former: Former
    timeline: str
    started: str


def wait_for_the_old_command(taken: Taken, last_led: int | None, times: Times) -> float:
    """Return the seconds from taking the lock until the former holder's command has exited.
    `last_led`: the fence of our own last term in which we might have led."""
    former = taken.former
    # Its first holder may not have recorded yet on which server it leads.
    is_new = former.released and not former.timeline
    if is_new or former.fence == last_led:
        # No other replica has led since; the core waits for our own command.
        return 0.0
    if former.timeline != taken.timeline:
        # A promoted replica, or a backup: the last writes may be missing, a holder among them.
        return times.renew_deadline + times.gone_after
    if former.released:
        return 0.0
    if former.started != taken.started:
        return times.renew_deadline + times.gone_after
    return times.gone_after


class Campaign:
    """What this candidate knows, and what follows from it."""

    def __init__(self, identity: str, life: str, times: Times) -> None:
        self.identity = identity
        self.life = life
        self.times = times
        self.connected = False
        # The fence of our term, while we have the lock.
        self.fence: int | None = None
        # When the former holder's command has exited (monotonic), while we have the lock.
        self.ready_at = 0.0
        # The fence of the last term in which we might have led.
        self._last_led: int | None = None
        # When the last successful query was sent, while we have the lock.
        self._renewed = Now(0.0, 0.0)
        self._holder: str | None = None
        self._heard_at: float | None = None
        self._again_at = 0.0
        self._failures = 0
        # Until then (monotonic) we do not compete.
        self._not_before = 0.0

    @property
    def holds(self) -> bool:
        """True while we have the lock, as far as we know."""
        return self.fence is not None

    @property
    def deadline(self) -> float:
        """Boot time at which leadership ends without another response."""
        return self._renewed.boot + self.times.renew_deadline

    def leads(self, now: Now) -> bool:
        """Return whether we lead: we have the lock, responses arrived in time, and the old command
        has exited."""
        return self.is_ready(now) and now.boot < self.deadline

    def is_ready(self, now: Now) -> bool:
        """Return whether we have the lock and the old command has exited: before that, nothing may
        be written that would make the next holder wait for a shorter time than we have to."""
        return self.holds and now.monotonic >= self.ready_at

    def plan(self, now: Now) -> Plan:
        """Return what to do now."""
        if self.holds:
            if now.boot >= self.deadline:
                return Plan(Step.DROP)
            return self._when(Step.BEAT, now, self._again_at)
        if not self.connected:
            return self._when(Step.CONNECT, now, self._again_at)
        return self._when(Step.TRY, now, self._again_at)

    def _when(self, step: Step, now: Now, due: float) -> Plan:
        if now.monotonic >= due:
            return Plan(step)
        if self.holds:
            due = min(due, now.monotonic + max(0.0, self.deadline - now.boot))
            if now.monotonic < self.ready_at:
                due = min(due, self.ready_at)
        return Plan(Step.WAIT, due)

    def patience(self, now: Now) -> float:
        """Return how long a query may take: while we have the lock, as long as we may lead by it,
        because the session can't be replaced."""
        return self.deadline - now.boot if self.holds else self.times.renew_deadline / 2

    def opened(self) -> None:
        """A session is open: the lock may be tried."""
        self.connected, self._again_at = True, 0.0

    def taken(self, taken: Taken, sent: Now, now: Now) -> float:
        """We have the lock; `sent` is when it was requested. Return how long to wait for the old
        command."""
        wait = wait_for_the_old_command(taken, self._last_led, self.times)
        self.fence, self._renewed = taken.fence, sent
        self.ready_at = now.monotonic + wait
        self._failures = 0
        self._again_at = sent.monotonic + self.times.retry_period
        return wait

    def refused(self, holder: str | None, sent: Now, *, jitter: float) -> None:
        """Another session has the lock: `holder`'s, None if that is unknown. `jitter` from 0
        to 1 spreads the candidates."""
        self._holder, self._heard_at, self._failures = holder, sent.boot, 0
        self._again_at = sent.monotonic + self.times.retry_period * (0.8 + 0.4 * jitter)

    def answered(self, sent: Now, now: Now) -> None:
        """The server has confirmed that we have the lock. If that comes too late, we have reported
        that we no longer lead, and the lock must be taken again, with another fence."""
        if now.boot >= self.deadline:
            return
        self._renewed, self._failures = sent, 0
        self._again_at = sent.monotonic + self.times.retry_period

    def may_take(self, now: Now) -> bool:
        """Return whether we compete now."""
        return now.monotonic >= self._not_before

    def let_go(self, hold_off: float, now: Now) -> None:
        """The lock was released on purpose; do not compete for `hold_off` seconds."""
        self.fence, self._holder, self._heard_at = None, None, now.boot
        self._not_before = now.monotonic + hold_off
        self._again_at = now.monotonic + min(hold_off, self.times.retry_period)

    def notified(self) -> None:
        """Another session has released the lock."""
        if not self.holds:
            self._again_at = 0.0

    def failed(self, now: Now, *, jitter: float, not_before: float = 0.0) -> None:
        """A query has failed; the session is still open. `not_before`: seconds before which it is
        pointless to try again."""
        delay = doubling(self._failures, base=_RETRY_BASE, cap=self.times.retry_period)
        self._failures += 1
        self._again_at = now.monotonic + max(not_before, delay * (0.5 + 0.5 * jitter))

    def lost(self, now: Now, *, jitter: float, not_before: float = 0.0) -> None:
        """There is no session, or no longer: what it held is free."""
        if self.holds:
            self._heard_at = self._renewed.boot
        self.connected, self.fence, self._holder = False, None, None
        self.failed(now, jitter=jitter, not_before=not_before)

    def term(self, now: Now) -> Term | None:
        """Return what to report of leadership; None if there is nothing yet."""
        if self.leads(now):
            self._last_led = self.fence
            return Term(self.identity, self._renewed.boot, self.fence)
        if self.holds:
            return Term(None, self._renewed.boot, None)
        if self._heard_at is None:
            return None
        return Term(self._holder, self._heard_at, None)
