"""Five replicas, some of which can't do the work: a fit one comes to lead, without flapping.

The election is a lock: any replica that competes for it while it is free may get it, at random.
Time passes in steps of a second.
"""

import random

import pytest
from core.world import World

from leaderexec.core import actions, events
from leaderexec.core.actions import Job
from leaderexec.core.backoff import HOLD_OFF_CAP
from leaderexec.core.belief import ContactPolicy
from leaderexec.core.lifecycle import Restart, Unhealthy

STEP = 1.0
HOLD_OFF = 30.0
# An unfit command is detected within this time.
FOUND_WITHIN = 20.0
COUNT = 5
HOUR = 3600.0


class Replica:
    """A replica whose command is fit or not. An unfit command hangs, or exits on its own."""

    def __init__(self, chance: random.Random, *, fit: bool) -> None:
        self.world = World(
            contact=ContactPolicy(None),
            restart=Restart.ALWAYS,
            unhealthy=Unhealthy.ABDICATE,
            abdicate_after=2,
            hold_off=HOLD_OFF,
        )
        self.chance = chance
        self.fit = fit
        self.holds = False
        self.holds_off_until = 0.0
        self.fails_at: float | None = None
        self.starts: list[float] = []

    @property
    def runs(self) -> bool:
        """Return whether its command runs."""
        return self.world.state.run is not None

    def takes(self, now: float, fence: int) -> None:
        """Get the lock."""
        assert now >= self.holds_off_until, "competes while it holds off"
        self.holds = True
        self.hears(events.Announced("app-a", now, fence), now)

    def passes(self, now: float) -> None:
        """Let time pass; an unfit command fails when its time has come."""
        if self.fails_at is not None and now >= self.fails_at:
            self.fails_at = None
            self.fails(now)
        self.hears(events.Tick(), now)

    def fails(self, now: float) -> None:
        """Hang, be detected, and be stopped; or exit."""
        run = self.world.state.run
        assert run is not None
        if self.chance.random() < 0.5:
            self.hears(events.Health(False, run.started_at, now, "hangs"), now)
        self.hears(events.Exited(Job.COMMAND, 1, alone=True), now)

    def hears(self, event: events.Event, now: float) -> None:
        """Decide, and act."""
        self.world.now = now
        for action in self.world.on(event):
            match action:
                case actions.Start():
                    assert self.holds, "a command without the lock"
                    self.starts.append(now)
                    late = self.chance.uniform(0.0, FOUND_WITHIN / 2)
                    self.fails_at = None if self.fit else now + late
                case actions.Release(hold_off):
                    assert HOLD_OFF <= hold_off <= HOLD_OFF_CAP
                    self.holds = False
                    self.holds_off_until = now + hold_off
                    self.hears(events.Announced(None, now), now)


def lives(
    replicas: list[Replica], seconds: float, chance: random.Random, now: float = 1000.0
) -> float:
    """Let time pass until a fit command runs or the given seconds are over; return the time at
    the end."""
    until = now + seconds
    while now < until:
        if not any(one.holds for one in replicas):
            free = [one for one in replicas if now >= one.holds_off_until]
            if free:
                chance.choice(free).takes(now, fence=int(now / STEP))
        for one in replicas:
            one.passes(now)
        assert sum(one.runs for one in replicas) <= 1, "two commands at once"
        if any(one.fit and one.runs for one in replicas):
            break
        now += STEP
    return now


@pytest.mark.parametrize("seed", range(30))
def test_a_fit_replica_leads_within_a_bounded_time(seed: int) -> None:
    """Whoever gets the lock: each unfit replica has released it at most three times before it holds
    off for longer than all the others together need."""
    chance = random.Random(seed)
    fits = [True, *(chance.random() < 0.3 for _ in range(COUNT - 1))]
    chance.shuffle(fits)
    replicas = [Replica(chance, fit=fit) for fit in fits]
    lives(replicas, 3 * (COUNT - 1) * FOUND_WITHIN, chance)
    assert any(one.fit and one.runs for one in replicas)


@pytest.mark.parametrize("seed", range(4))
def test_if_all_replicas_are_unfit_they_take_turns(seed: int) -> None:
    """No replica stands by forever, and none waits for longer than the longest hold-off."""
    chance = random.Random(seed)
    replicas = [Replica(chance, fit=False) for _ in range(COUNT)]
    lives(replicas, 2 * HOUR, chance)
    most = HOLD_OFF_CAP + COUNT * FOUND_WITHIN
    for one in replicas:
        gaps = [after - before for before, after in zip(one.starts, one.starts[1:], strict=False)]
        assert len(gaps) > 2 * HOUR / most
        assert max(gaps) <= most


@pytest.mark.parametrize("seed", range(4))
def test_a_replica_that_becomes_fit_leads_within_its_hold_off(seed: int) -> None:
    """Whatever was down is up again everywhere: the next leader keeps leading."""
    chance = random.Random(seed)
    replicas = [Replica(chance, fit=False) for _ in range(COUNT)]
    now = lives(replicas, HOUR, chance)
    for one in replicas:
        one.fit = True
    lives(replicas, HOLD_OFF_CAP + FOUND_WITHIN, chance, now)
    assert any(one.fit and one.runs for one in replicas)
