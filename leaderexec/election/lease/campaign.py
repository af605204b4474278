"""One candidate's part in the election by a Lease. Pure: no clock, no network, no thread.

The shell asks `plan` what is next, does it, and reports the result: `heard`, `wrote`, `conflicted`
or `failed`. Two clocks are passed in. What others hold is timed by the monotonic clock, from when
we saw the record change, and by the duration in the record; timestamps in it are never compared.
What we hold is timed by boot time, including suspension, from sending the last successful
renewal. So whatever is late or lost, we lead for a shorter time than others grant us.
"""

from enum import Enum
from typing import NamedTuple

from leaderexec.core.backoff import doubling, holding_off
from leaderexec.election.lease import record
from leaderexec.election.lease.record import Candidate, Lease
from leaderexec.election.renewing import Now, Term, Terms

_RETRY_BASE = 0.1
# Consecutive conflicts that are retried immediately, to outrun many writes by others.
_CONFLICTS_AT_ONCE = 5
_CONFLICT_BASE = 0.005
_CONFLICT_CAP = 0.1
# Reads within the time after which there is no contact.
_LOOKS = 3


class Step(Enum):
    """What the shell should do."""

    WAIT = "wait"
    READ = "read"
    ACQUIRE = "acquire"
    RENEW = "renew"
    KEEP = "keep"
    RELEASE = "release"


class Plan(NamedTuple):
    """A step, and for WAIT, until when (monotonic)."""

    step: Step
    until: float = 0.0


