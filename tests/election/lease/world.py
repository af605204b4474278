"""Candidates and an API server in simulated time, with random delays, losses, sleeps and kills.

Each candidate is the real campaign with the core's real belief on top; only network,
clocks and threads are simulated. True time is in seconds. Each candidate's boot time is
true time plus an offset, while its monotonic time stops when it sleeps.
"""

import itertools
from datetime import UTC, datetime
from typing import Any, NamedTuple

from election.simulated import Machine, Time

from leaderexec.election.lease import record
from leaderexec.election.lease.campaign import Campaign, Step
from leaderexec.election.lease.record import Candidate, Lease, Name
from leaderexec.election.renewing import Terms

DURATION, DEADLINE, PERIOD = 22, 10.0, 2.0
_NAME = Name("ns", "demo")
_KEY = "v1"
_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


class Faults(NamedTuple):
    """The network's faults: the shares of requests and responses that are lost, the longest
    delay of either in seconds, and the share of delays that are that long."""

    lost: float = 0.0
    longest: float = 0.05
    slow: float = 0.0


class World(Time):
    """The whole simulation."""

    def __init__(self, seed: int, names: str, faults: Faults) -> None:
        super().__init__(seed)
        self.faults = faults
        self.version = 1000
        self.document: dict[str, Any] | None = None
        # Whose success the Lease records: who, when the command succeeded, when it was recorded.
        self.kept: list[tuple[str, float, float]] = []
        self._created_at = 0.0
        self.players = [Player(self, name, self.random.uniform(0, 3)) for name in names]

    @property
    def machines(self) -> "list[Player]":
        """All replicas."""
        return self.players

    def delay(self) -> float:
        """Draw how long a message takes."""
        if self.random.random() < self.faults.slow:
            return self.random.uniform(0, self.faults.longest)
        return self.random.uniform(0.001, 0.01)

    def is_lost(self) -> bool:
        """Draw whether a message is lost."""
        return self.random.random() < self.faults.lost

    # The API server.

    def lease(self) -> Lease | None:
        """Return the current Lease."""
        return None if self.document is None else record.read(self.document)

    def write(self, document: dict[str, Any]) -> Lease | None:
        """Write it as PUT or POST; None for a conflict."""
        known = None if self.document is None else self.document["metadata"]["resourceVersion"]
        if document["metadata"].get("resourceVersion") != known:
            return None
        if self.document is None:
            self._created_at = self.now
        self.version += 1
        metadata = {**document["metadata"], "resourceVersion": str(self.version)}
        self.document = {**document, "metadata": metadata}
        written = record.read(self.document)
        for player in self.players:
            player.watch(written, deleted=False)
        return written

    def delete_settled(self) -> None:
        """Delete it, as if by hand, but not while creations that were sent before its own may
        still be on their way: their effect is a limit that docs/lease.md states."""
        if self.now > self._created_at + self.faults.longest + DEADLINE:
            self.delete()

    def delete(self) -> None:
        """Delete it."""
        gone, self.document = self.lease(), None
        if gone is not None:
            self.version += 1
            for player in self.players:
                player.watch(gone._replace(version=self.version), deleted=True)


