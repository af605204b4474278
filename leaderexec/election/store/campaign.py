"""One candidate's part in an election in a store. Pure: no clock, no network, no thread.

The store gives leadership to one candidate at a time, and takes it away --lease-duration after the
holder's last renewal. So candidates track no expiry: they ask. What we hold ends sooner for us: at
the renew deadline, which is counted by boot time, including suspension, from sending the last
successful renewal. The store counts from when that renewal arrived, which was later.

After a missed deadline, the store may still consider us the holder. Then we take leadership
again, with a new fence, and so start another term; it is not released, since our own command may
still have to be stopped.
"""

from enum import Enum
from typing import NamedTuple

from leaderexec.core.backoff import doubling
from leaderexec.election.renewing import Now, Term, Terms

_RETRY_BASE = 0.1
# The minimum time between looks at what is about to become free.
_SOON = 0.02


class Step(Enum):
    """What the shell should do."""

    WAIT = "wait"
    LOOK = "look"
    TAKE = "take"
    RENEW = "renew"


class Plan(NamedTuple):
    """A step, and for WAIT, until when (monotonic)."""

    step: Step
    until: float = 0.0


class Campaign:
    """What this candidate knows, and what follows from it."""

    def __init__(self, identity: str, terms: Terms) -> None:
        self.identity = identity
        self.terms = terms
        # The number of our acquiring write, while we lead.
        self.fence: int | None = None
        # Who leads; None until that is known, and while it is us.
        self._holder: str | None = None
        # Boot time and monotonic time at which the last successful renewal was sent.
        self._renewed = Now(0.0, 0.0)
        self._again_at = 0.0
        self._woken_at = 0.0
        self._failures = 0
        # Until then we do not compete, because we were asked to step down.
        self._not_before = 0.0

    def leads(self, now: Now) -> bool:
        """Return whether we lead: we hold it, and the deadline for a renewal has not passed."""
        return self.fence is not None and now.boot < self.deadline

    @property
    def deadline(self) -> float:
        """Boot time at which leadership ends without another renewal."""
        return self._renewed.boot + self.terms.renew_deadline

    @property
    def may_hold(self) -> bool:
        """True if the store has our last write, as far as is known."""
        return self.fence is not None

    def forget(self) -> None:
        """Stop leading until leadership has been taken again."""
        self.fence = self._holder = None
        self._again_at = 0.0

    def hold_off(self, seconds: float, now: Now) -> None:
        """Stop leading, and do not compete for `seconds`."""
        self.forget()
        self._not_before = now.monotonic + seconds

    def woken(self, now: Now) -> None:
        """Something has changed: look immediately, unless the store is in trouble."""
        self._woken_at = now.monotonic
        if not self._failures:
            self._again_at = min(self._again_at, now.monotonic)

    def took(self, fence: int, sent: Now, now: Now) -> None:
        """We have taken leadership; `sent` is when that was requested. If the response came too
        late, it must be taken again."""
        self._heard(None)
        late = now.boot >= sent.boot + self.terms.renew_deadline
        self.fence = None if late else fence
        self._renewed = sent
        self._again_at = sent.monotonic + self.terms.retry_period

    def renewed(self, sent: Now, now: Now) -> None:
        """We still hold it; if we have reported in the meantime that we no longer lead, it must be
        taken again."""
        self._heard(None)
        if not self.leads(now):
            self.fence = None
            self._again_at = now.monotonic
            return
        self._renewed = sent
        self._again_at = self._or_at_once(sent, sent.monotonic + self.terms.retry_period)

    def lost(self, now: Now) -> None:
        """What we held was taken away, for example by hand: compete again, at once."""
        self._heard("")
        self.fence = None
        self._again_at = now.monotonic

    def refused(self, holder: str, sent: Now, now: Now, *, free_in: float | None = None) -> None:
        """Another held it when we asked (none: ""). `free_in`: seconds, if it is not renewed."""
        self._heard(holder)
        self.fence = None
        pause = self.terms.retry_period
        if free_in is not None:
            pause = min(pause, max(_SOON, free_in))
        self._again_at = self._or_at_once(sent, now.monotonic + pause)
        if now.monotonic < self._not_before:
            self._again_at = min(self._again_at, self._not_before)

    def failed(self, now: Now, *, not_before: float = 0.0) -> None:
        """A request has failed, and its effect is unknown. `not_before`: seconds that the
        server asked us to wait."""
        delay = doubling(self._failures, base=_RETRY_BASE, cap=self.terms.retry_period)
        self._failures += 1
        self._again_at = now.monotonic + max(delay, not_before)

    def _or_at_once(self, sent: Now, at: float) -> float:
        """Return when to ask again: at once, if news came after the request was sent, which may not
        have seen what they are about."""
        return self._woken_at if self._woken_at > sent.monotonic else at

    def _heard(self, holder: str | None) -> None:
        self._failures = 0
        if holder == self.identity:
            holder = f"{holder} (an earlier or another process)"
        self._holder = holder

    def plan(self, now: Now) -> Plan:
        """Return what to do now."""
        if not self.leads(now):
            self.fence = None
        if now.monotonic < self._again_at:
            left = self.deadline - now.boot if self.fence is not None else self.terms.retry_period
            return Plan(Step.WAIT, min(self._again_at, now.monotonic + max(0.0, left)))
        if self.fence is not None:
            return Plan(Step.RENEW)
        return Plan(Step.LOOK if now.monotonic < self._not_before else Step.TAKE)

    def term(self, now: Now, asked_at: float) -> Term | None:
        """Return what to report of leadership; None if there is nothing yet. `asked_at`:
        boot time at which the current information was requested."""
        if self.leads(now):
            return Term(self.identity, self._renewed.boot, self.fence)
        if self._holder is None:
            return None
        return Term(self._holder or None, asked_at, None)
