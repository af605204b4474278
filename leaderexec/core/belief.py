"""What this replica believes about the election, and how long the belief lasts.

The more recent of stream and poll decides. The response to a poll that was sent before the latest
announcement arrived is older than that announcement: it proves contact, at the time of sending,
and nothing else. Counting a poll's contact from the sending, not from the reading, also keeps a
response that was left unread while this process was suspended from looking fresh.
"""

from leaderexec.core.events import Announced, Event, Failed, Polled, StreamClosed, StreamOpened
from leaderexec.core.record import Record, replace
from leaderexec.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leaderexec.core.confirmation import Confirmation, LeaseRule

# The elector updates its response and its stream in no guaranteed order, so one poll may be a few
# milliseconds ahead of the stream. Two polls in a row that the stream never followed mean that
# this subscriber was lost.
_POLLS_TO_DOUBT_THE_STREAM = 2


class ContactPolicy(Record):
    """How long a belief lasts.

    `timeout` is in seconds, None for no limit. With `open_stream_counts` an open stream alone is
    contact, for electors that can't be polled. `lease`: the effect of the API server's view of the
    elector's Lease; None if it is not queried.
    """

    timeout: float | None = 30.0
    open_stream_counts: bool = False
    lease: "LeaseRule | None" = None


class Belief(Record):
    """The leader as last announced, and the proof of contact behind it. `failure` is why the source
    broke down, until it reports again."""

    leader: str | None = None
    fence: int | None = None
    slot: int | None = None
    since: float = 0.0
    confirmed: bool = False
    contact_at: float | None = None
    announced_at: float | None = None
    stream_open: bool = False
    streamed_leader: str | None = None
    unfollowed_polls: int = 0
    failure: str | None = None
    # Leader and fence of the term that we have released, until the source reports another.
    let_go: tuple[str, int | None] | None = None
    # What the API server adds to that, if it is queried.
    confirmation: "Confirmation | None" = None

    def lost_subscriber(self) -> bool:
        """Return whether polls have proved that the open stream no longer carries announcements."""
        return self.unfollowed_polls >= _POLLS_TO_DOUBT_THE_STREAM

    def with_new_stream(self) -> "Belief":
        """Return the belief for a stream about to be replaced: the doubts were about the old."""
        return replace(self, unfollowed_polls=0)


def let_go(belief: Belief, identity: str) -> Belief:
    """Believe that `identity`, which releases leadership, no longer leads; until the source reports
    another leader or fence, it is still reporting the past term."""
    if belief.leader != identity:
        return belief
    return replace(belief, leader=None, fence=None, let_go=(identity, belief.fence))


def hear(belief: Belief, event: Event, policy: ContactPolicy) -> Belief:
    """Take in what the election source reported; any other event changes nothing."""
    if policy.lease is None:
        return _hear(belief, event, policy)
    from leaderexec.core import confirmation

    return confirmation.hear(belief, event, policy, _hear)


def _hear(belief: Belief, event: Event, policy: ContactPolicy) -> Belief:
    match event:
        case Announced(leader, at, fence, slot):
            heard = replace(belief, announced_at=at, streamed_leader=leader, unfollowed_polls=0)
            return replace(_named(heard, leader, fence, at), slot=slot)
        case Polled(leader, asked_at, fence):
            if belief.announced_at is not None and asked_at < belief.announced_at:
                return in_contact(belief, asked_at)
            followed = leader == belief.streamed_leader or not belief.stream_open
            counted = replace(
                belief, unfollowed_polls=0 if followed else belief.unfollowed_polls + 1
            )
            return _named(counted, leader, fence, asked_at)
        case StreamOpened():
            return replace(belief, stream_open=True, streamed_leader=None, unfollowed_polls=0)
        case StreamClosed(at):
            was_contact = policy.open_stream_counts and belief.stream_open and belief.confirmed
            closed = replace(belief, stream_open=False, streamed_leader=None, unfollowed_polls=0)
            return in_contact(closed, at) if was_contact else closed
        case Failed(reason):
            # It is unknown which part broke down: an open stream still has to be doubted.
            return replace(_doubted(belief, policy), failure=reason)
        case _:
            return belief


def expire(belief: Belief, policy: ContactPolicy, now: float) -> Belief:
    """Withdraw the confirmation of a belief whose contact is too old."""
    deadline = contact_deadline(belief, policy)
    if deadline is None or now < deadline:
        return belief
    return _doubted(belief, policy)


def _doubted(belief: Belief, policy: ContactPolicy) -> Belief:
    """Withdraw the confirmation, and with it the fence that the API server gave: when contact is
    back, the API server has to say again whose term it is."""
    fence = belief.fence if policy.lease is None else None
    return replace(belief, confirmed=False, fence=fence)


def contact_deadline(belief: Belief, policy: ContactPolicy) -> float | None:
    """Return when the belief becomes unconfirmed without further contact; None for never."""
    if not belief.confirmed or policy.timeout is None or belief.contact_at is None:
        return None
    if policy.open_stream_counts and belief.stream_open:
        return None
    return belief.contact_at + policy.timeout


def _named(belief: Belief, leader: str | None, fence: int | None, at: float) -> Belief:
    if belief.let_go is not None:
        identity, known_fence = belief.let_go
        if leader == identity and fence in (None, known_fence):
            return in_contact(belief, at)
    if leader == belief.leader:
        # No fence given: keep the known one.
        known = replace(belief, fence=belief.fence if fence is None else fence, let_go=None)
    else:
        known = replace(belief, leader=leader, since=at, fence=fence, let_go=None)
    return in_contact(known, at)


def in_contact(belief: Belief, at: float) -> Belief:
    """Confirm the belief by something that was true at this time."""
    newest = at if belief.contact_at is None else max(belief.contact_at, at)
    return replace(belief, contact_at=newest, confirmed=True, failure=None)
