"""Candidates and an API server in simulated time, with random delays, losses, sleeps and kills.

Each candidate is the real campaign with the core's real belief on top; only network,
clocks and threads are simulated. True time is in seconds. Each candidate's boot time is
true time plus an offset, while its monotonic time stops when it sleeps.
"""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from election.simulated import Machine, Time

from leaderexec.election.lease import record
from leaderexec.election.lease.campaign import Campaign, Plan, Step
from leaderexec.election.lease.record import Candidate, Lease, Name
from leaderexec.election.renewing import Now, Terms

DURATION, DEADLINE, PERIOD = 22, 10.0, 2.0
_NAME = Name("ns", "demo")
_KEY = "v1"
_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


class Faults(NamedTuple):
    """The network's faults: the shares of requests and responses that are lost, the longest
    delay of either in seconds, and the share of delays that are that long. `doubted`: the share of
    slots that were taken while the number of slots was in doubt."""

    lost: float = 0.0
    longest: float = 0.05
    slow: float = 0.0
    doubted: float = 0.0


class Network(Time):
    """What the API server and all candidates share."""

    def __init__(self, seed: int, faults: Faults) -> None:
        super().__init__(seed)
        self.faults = faults
        # Of all objects, as in etcd.
        self.version = 1000

    def delay(self) -> float:
        """Draw how long a message takes."""
        if self.random.random() < self.faults.slow:
            return self.random.uniform(0, self.faults.longest)
        return self.random.uniform(0.001, 0.01)

    def is_lost(self) -> bool:
        """Draw whether a message is lost."""
        return self.random.random() < self.faults.lost