class Campaign:
    """What this candidate knows, and what follows from it."""

    def __init__(self, us: Candidate, terms: Terms, once_key: str | None = None) -> None:
        """`once_key`: the key of --once, None without it."""
        self.us = us
        self.terms = terms
        self.once_key = once_key
        # Our command has succeeded, and the Lease does not keep that yet; or why it never will.
        self._keeps = False
        self.not_kept: str | None = None
        self.lease: Lease | None = None
        # The resourceVersion of our acquiring write, while we lead.
        self.fence: int | None = None
        # That of the first one since which nobody else can have led; None if another may have.
        self._unbroken_since: int | None = None
        self._known = False
        # The newest resourceVersion seen; older ones shown by a watch are stale.
        self._newest = 0
        self._changed_at = 0.0
        self._looked_at = 0.0
        # Boot time and monotonic time at which the last successful renewal was sent.
        self._renewed = Now(0.0, 0.0)
        # The result of a write is unknown: nothing is written before the Lease was read again.
        self._doubt = True
        self._again_at = 0.0
        self._failures = 0
        self._conflicts = 0
        # We have led since another held the Lease: our command may still be stopping.
        self._has_led = False
        # The Lease was deleted while we held it: only we know that no other replica did.
        self._may_recreate = False
        # A write whose response was lost may have made us the holder.
        self._unsure = False
        # So may a creation, however late: what was absent when it was sent can have been created,
        # held and deleted by others since. (An update names the version that it replaces.)
        self._creates = self._may_create_late = False
        self._not_before = 0.0

    def leads(self, now: Now) -> bool:
        """Return whether we lead: we hold it, and the deadline for a renewal has not passed."""
        return self.fence is not None and now.boot < self.deadline

    @property
    def deadline(self) -> float:
        """Boot time at which leadership ends without another renewal."""
        return self._renewed.boot + self.terms.renew_deadline

    @property
    def is_ours(self) -> bool:
        """True if the record, as last read, names this exact process."""
        return self.us.wrote(self.lease)

    @property
    def may_hold(self) -> bool:
        """True if the record names this process, or may do so by now."""
        return self.is_ours or self._unsure

    @property
    def is_out(self) -> bool:
        """True if the record was read since our last write, and does not name this process."""
        return self._known and not self._doubt and not self.may_hold

    @property
    def has_looked(self) -> bool:
        """True if the record was read, or that has been tried."""
        return self._known or self._failures > 0

    @property
    def is_done(self) -> bool:
        """True if the Lease, as last read, keeps that the command has succeeded."""
        return self.once_key is not None and record.is_done(self.lease, self.once_key)

    def keep_success(self, fence: int | None) -> None:
        """Our command has succeeded in the term of this fence: keep that, unless another may have
        led since."""
        self._keeps = True
        since = self._unbroken_since
        if since is None or fence is None or fence < since:
            self._give_up_success()

    def _give_up_success(self) -> None:
        if self._keeps:
            lease, self._keeps = self.lease, False
            holder = "nobody" if lease is None else lease.holder or "nobody"
            self.not_kept = (
                "another replica may have led meanwhile"
                if self.is_ours
                else f"the Lease is held by {holder} now"
            )

    def forget(self) -> None:
        """Stop leading until the Lease has been read and taken again."""
        self.fence, self._doubt = None, True

    def hold_off(self, seconds: float, now: Now) -> None:
        """Stop leading, and do not take the Lease for `seconds`."""
        self.forget()
        self._not_before = max(self._not_before, now.monotonic + seconds)

    def heard(self, lease: Lease | None, now: Now, *, by_watch: bool = False) -> bool:
        """Take in the current Lease (None: there is none); return whether it was new. A watch may
        lag behind what a request of ours has shown."""
        if by_watch and lease is not None and lease.version <= self._newest:
            return False
        if not by_watch:
            if not self._unsure:
                # Otherwise writing is what fails, and may fail again.
                self._failures = 0
            self._doubt = self._unsure = False
            if now.monotonic - self._looked_at > self.terms.renew_deadline and self.lease is None:
                # Others may have created, held and deleted one that we have not seen.
                self._changed_at = now.monotonic
            self._looked_at = now.monotonic
        news = self._adopt(lease, now)
        if news and self.is_ours and self.fence is None and self._may_create_late:
            self._not_before = now.monotonic + self.us.duration
        return news

    def deleted(self, version: int, now: Now) -> bool:
        """Take in that a watch saw the Lease deleted; `version` is that of the deletion."""
        if version <= self._newest:
            return False
        self._newest = version
        return self._adopt(None, now)

    def _adopt(self, lease: Lease | None, now: Now) -> bool:
        before = None if self.lease is None else self.lease.version
        news = not self._known or before != (None if lease is None else lease.version)
        if news:
            self._may_recreate = lease is None and self.leads(now)
            self.lease, self._changed_at = lease, now.monotonic
            self._looked_at = now.monotonic
        self._known = True
        if lease is not None:
            self._newest = max(self._newest, lease.version)
        if not self.is_ours:
            # Whatever the deadline: another process holds it, or may.
            self.fence = None
            self._has_led &= self._may_recreate
            if not self._may_recreate:
                self._unbroken_since = None
                self._give_up_success()
        return news

    def wrote(self, step: Step, lease: Lease, sent: Now, now: Now) -> None:
        """Our write has succeeded; `lease` is the result, `sent` is when it was sent."""
        self._failures = self._conflicts = 0
        if lease.version < self._newest:
            # There was another write since. What was heard tells whether it replaced ours.
            self._doubt = True
        else:
            self._adopt(lease, now)
        if step is Step.ACQUIRE:
            late = now.boot >= sent.boot + self.terms.renew_deadline
            self.fence = None if late or self._doubt or not self.is_ours else lease.version
            self._has_led |= self.fence is not None
            self._renewed = sent
            if self.is_ours and self._unbroken_since is None:
                self._unbroken_since = lease.version
        elif not self.leads(now):
            # Too late: we have reported that we no longer lead, so it must be taken again.
            self.fence = None
        else:
            self._renewed = sent

    def conflicted(self, now: Now) -> None:
        """There was another write between our read and our write: read again, at once."""
        self._doubt = True
        more = self._conflicts - _CONFLICTS_AT_ONCE
        delay = doubling(more, base=_CONFLICT_BASE, cap=_CONFLICT_CAP) if more >= 0 else 0.0
        self._conflicts += 1
        self._again_at = now.monotonic + delay

    def failed(self, step: Step, now: Now, *, not_before: float = 0.0) -> None:
        """A request has failed, and its effect is unknown. `not_before`: seconds that the
        server asked us to wait."""
        self._doubt = True
        self._unsure = self._unsure or step is not Step.READ
        self._may_create_late |= step is Step.ACQUIRE and self._creates
        delay = doubling(self._failures, base=_RETRY_BASE, cap=self.terms.retry_period)
        self._failures += 1
        self._again_at = now.monotonic + max(delay, not_before)

    def plan(self, now: Now, *, watched: bool = False, may_take: bool = True) -> Plan:
        """Return what to do now. `watched`: a watch reports changes, so that reading is only needed
        as proof of contact. `may_take`: whether the Lease may be taken if it is free; if it may
        not, and has become ours by a write of which we learn late, it is released, unless we have
        led with it: then it expires, when our command is gone."""
        if self.fence is not None and not self.leads(now):
            self.fence = None
        if self.fence is not None and self._another_is_preferred():
            self.fence = None
        if self._doubt or not self._known:
            return Plan(Step.READ) if now.monotonic >= self._again_at else self._wait(now)
        if self._keeps and self.is_ours and not self.is_done:
            # Even after the deadline: as long as the record names us, nobody has led since.
            return Plan(Step.KEEP)
        if self.fence is not None:
            due = self._renewed.monotonic + self.terms.retry_period
            return Plan(Step.RENEW) if now.monotonic >= due else Plan(Step.WAIT, due)
        if self.is_ours and not may_take and not self._has_led:
            return Plan(Step.RELEASE)
        free_at = self.free_at() if may_take else float("inf")
        if now.monotonic >= free_at:
            self._creates = self.lease is None
            return Plan(Step.ACQUIRE)
        pause = self.terms.renew_deadline / _LOOKS if watched else self.terms.retry_period
        look_at = self._looked_at + pause
        if now.monotonic >= look_at:
            return Plan(Step.READ)
        return Plan(Step.WAIT, min(free_at, look_at))

    def _wait(self, now: Now) -> Plan:
        """Wait for the next attempt; while we lead, no longer than until the deadline."""
        until = self._again_at
        if self.fence is not None:
            until = min(until, now.monotonic + max(0.0, self.deadline - now.boot))
        return Plan(Step.WAIT, until)

    def free_at(self) -> float:
        """Return when we may take the Lease (monotonic).

        At once if no process holds it, or this exact process does, or an earlier one of the same
        container did. If another process holds it: when it has not changed for the duration stated
        in it. A container that keeps being killed while it leads waits for longer than that. If
        there is no Lease, another replica may have held it a moment ago: after a full
        duration, unless we held it ourselves. A full duration also applies if it is ours by a
        creation that took effect late. Nobody has to lead for what is done.
        """
        if self.is_done:
            return float("inf")
        lease, own = self.lease, float(self.us.duration)
        if lease is None:
            waits = 0.0 if self._may_recreate else own
        elif self.us.follows(lease):
            waits = self.penance(lease)
        elif not lease.holder or self.is_ours:
            waits = 0.0
        else:
            waits = lease.duration or own
        if self._another_is_preferred():
            # The preferred holder goes first; if it is dead, it is our turn.
            waits += own
        return max(self._not_before, self._changed_at + waits if waits else 0.0)

    def penance(self, lease: Lease) -> float:
        """Return for how many seconds this container leaves a Lease alone that an earlier life of
        it held: 0 unless its lives keep being killed. Then another replica may take it when it has
        expired; if none does, this one tries again, after longer each time."""
        most = self.us.abdicate_after
        if most is None or (more := self.us.killed(lease) - most) < 0:
            return 0.0
        return (lease.duration or self.us.duration) + holding_off(more, self.us.hold_off)

    def _another_is_preferred(self) -> bool:
        return self.lease is not None and self.lease.preferred not in ("", self.us.identity)

    def term(self, now: Now, asked_at: float | None = None) -> Term | None:
        """Return what to report of leadership; None if there is nothing yet. `asked_at`:
        boot time at which this was requested, if it was."""
        heard_at = now.boot if asked_at is None else asked_at
        if self.leads(now):
            return Term(self.us.identity, self._renewed.boot, self.fence)
        if not self._known or self.is_ours:
            # What we hold and may not use yet is about to be taken again.
            wished = self._known and self._another_is_preferred()
            return Term(None, heard_at, None) if wished else None
        holder = "" if self.lease is None else self.lease.holder
        if holder == self.us.identity:
            holder = f"{holder} (an earlier or another process)"
        return Term(holder or None, heard_at, None)
