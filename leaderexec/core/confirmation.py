"""What the API server reports about the elector's Lease, besides the elector's announcements. Pure.

The elector creates a new Lease for each term, owned by the leader's Pod, and never writes to it. So
its uid identifies the term, the resourceVersion that was first seen of it is the term's fence, and
as long as it exists unmodified no other replica has led.

That no former leader's command is still running follows from what was seen, never from a timestamp,
nor from something that is missing:

- Everything that ran before a Lease has exited one takeover delay after that Lease was first seen.
- Once the Pod of the previous leader was seen with all its containers terminated, the same applies
  to what ran before *its* Lease, if no other can have led in between: an open stream announced
  first it, then us.
"""

from collections.abc import Callable

from leaderexec.core.belief import Belief, ContactPolicy, in_contact
from leaderexec.core.events import (
    Announced,
    Event,
    LeaseRefused,
    LeaseSeen,
    Pod,
    PodEnded,
    Polled,
)
from leaderexec.core.record import Record, replace


class LeaseRule(Record):
    """The effect of the API server's view. `stops`: no replica leads against it, or for long
    without it. `hastens`: what it shows shortens the takeover delay."""

    stops: bool
    hastens: bool


class Lease(Record):
    """A Lease as it was at `at`, when it was first queried and had not been written since;
    `fence` is its resourceVersion as first seen, `version` the one at `at`."""

    uid: str
    fence: int
    version: int
    pod: Pod | None
    at: float


class Confirmation(Record):
    """What is known from the API server about the current leader and the previous one.

    A response counts if it was requested at `since` or later: then another leader was named, a new
    stream began, or contact came back. `lease` is the current leader's, last seen at `seen_at`,
    None if not `since` then. `former` is the one just before it. `agrees`: whether the last
    response names the leader that the elector names. `refused`: we are not permitted to query it.
    """

    since: float
    lease: Lease | None = None
    seen_at: float | None = None
    former: Lease | None = None
    former_ended: bool = False
    agrees: bool | None = None
    refused: bool = False

    def free_at(self, delay: float) -> float | None:
        """Return when no former leader's command is running any more, `delay` being the time in
        which one that lost has exited; None if nothing shows it."""
        if self.lease is None or self.seen_at is None:
            return None
        if self.former is not None and self.former_ended:
            return self.former.at + delay
        return self.lease.at + delay


def hear(
    belief: Belief,
    event: Event,
    policy: ContactPolicy,
    by_elector: Callable[[Belief, Event, ContactPolicy], Belief],
) -> Belief:
    """Take in what the API server reported; for the rest, what `by_elector` makes of it."""
    rule, said = policy.lease, belief.confirmation
    match event:
        case LeaseSeen():
            stops = rule is not None and rule.stops
            return _judged(belief, event) if stops else _advised(belief, event)
        case LeaseRefused():
            return _refused(belief, policy)
        case PodEnded(uid):
            if said is None or said.former is None or said.former.pod is None:
                return belief
            ended = said.former_ended or said.former.pod.uid == uid
            return replace(belief, confirmation=replace(said, former_ended=ended))
        case Announced() | Polled():
            return _by_elector(belief, event, policy, by_elector(belief, event, policy))
        case _:
            return by_elector(belief, event, policy)


def _by_elector(
    before: Belief, event: Announced | Polled, policy: ContactPolicy, after: Belief
) -> Belief:
    """Add to the belief from the elector what has to be queried from the API server, and whether
    the elector's announcement alone is enough."""
    said = before.confirmation
    judged = policy.lease is not None and policy.lease.stops and not (said and said.refused)
    streamed = isinstance(event, Announced)
    at = event.at if isinstance(event, Announced) else event.asked_at
    changed = after.leader != before.leader
    begins = streamed and before.streamed_leader is None
    returns = not judged and after.confirmed and not before.confirmed
    if changed or said is None:
        unbroken = streamed and before.confirmed and before.streamed_leader == before.leader
        after = replace(after, confirmation=_another(said, at, unbroken=unbroken))
    elif begins or returns:
        since = max(at, said.since)
        after = replace(after, confirmation=replace(said, since=since, seen_at=None, agrees=None))
    if judged:
        after = replace(
            after,
            contact_at=before.contact_at,
            confirmed=before.confirmed and not changed,
            failure=None if changed else before.failure,
        )
    return after


def _another(said: Confirmation | None, at: float, *, unbroken: bool) -> Confirmation:
    """Another leader is named. `unbroken`: by the stream that had named the previous one."""
    if said is None:
        return Confirmation(at)
    former = said.lease if unbroken and said.seen_at is not None else None
    return Confirmation(max(at, said.since), former=former, refused=said.refused)


def _advised(belief: Belief, found: LeaseSeen) -> Belief:
    """Learn the fence of a term that has none. A term that has one keeps it: another one would end
    the term."""
    said = _seen(belief, found)
    after = replace(belief, confirmation=said)
    if said is None or said.lease is None or not said.agrees:
        return after
    return replace(after, fence=said.lease.fence) if _lacks_fence(belief) else after


def _lacks_fence(belief: Belief) -> bool:
    return belief.fence is None and belief.confirmed


def _judged(belief: Belief, found: LeaseSeen) -> Belief:
    """Believe only what elector and API server both say."""
    said = _seen(belief, found)
    if said is None or said is belief.confirmation:
        return belief
    after = replace(belief, confirmation=said)
    if said.agrees and said.lease is not None:
        return in_contact(replace(after, fence=said.lease.fence), found.asked_at)
    why = f"the elector names {belief.leader}, the API server {found.leader or 'nobody'}"
    return replace(after, confirmed=False, fence=None, failure=why)


def _seen(belief: Belief, found: LeaseSeen) -> Confirmation | None:
    """Take in the Lease, unless it was requested too early. One that names another replica is not
    the current leader's: either the announcement is late, or the response."""
    said = belief.confirmation
    if said is None or found.asked_at < said.since:
        return said
    if found.leader is None or found.leader != belief.leader:
        return replace(said, agrees=False, refused=False)
    lease, known = said.lease, said.lease
    if known is None or known.uid != found.uid:
        lease = Lease(found.uid, found.version, found.version, found.pod, found.asked_at)
    elif known.version != found.version:
        # The writer may have made another replica the holder for a while.
        lease = replace(known, version=found.version, at=found.asked_at)
    # What existed just before another Lease of the same leader is unknown.
    former = said.former if known is None or lease is known else None
    return replace(
        said,
        lease=lease,
        seen_at=found.asked_at,
        former=former,
        former_ended=said.former_ended and former is not None,
        agrees=True,
        refused=False,
    )


def _refused(belief: Belief, policy: ContactPolicy) -> Belief:
    """Believe the elector alone, as of its last message, for as long as it sends."""
    said = belief.confirmation
    if said is None or said.refused:
        return belief
    after = replace(belief, confirmation=replace(said, refused=True))
    stops = policy.lease is not None and policy.lease.stops
    if not stops or belief.announced_at is None:
        return after
    return in_contact(after, belief.announced_at)