class Player(Machine):
    """One replica: a campaign, the core's belief, and the clocks of its machine."""

    def __init__(self, world: World, name: str, begins: float, life: int = 1) -> None:
        super().__init__(world, name, DEADLINE)
        self.world = world
        self.us = Candidate(name, f"life {life} of {name}", DURATION, f"pod/{name}")
        self._life = life
        self.campaign = Campaign(self.us, Terms(DEADLINE, PERIOD), _KEY)
        self.succeeded_at: float | None = None
        self.watching = True
        self._busy: int | None = None
        self._watch_free_at = 0.0
        self._wake_id = 0
        self._ids = itertools.count()
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
        if not self.lives or self._asleep_since is not None or not self.leads():
            return
        self.succeeded_at = self.world.now

        def keep() -> None:
            self.campaign.keep_success(fence)
            self.go_on()

        self.world.at(self.world.now + cleans_up_for, lambda: self._when_awake(keep))

    def release(self) -> None:
        """Let it stop its command, and then release the Lease, as if ordered to stop."""
        if self._asleep_since is not None or not self.lives:
            return
        self.look()
        ours = [reign.gone for reign in self.world.reigns if reign.who == self.us.identity]
        if max(ours, default=0.0) > self.world.now:
            # Not before the whole tree that is being stopped is gone.
            self.world.at(max(ours), self.release)
            return
        self.kill()
        if not self.campaign.may_hold:
            return

        def read() -> None:
            found = self.world.lease()
            if found is not None and self.us.wrote(found):
                document = record.released(found, _MOMENT)
                self.world.at(self.world.now + self.world.delay(), lambda: self._write(document))

        self.world.at(self.world.now + self.world.delay(), read)

    def _write(self, document: dict[str, Any]) -> None:
        if not self.world.is_lost():
            self.world.write(document)

    def watch(self, lease: Lease, *, deleted: bool) -> None:
        """Show the Lease's changes, in order, if the watch is open."""
        if not self.watching:
            return
        arrives = max(self.world.now + self.world.delay(), self._watch_free_at)
        self._watch_free_at = arrives

        def see() -> None:
            if deleted:
                self.campaign.deleted(lease.version, self.clocks())
            else:
                self.campaign.heard(lease, self.clocks(), by_watch=True)
            self._tell()
            self.go_on()

        self.world.at(arrives, lambda: self._when_awake(see))

    # What it does.

    def go_on(self) -> None:
        """Do the campaign's next step, unless a request is on its way."""
        if not self.lives or self._asleep_since is not None or self._busy is not None:
            return
        now = self.clocks()
        plan = self.campaign.plan(now, watched=self.watching)
        self.look()
        if plan.step is not Step.WAIT:
            self._send(plan.step)
            return
        self._wake_id = turn = next(self._ids)

        def on_time() -> None:
            if self._wake_id == turn:
                self.go_on()

        pause = max(0.001, plan.until - now.monotonic)
        self.world.at(self.world.now + pause, lambda: self._when_awake(on_time))

    def _send(self, step: Step) -> None:
        sent, lease, world = self.clocks(), self.campaign.lease, self.world
        self._busy = number = next(self._ids)
        left = self.campaign.deadline - sent.boot if self.campaign.leads(sent) else DEADLINE
        patience = max(0.1, min(left, DEADLINE / 2))

        def answered(found: Lease | None) -> None:
            if self._busy != number:
                return
            self._busy = None
            now = self.clocks()
            if step is Step.READ:
                self.campaign.heard(found, now)
                self._tell(sent.boot)
            elif found is None:
                self.campaign.conflicted(now)
            else:
                self.campaign.wrote(step, found, sent, now)
                self._tell()
            self.go_on()

        def given_up() -> None:
            if self._busy == number:
                self._busy = None
                self.campaign.failed(step, self.clocks())
                self.go_on()

        def arrived() -> None:
            found = self._arrived(step, lease)
            if not world.is_lost():
                world.at(
                    world.now + world.delay(), lambda: self._when_awake(lambda: answered(found))
                )

        if not world.is_lost():
            world.at(world.now + world.delay(), arrived)
        world.at(world.now + patience, lambda: self._when_awake(given_up))

    def _arrived(self, step: Step, lease: Lease | None) -> Lease | None:
        if step is Step.READ:
            return self.world.lease()
        if step is Step.RENEW and lease is not None:
            return self.world.write(record.renewed(lease, self.us, _MOMENT))
        if step is Step.KEEP and lease is not None and self.succeeded_at is not None:
            kept = self.world.write(record.done(lease, self.us, _KEY, _MOMENT))
            if kept is not None:
                self.world.kept.append((self.us.identity, self.succeeded_at, self.world.now))
            return kept
        return self.world.write(record.taken(lease, _NAME, self.us, _MOMENT))

    def _tell(self, asked_at: float | None = None) -> None:
        self._believe(self.campaign.term(self.clocks(), asked_at))
