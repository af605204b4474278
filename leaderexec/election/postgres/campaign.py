"""One candidate's part in the election by an advisory lock. Pure: no clock, no network, no thread.

The server frees the lock the moment the holder's session ends, while the holder's command may have
to be stopped still. So whoever gets the lock leads only when the old command is gone: at once where
the former holder noted a clean release, else after a wait. What follows from what:

- The server ends a session that it has not heard from for `Times.session_timeout`, which is more
  than the renew deadline; and the holder counts that from the sending of what was answered last,
  before the server does. So when a holder that is cut off loses its session, its command has been
  told to stop already, and `Times.gone_after` later it is gone.
- A session that is ended in any other way is noticed at once, by the connection.
- Of a server that was started anew, or promoted, a holder that is cut off hears nothing, and it may
  have ended at any moment: then the renew deadline is added.

Two clocks are handed in, as to the Lease's campaign: what others do is waited for by the monotonic
one, what we hold is counted by boot time.
"""

from enum import Enum
from typing import NamedTuple

from leaderexec.core.backoff import doubling
from leaderexec.election.renewing import Now, Term

_RETRY_BASE = 0.1
# How much more patience the server has with a silent session than the holder with the server.
_SERVER_MARGIN = 1.0


class Step(Enum):
    """What the shell is to do."""

    WAIT = "wait"
    CONNECT = "connect"
    TRY = "try"
    BEAT = "beat"
    DROP = "drop"


class Plan(NamedTuple):
    """A step, and for WAIT until when (monotonic)."""

    step: Step
    until: float = 0.0


class Times(NamedTuple):
    """Seconds: how long we lead without an answer, between two questions, and from a command's stop
    signal until it is gone."""

    renew_deadline: float
    retry_period: float
    gone_after: float

    @property
    def session_timeout(self) -> float:
        """After how long without a word the server is to end our session."""
        return self.renew_deadline + _SERVER_MARGIN


class Former(NamedTuple):
    """What the row said before we took the lock. `released`: the holder's command was gone.
    `timeline` and `started` tell apart the servers on which commands ran under that lock; both are
    empty in a new row, until its first holder was answered again."""

    fence: int
    holder: str
    life: str
    released: bool
    timeline: str
    started: str


class Taken(NamedTuple):
    """What came of taking the lock."""

    fence: int
    former: Former
    timeline: str
    started: str


def wait_for_the_old_command(taken: Taken, last_led: int | None, times: Times) -> float:
    """Return the seconds from taking the lock until the former holder's command is gone.
    `last_led`: the fence of our own last term in which we might lead."""
    former = taken.former
    # Its first holder may not have written on which server it leads.
    is_new = former.released and not former.timeline
    if is_new or former.fence == last_led:
        # Nobody led since; our own command is waited for by the deciding core.
        return 0.0
    if former.timeline != taken.timeline:
        # A promoted replica, or a backup: the last that was written may be missing, a holder too.
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
        # When the former holder's command is gone (monotonic), while we have the lock.
        self.ready_at = 0.0
        # The fence of the last term in which we might lead.
        self._last_led: int | None = None
        # The sending of what was answered last, while we have the lock.
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
        """Boot time at which leadership ends without another answer."""
        return self._renewed.boot + self.times.renew_deadline

    def leads(self, now: Now) -> bool:
        """Tell whether we lead: we have the lock, were answered in time, and the old command is
        gone."""
        return self.is_ready(now) and now.boot < self.deadline

    def is_ready(self, now: Now) -> bool:
        """Tell whether we have the lock and the old command is gone: until then nothing may be
        written by which the next one would wait for a shorter time than we have to."""
        return self.holds and now.monotonic >= self.ready_at

    def plan(self, now: Now) -> Plan:
        """Return what is to be done now."""
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
        """Return how long a question may go unanswered: while we have the lock as long as we may
        lead by it, for the session can't be had again."""
        return self.deadline - now.boot if self.holds else self.times.renew_deadline / 2

    def opened(self) -> None:
        """A session is open: the lock may be tried."""
        self.connected, self._again_at = True, 0.0

    def taken(self, taken: Taken, sent: Now, now: Now) -> float:
        """We have the lock; `sent` is when it was asked for. Return for how long the old command is
        waited for."""
        wait = wait_for_the_old_command(taken, self._last_led, self.times)
        self.fence, self._renewed = taken.fence, sent
        self.ready_at = now.monotonic + wait
        self._failures = 0
        self._again_at = sent.monotonic + self.times.retry_period
        return wait

    def refused(self, holder: str | None, sent: Now, *, jitter: float) -> None:
        """Another session has the lock: `holder`'s, None where that is not known. `jitter` from 0
        to 1 spreads the crowd."""
        self._holder, self._heard_at, self._failures = holder, sent.boot, 0
        self._again_at = sent.monotonic + self.times.retry_period * (0.8 + 0.4 * jitter)

    def answered(self, sent: Now, now: Now) -> None:
        """The server has confirmed that we have the lock. Where that comes too late, we have said
        that we lead no more, and the lock must be taken anew, with another fence."""
        if now.boot >= self.deadline:
            return
        self._renewed, self._failures = sent, 0
        self._again_at = sent.monotonic + self.times.retry_period

    def may_take(self, now: Now) -> bool:
        """Tell whether we compete at present."""
        return now.monotonic >= self._not_before

    def let_go(self, hold_off: float, now: Now) -> None:
        """The lock was let go of on purpose; we do not compete for so many seconds."""
        self.fence, self._holder, self._heard_at = None, None, now.boot
        self._not_before = now.monotonic + hold_off
        self._again_at = now.monotonic + min(hold_off, self.times.retry_period)

    def notified(self) -> None:
        """Somebody has let go of the lock."""
        if not self.holds:
            self._again_at = 0.0

    def failed(self, now: Now, *, jitter: float, not_before: float = 0.0) -> None:
        """What was asked was answered by an error; the session is open still. `not_before`: seconds
        before which it makes no sense to try again."""
        delay = doubling(self._failures, base=_RETRY_BASE, cap=self.times.retry_period)
        self._failures += 1
        self._again_at = now.monotonic + max(not_before, delay * (0.5 + 0.5 * jitter))

    def lost(self, now: Now, *, jitter: float, not_before: float = 0.0) -> None:
        """There is no session, or no more: what it held is free."""
        if self.holds:
            self._heard_at = self._renewed.boot
        self.connected, self.fence, self._holder = False, None, None
        self.failed(now, jitter=jitter, not_before=not_before)

    def term(self, now: Now) -> Term | None:
        """Return what is to be told of leadership; None where there is nothing yet."""
        if self.leads(now):
            self._last_led = self.fence
            return Term(self.identity, self._renewed.boot, self.fence)
        if self.holds:
            return Term(None, self._renewed.boot, None)
        if self._heard_at is None:
            return None
        return Term(self._holder, self._heard_at, None)
