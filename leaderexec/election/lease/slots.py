"""``--election lease`` with ``--slots``: a Lease for each slot, ``NAME-0`` to ``NAME-(N-1)``.

Each is campaigned for as any other Lease is. A campaign may take its Lease only while no other one
of this replica has, or tries to. If a write arrives so late that it is only then known to have
made this replica the holder of another slot as well, that one is released at once.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from leaderexec.election.campaigner import LEAST
from leaderexec.election.complaints import Complaints, Trouble
from leaderexec.election.lease.campaign import Campaign, Plan, Step
from leaderexec.election.lease.client import Leases
from leaderexec.election.lease.cluster import Cluster
from leaderexec.election.lease.record import Candidate, Lease, Name
from leaderexec.election.lease.register import Register
from leaderexec.election.lease.source import LeaseElection
from leaderexec.election.renewing import Now, Terms
from leaderexec.election.slots import Claim, SlotsElection

if TYPE_CHECKING:
    from leaderexec.election.kind import Put
    from leaderexec.logs import Log


class Campaigns:
    """One replica's campaigns, one for each slot, and its claim. Pure, but for the claim's lock,
    with which it is called."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self._all: list[Campaign] = []

    def add(self, campaign: Campaign) -> None:
        """Add the next slot's."""
        self._all.append(campaign)

    def plan(self, slot: int, now: Now, *, watched: bool, agrees: bool) -> Plan:
        """Return what is next for a slot, and claim the slot if that is to take it. `agrees`:
        whether the others have the same number of slots."""
        may_take = agrees and self._may_take(slot)
        plan = self._all[slot].plan(now, watched=watched, may_take=may_take)
        if plan.step is Step.ACQUIRE:
            self.claim.take(slot)
        return plan

    def leave(self, slot: int) -> bool:
        """Give up the claim on a slot that is certainly not ours; return whether there was one."""
        gives_up = self.claim.slot == slot and self._all[slot].is_out
        if gives_up:
            self.claim.leave(slot)
        return gives_up

    def _may_take(self, slot: int) -> bool:
        if self.claim.slot is not None or not self.claim.is_open_to(slot):
            return self.claim.is_open_to(slot)
        # What an earlier life of this container held is its own: for that it need not wait, and if
        # it has to hold off, then for all slots.
        former = [one for one in self._all if one.us.follows(one.lease)]
        if former:
            return self._all[slot] in former
        return all(one.has_looked for one in self._all)


class SlotLease(LeaseElection):
    """Campaigns for the Lease of one slot."""

    def __init__(
        self,
        campaigns: Campaigns,
        register: Register,
        agreeing: Complaints,
        slot: int,
        us: Candidate,
        terms: Terms,
        cluster: Cluster,
        name: Name,
        put: "Put",
        log: "Log",
        clock: Callable[[], float],
    ) -> None:
        """`name` is that of the election; `agreeing` is told of trouble with their number."""
        ours = name.of_slot(slot)
        super().__init__(us, terms, cluster, ours, put, log, clock, turn=campaigns.claim.turn)
        self._campaigns = campaigns
        self._register = register
        self._agreeing = agreeing
        self._slot = slot
        campaigns.add(self._campaign)

    def holder(self) -> str | None:
        """Return who holds the Lease, as last read."""
        with self._turn:
            lease = self._campaign.lease
            return None if lease is None else lease.holder or None

    def _plan(self) -> Plan:
        if self._campaigns.leave(self._slot):
            # The other slots come first.
            self._turn.wait(LEAST)
        watched, agrees = self._stream is not None, self._register.agrees
        return self._campaigns.plan(self._slot, self._now(), watched=watched, agrees=agrees)

    def _do(self, leases: Leases, step: Step, lease: Lease | None, seconds: float) -> None:
        if step is Step.RELEASE:
            with self._turn:
                self._campaign.forget()
            self._let_go(leases)
            return
        if step is Step.READ and not self._register.agrees:
            self._agree(seconds)
        super()._do(leases, step, lease, seconds)

    def _agree(self, seconds: float) -> None:
        try:
            self._register.settle(seconds)
        except Trouble as trouble:
            self._agreeing.say("slots", trouble)
        else:
            self._agreeing.settle("slots")
            with self._turn:
                self._turn.notify_all()

    def _write(self, leases: Leases, step: Step, lease: Lease | None, seconds: float) -> Lease:
        written = super()._write(leases, step, lease, seconds)
        if step is Step.ACQUIRE:
            # It counts only if their number was the same after that.
            self._register.check(seconds)
        return written


def open_slots(
    count: int,
    us: Candidate,
    terms: Terms,
    cluster: Cluster,
    name: Name,
    put: "Put",
    log: "Log",
    clock: Callable[[], float],
) -> SlotsElection:
    """Return the source for so many slots of an election."""
    campaigns = Campaigns(Claim())
    register = Register(cluster, name, count, terms.retry_period)
    agreeing = Complaints(log, "lease", api_server=cluster.where, lease=str(name))

    def make(slot: int, put: "Put") -> SlotLease:
        return SlotLease(
            *(campaigns, register, agreeing, slot, us, terms, cluster, name, put, log, clock)
        )

    return SlotsElection(us.identity, count, campaigns.claim, make, put, log)
