"""With --slots a term has a slot, as it has a fence: another one is another term."""

import signal

import pytest
from core.world import ME, World

from leaderexec.core import actions, events
from leaderexec.core.actions import Job, Role
from leaderexec.inbox import Inbox


def announced(world: World, fence: int | None, slot: int) -> list[actions.Action]:
    """Have this replica named in a slot, and nothing more in the inbox."""
    return world.then(events.Announced(ME, world.now, fence, slot))


def started(decided: list[actions.Action]) -> list[actions.Start]:
    """Return what is started."""
    return [one for one in decided if isinstance(one, actions.Start)]


def test_what_is_started_is_told_its_slot() -> None:
    """Slot 0 is one, too."""
    (start,) = started(announced(World(), 7, 0))
    assert (start.job, start.fence, start.slot) == (Job.COMMAND, 7, 0)


def test_a_renewal_in_the_same_slot_changes_nothing() -> None:
    """It is the same term."""
    world = World()
    announced(world, 7, 1)
    assert announced(world, 7, 1) == []
    assert world.does(Role.RUNNING)


@pytest.mark.parametrize("fence", [7, None])
def test_another_slot_under_the_same_fence_is_another_term(fence: int | None) -> None:
    """The command of the one is stopped before that of the other starts."""
    world = World()
    announced(world, fence, 1)
    assert announced(world, fence, 0) == [actions.Stop(signal.SIGTERM)]
    world.on(events.Exited(Job.COMMAND, 143, alone=True))
    (start,) = started(world.then(events.TreeGone()))
    assert (start.term, start.slot) == (2, 0)


def test_the_hook_after_a_loss_is_told_the_slot_that_was_lost() -> None:
    """It cleans up after that one, whatever comes next."""
    world = World(on_stop_timeout=5.0)
    announced(world, 7, 1)
    announced(world, 8, 0)
    world.on(events.Exited(Job.COMMAND, 143, alone=True))
    (start,) = started(world.then(events.TreeGone()))
    assert (start.job, start.fence, start.slot) == (Job.ON_STOP, 7, 1)


def test_the_inbox_keeps_a_change_of_slot_apart() -> None:
    """Even under one fence."""
    inbox = Inbox()
    for slot in (0, 1, 1):
        inbox.put(events.Announced(ME, 1.0, 7, slot))
    assert [one.slot for one in inbox.take() if isinstance(one, events.Announced)] == [0, 1]