class Object:
    """One Lease at the API server, and who watches it."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.document: dict[str, Any] | None = None
        self.watchers: list[Course] = []
        self._created_at = 0.0

    def lease(self) -> Lease | None:
        """Return the current Lease."""
        return None if self.document is None else record.read(self.document)

    def write(self, document: dict[str, Any]) -> Lease | None:
        """Write it as PUT or POST; None for a conflict."""
        known = None if self.document is None else self.document["metadata"]["resourceVersion"]
        if document["metadata"].get("resourceVersion") != known:
            return None
        if self.document is None:
            self._created_at = self._network.now
        self._network.version += 1
        metadata = {**document["metadata"], "resourceVersion": str(self._network.version)}
        self.document = {**document, "metadata": metadata}
        written = record.read(self.document)
        for watcher in self.watchers:
            watcher.watch(written, deleted=False)
        return written

    def delete_settled(self) -> None:
        """Delete it, as if by hand, but not while creations that were sent before its own may
        still be on their way: their effect is a limit that docs/lease.md states."""
        if self._network.now > self._created_at + self._network.faults.longest + DEADLINE:
            self.delete()

    def delete(self) -> None:
        """Delete it."""
        gone, self.document = self.lease(), None
        if gone is not None:
            self._network.version += 1
            for watcher in self.watchers:
                watcher.watch(gone._replace(version=self._network.version), deleted=True)


class Course:
    """A campaign for one Lease on a machine: its requests and its watch. `plan` returns what is
    next, `tell` is called when there may be news of leadership."""

    def __init__(
        self,
        machine: Machine,
        network: Network,
        lease: Object,
        campaign: Campaign,
        plan: Callable[["Course"], Plan],
        tell: Callable[[float | None], None],
    ) -> None:
        self._machine = machine
        self._network = network
        self._lease = lease
        self.campaign = campaign
        self._plan = plan
        self._tell = tell
        self.watching = True
        # Called when the Lease has come to keep a success of ours, and to ask whether it counts
        # that it was taken.
        self.kept: Callable[[], None] = lambda: None
        self.counts: Callable[[], bool] = lambda: True
        self._busy: int | None = None
        self._watch_free_at = 0.0
        self._wake_id = 0
        self._ids = itertools.count()
        lease.watchers.append(self)

    def holder(self) -> str | None:
        """Return who holds the Lease, as last seen."""
        return None if self.campaign.lease is None else self.campaign.lease.holder or None

    def watch(self, lease: Lease, *, deleted: bool) -> None:
        """Show what became of the Lease, in order, if the watch is open."""
        if not self.watching:
            return
        network, machine = self._network, self._machine
        arrives = max(network.now + network.delay(), self._watch_free_at)
        self._watch_free_at = arrives

        def see() -> None:
            if deleted:
                self.campaign.deleted(lease.version, machine.clocks())
            else:
                self.campaign.heard(lease, machine.clocks(), by_watch=True)
            self._tell(None)
            self.go_on()

        network.at(arrives, lambda: machine.when_awake(see))

    def go_on(self) -> None:
        """Do what the campaign says is next, unless a request is on its way."""
        machine = self._machine
        if not machine.lives or machine.is_asleep or self._busy is not None:
            return
        now = machine.clocks()
        plan = self._plan(self)
        machine.look()
        if plan.step is not Step.WAIT:
            self.send(plan.step)
            return
        self._wake_id = turn = next(self._ids)

        def on_time() -> None:
            if self._wake_id == turn:
                self.go_on()

        pause = max(0.001, plan.until - now.monotonic)
        self._network.at(self._network.now + pause, lambda: machine.when_awake(on_time))

    def send(self, step: Step) -> None:
        """Send the request for a step."""
        machine, network = self._machine, self._network
        sent, lease = machine.clocks(), self.campaign.lease
        self._busy = number = next(self._ids)
        left = self.campaign.deadline - sent.boot if self.campaign.leads(sent) else DEADLINE
        patience = max(0.1, min(left, DEADLINE / 2))
        if step is Step.RELEASE:
            self.campaign.forget()

        def answered(found: Lease | None) -> None:
            if self._busy != number:
                return
            self._busy = None
            if step is not Step.RELEASE:
                self._take_in(step, found, sent)
            self.go_on()

        def given_up() -> None:
            if self._busy == number:
                self._busy = None
                self.campaign.failed(step, machine.clocks())
                self.go_on()

        def arrived() -> None:
            found = self._arrived(step, lease)
            if not network.is_lost():
                network.at(
                    network.now + network.delay(),
                    lambda: machine.when_awake(lambda: answered(found)),
                )

        if not network.is_lost():
            network.at(network.now + network.delay(), arrived)
        network.at(network.now + patience, lambda: machine.when_awake(given_up))

    def _take_in(self, step: Step, found: Lease | None, sent: Now) -> None:
        now = self._machine.clocks()
        if step is Step.READ:
            self.campaign.heard(found, now)
            self._tell(sent.boot)
        elif found is None:
            self.campaign.conflicted(now)
        elif step is Step.ACQUIRE and not self.counts():
            self.campaign.failed(step, now)
        else:
            self.campaign.wrote(step, found, sent, now)
            self._tell(None)

    def _arrived(self, step: Step, lease: Lease | None) -> Lease | None:
        us = self.campaign.us
        if step is Step.READ:
            return self._lease.lease()
        if step is Step.RENEW and lease is not None:
            return self._lease.write(record.renewed(lease, us, _MOMENT))
        if step is Step.KEEP and lease is not None:
            kept = self._lease.write(record.done(lease, us, _KEY, _MOMENT))
            if kept is not None:
                self.kept()
            return kept
        if step is Step.RELEASE and lease is not None:
            return self._lease.write(record.released(lease, _MOMENT))
        return self._lease.write(record.taken(lease, _NAME, us, _MOMENT))

    def release(self) -> None:
        """Release the Lease, if it is ours or may be by now; the campaign is over."""
        if not self.campaign.may_hold:
            return
        network = self._network

        def write(document: dict[str, Any]) -> None:
            if not network.is_lost():
                self._lease.write(document)

        def read() -> None:
            found = self._lease.lease()
            if found is not None and self.campaign.us.wrote(found):
                document = record.released(found, _MOMENT)
                network.at(network.now + network.delay(), lambda: write(document))

        network.at(network.now + network.delay(), read)


class World(Network):
    """Everything there is."""

    def __init__(self, seed: int, names: str, faults: Faults) -> None:
        super().__init__(seed, faults)
        self.lease = Object(self)
        # Whose success the Lease keeps: who, when the command has succeeded, and when it was kept.
        self.kept: list[tuple[str, float, float]] = []
        self.players = [Player(self, name, self.random.uniform(0, 3)) for name in names]

    @property
    def machines(self) -> "list[Player]":
        """All replicas."""
        return self.players


class Player(Machine):
    """One replica: a campaign, the core's belief, and the clocks of its machine."""

    def __init__(self, world: World, name: str, begins: float, life: int = 1) -> None:
        super().__init__(world, name, DEADLINE)
        self.world = world
        self.us = Candidate(name, f"life {life} of {name}", DURATION, f"pod/{name}")
        self._life = life
        self.campaign = Campaign(self.us, Terms(DEADLINE, PERIOD), _KEY)
        self.course = Course(self, world, world.lease, self.campaign, self._plan, self._tell)
        self.course.kept = self._have_kept
        self.succeeded_at: float | None = None
        world.at(begins, self.go_on)

    # What happens to it.

    def kill(self) -> None:
        """Kill it, along with its command, at once."""
        self.look()
        self._end(grace=0.0)
        self.lives = False

    def restart(self) -> None:
        """Kill it, as the first process of its container, and start that again."""
        if self.lives:
            self.kill()
            name, begins = self.us.identity, self.world.now + self.world.random.uniform(0.2, 3)
            self.world.players.append(Player(self.world, name, begins, self._life + 1))

    def succeed(self, cleans_up_for: float) -> None:
        """Have its command succeed, if it leads, so that this is to be kept after its --on-stop."""
        self.look()
        fence = self.campaign.fence
        if not self.lives or self.is_asleep or not self.leads():
            return
        self.succeeded_at = self.world.now

        def keep() -> None:
            self.campaign.keep_success(fence)
            self.go_on()

        self.world.at(self.world.now + cleans_up_for, lambda: self.when_awake(keep))

    def _have_kept(self) -> None:
        if self.succeeded_at is not None:
            self.world.kept.append((self.us.identity, self.succeeded_at, self.world.now))

    def release(self) -> None:
        """Let it stop its command, and then release the Lease, as if ordered to stop."""
        if self.is_asleep or not self.lives:
            return
        self.look()
        ours = [reign.gone for reign in self.world.reigns if reign.who == self.us.identity]
        if max(ours, default=0.0) > self.world.now:
            # Not before the whole tree that is being stopped is gone.
            self.world.at(max(ours), self.release)
            return
        self.kill()
        self.course.release()

    # What it does.

    def go_on(self) -> None:
        """Do what the campaign says is next."""
        self.course.go_on()

    def _plan(self, course: Course) -> Plan:
        return self.campaign.plan(self.clocks(), watched=course.watching)

    def _tell(self, asked_at: float | None) -> None:
        self._believe(self.campaign.term(self.clocks(), asked_at))
