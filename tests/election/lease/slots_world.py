"""The same world, with a Lease for each slot: each replica follows all of them and claims one."""

from functools import partial

from election.lease.world import DEADLINE, DURATION, PERIOD, Course, Faults, Network, Object
from election.simulated import Machine

from leaderexec.core.events import Announced, Event
from leaderexec.election.kind import Put
from leaderexec.election.lease.campaign import Campaign, Plan, Step
from leaderexec.election.lease.record import Candidate
from leaderexec.election.lease.slots import Campaigns
from leaderexec.election.renewing import Term, Terms
from leaderexec.election.slots import Claim, SlotsElection
from leaderexec.testing.conformance import Quiet

# As long as the other slots come first.
_YIELD = 0.1
_IN_DOUBT = 3.0


class SlotsWorld(Network):
    """Everything there is."""

    def __init__(self, seed: int, names: str, slots: int, faults: Faults) -> None:
        super().__init__(seed, faults)
        self.leases = [Object(self) for _ in range(slots)]
        # How often a Lease was released because another slot was ours by then.
        self.released = 0
        self.replicas = [Replica(self, name, self.random.uniform(0, 3)) for name in names]

    @property
    def machines(self) -> "list[Replica]":
        """All replicas."""
        return self.replicas

    def holders(self) -> dict[str, list[int]]:
        """Return the slots whose Leases name each process that lives."""
        held: dict[str, list[int]] = {}
        for replica in self.replicas:
            ours = [slot for slot, one in enumerate(self.leases) if replica.us.wrote(one.lease())]
            if replica.lives:
                held[replica.us.life] = ours
        return held


class Replica(Machine):
    """One replica: a campaign for each slot, its claim, and what the core makes of it."""

    def __init__(self, world: SlotsWorld, name: str, begins: float, life: int = 1) -> None:
        super().__init__(world, name, DEADLINE)
        self.world = world
        self.us = Candidate(name, f"life {life} of {name}", DURATION, f"pod/{name}")
        self.agrees = True
        self._life = life
        self._claim = Claim()
        self._campaigns = Campaigns(self._claim)
        self.courses: list[Course] = []
        count = len(world.leases)
        SlotsElection(name, count, self._claim, self._open, self._put, Quiet())  # type: ignore[arg-type]
        for course in world.random.sample(self.courses, count):
            world.at(begins, course.go_on)

    def _open(self, slot: int, put: Put) -> Course:
        campaign = Campaign(self.us, Terms(DEADLINE, PERIOD))
        self._campaigns.add(campaign)
        told: list[Term] = []

        def tell(asked_at: float | None) -> None:
            term = campaign.term(self.clocks(), asked_at)
            if term is not None and told != [term]:
                told[:] = [term]
                put(Announced(term.leader, term.at, term.fence))

        lease, plan = self.world.leases[slot], partial(self._plan, slot)
        course = Course(self, self.world, lease, campaign, plan, tell)
        course.counts = self._counts
        self.courses.append(course)
        return course

    def _put(self, event: Event) -> None:
        assert isinstance(event, Announced)
        self._hear(event)

    def _plan(self, slot: int, course: Course) -> Plan:
        now = self.clocks()
        if self._campaigns.leave(slot):
            self.go_on_with([one for one in self.courses if one is not course])
            return Plan(Step.WAIT, now.monotonic + _YIELD)
        plan = self._campaigns.plan(slot, now, watched=course.watching, agrees=self.agrees)
        self.world.released += plan.step is Step.RELEASE
        return plan

    def _counts(self) -> bool:
        if self.world.random.random() >= self.world.faults.doubted:
            return True
        self.agrees = False
        self.world.at(self.world.now + _IN_DOUBT, self._agree)
        return False

    def _agree(self) -> None:
        self.agrees = True
        self.go_on()

    def go_on(self) -> None:
        """Do what is next for each slot."""
        self.go_on_with(self.courses)

    def go_on_with(self, courses: list[Course]) -> None:
        """Wake these up."""
        for course in courses:
            self.world.at(self.world.now, course.go_on)

    # What happens to it.

    def kill(self) -> None:
        """End it, and its command, at once."""
        self.look()
        self._end(grace=0.0)
        self.lives = False

    def restart(self) -> None:
        """End it, as the first process of its container, and start that again."""
        if self.lives:
            self.kill()
            name, begins = self.us.identity, self.world.now + self.world.random.uniform(0.2, 3)
            self.world.replicas.append(Replica(self.world, name, begins, self._life + 1))

    def release(self) -> None:
        """Have it stop its command, and then release its slot, as if it were ordered to stop."""
        if self.is_asleep or not self.lives:
            return
        self.look()
        ours = [reign.gone for reign in self.world.reigns if reign.who == self.us.identity]
        if max(ours, default=0.0) > self.world.now:
            self.world.at(max(ours), self.release)
            return
        self._claim.close()
        self.kill()
        if self._claim.slot is not None:
            self.courses[self._claim.slot].release()
