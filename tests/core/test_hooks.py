"""What is decided about --on-start and --on-stop, step by step."""

import signal

import pytest
from core.world import ME, RIVAL, World

from leaderexec.core import actions, events
from leaderexec.core.actions import Job, Role
from leaderexec.core.belief import ContactPolicy
from leaderexec.core.lifecycle import Restart, next_deadline

START = actions.Start(Job.COMMAND, 1, ME, 100.0)
ON_START = actions.Start(Job.ON_START, 1, ME, 100.0)


def on_stop(result: int | None, leader: str = ME) -> actions.Start:
    """Return the start of --on-stop after a command that exited with `result`."""
    return actions.Start(Job.ON_STOP, 1, leader, 100.0, code=result)


def hooked(**policy: object) -> World:
    """Return a world with both hooks."""
    return World(**{"on_start_timeout": 7.0, "on_stop_timeout": 2.0, **policy})


def hook_ends(world: World, code: int = 0) -> list[actions.Action]:
    """Let the hook exit without leaving anything behind."""
    assert world.state.run is not None
    return world.ends(code, world.state.run.job)


def preparing(**policy: object) -> World:
    """Win, and get to --on-start."""
    world = hooked(**policy)
    world.announce(ME)
    assert world.tick() == [ON_START]
    assert world.does(Role.PREPARING)
    return world


def running(**policy: object) -> World:
    """Win, and run."""
    world = preparing(**policy)
    assert hook_ends(world) == [START]
    assert world.does(Role.RUNNING)
    return world


def test_the_command_starts_after_on_start_and_on_stop_runs_after_its_tree() -> None:
    """In this order, and then it is on standby again."""
    world = running()
    assert world.announce(RIVAL) == [actions.Stop(signal.SIGTERM)]
    assert world.leaves(0) == [actions.StopLeftovers(signal.SIGTERM)]
    assert world.then(events.TreeGone()) == [on_stop(0, RIVAL)]
    assert world.does(Role.CLEANING)
    assert hook_ends(world) == []
    assert world.does(Role.STANDBY)


def test_an_on_stop_that_waited_for_survivors_is_told_the_commands_exit_code() -> None:
    """Though the term is long over."""
    world = running(contact=ContactPolicy(timeout=None))
    world.announce(RIVAL)
    world.leaves(3)
    world.tick(10)
    assert world.tick(5) == [actions.NameSurvivors()]
    assert world.does(Role.STANDBY)
    assert world.then(events.TreeGone()) == [on_stop(3, RIVAL)]


def test_a_loss_after_on_start_and_before_the_tick_starts_nothing_and_cleans_up() -> None:
    """The start waits for everything that is known, as without hooks."""
    world = preparing()
    world.on(events.Exited(Job.ON_START, 0, alone=True))
    assert world.announce(RIVAL) == []
    assert world.tick() == [on_stop(None, RIVAL)]
    assert "leadership moved" in world.state.reason
    hook_ends(world)
    assert world.does(Role.STANDBY)


def test_an_order_to_stop_after_on_start_and_before_the_tick_cleans_up() -> None:
    """Then it exits with 0: no command ran."""
    world = preparing()
    world.on(events.Exited(Job.ON_START, 0, alone=True))
    assert world.told() == [on_stop(None)]
    assert hook_ends(world) == [actions.Exit(0)]


def test_a_loss_during_on_start_stops_it_within_grace_lost() -> None:
    """The hook gets the stop signal, its failure does not count, --on-stop cleans up."""
    world = preparing(hook_failure_aborts=True, on_start_timeout=30.0)
    assert world.announce(RIVAL) == [actions.Stop(signal.SIGTERM)]
    assert next_deadline(world.policy, world.state) == 108.0
    assert hook_ends(world, 143) == [on_stop(None, RIVAL)]
    hook_ends(world)
    assert world.does(Role.STANDBY)


def test_a_stop_gives_on_start_no_more_time_than_it_had() -> None:
    """Its own timeout stays: then it is killed."""
    world = preparing()
    world.tick(6.0)
    assert world.told() == [actions.Stop(signal.SIGTERM)]
    assert next_deadline(world.policy, world.state) == 107.0
    assert world.tick(1.0) == [actions.KillTree()]
    assert hook_ends(world, 137) == [on_stop(None)]
    assert hook_ends(world) == [actions.Exit(0)]


def test_an_order_to_stop_during_on_start_exits_with_0() -> None:
    """As on standby: no command ran."""
    world = preparing()
    assert world.told() == [actions.Stop(signal.SIGTERM)]
    assert hook_ends(world, 143) == [on_stop(None)]
    assert hook_ends(world) == [actions.Exit(0)]


def test_processes_left_by_on_start_are_stopped_before_the_command_starts() -> None:
    """By the hook's own deadline."""
    world = preparing()
    assert world.leaves(0, Job.ON_START) == [actions.StopLeftovers(signal.SIGTERM)]
    assert next_deadline(world.policy, world.state) == 107.0
    assert world.tick(7.0) == [actions.KillTree()]
    assert world.then(events.TreeGone()) == [START]


def test_on_start_that_takes_too_long_is_killed_and_the_command_starts() -> None:
    """With --hook-failure ignore."""
    world = preparing()
    assert world.tick(7.0) == [actions.KillTree()]
    assert "--on-start took longer" in world.state.reason
    assert hook_ends(world, 137) == [START]


@pytest.mark.parametrize("late", [False, True])
def test_a_failed_on_start_aborts_if_the_option_asks_for_it(late: bool) -> None:
    """The command is not started; --on-stop cleans up; then it exits with 125."""
    world = preparing(hook_failure_aborts=True)
    if late:
        assert world.tick(7.0) == [actions.KillTree()]
    assert hook_ends(world, 3) == [on_stop(None)]
    assert hook_ends(world) == [actions.Exit(125)]
    assert "--on-start" in world.state.reason


def test_a_failed_on_start_is_ignored_by_default() -> None:
    """The command is started."""
    world = preparing()
    assert hook_ends(world, 3) == [START]


def test_the_commands_code_survives_on_stop() -> None:
    """Whatever the hook exits with, and even if its failure aborts."""
    world = running(hook_failure_aborts=True)
    assert world.ends(7) == [on_stop(7)]
    assert hook_ends(world, 3) == [actions.Exit(7)]


def test_a_failed_on_stop_after_a_loss_aborts_if_the_option_asks_for_it() -> None:
    """It exits with 125 instead of returning to standby."""
    world = running(hook_failure_aborts=True)
    world.announce(RIVAL)
    world.ends(0)
    assert hook_ends(world, 3) == [actions.Exit(125)]
    assert world.state.reason == "--on-stop ended with 3"


def test_the_stop_and_on_stop_share_one_grace() -> None:
    """The hook's timeout is reserved at the grace's end, however long the command takes."""
    world = running()
    world.announce(RIVAL)
    assert next_deadline(world.policy, world.state) == 108.0
    assert world.tick(8.0) == [actions.KillTree()]
    assert world.ends(137) == [on_stop(137, RIVAL)]
    assert next_deadline(world.policy, world.state) == 110.0
    assert world.tick(2.0) == [actions.KillTree()]
    hook_ends(world, 137)
    assert world.does(Role.STANDBY)


def test_a_loss_while_on_stop_runs_restarts_nothing() -> None:
    """The command had exited on its own and was to be restarted."""
    world = running(restart=Restart.ALWAYS)
    assert world.ends(1) == [on_stop(1)]
    assert world.announce(RIVAL) == []
    assert hook_ends(world) == []
    assert world.does(Role.STANDBY)


def test_leadership_regained_while_on_stop_runs_waits_for_its_end() -> None:
    """The next term begins with --on-start again."""
    world = running()
    world.announce(RIVAL)
    world.ends(0)
    assert world.announce(ME) == []
    (again,) = hook_ends(world)
    assert isinstance(again, actions.Start)
    assert (again.job, again.term) == (Job.ON_START, 2)


def test_every_restart_has_its_hooks() -> None:
    """Before the command starts, and after its tree is gone."""
    world = running(restart=Restart.ALWAYS)
    world.ends(1)
    hook_ends(world)
    assert world.does(Role.BACKOFF)
    (again,) = world.tick(1.0)
    assert isinstance(again, actions.Start)
    assert hook_ends(world) == [START]


def test_on_stop_has_the_fence_of_the_term_that_it_cleans_up_after() -> None:
    """Not that of a term won meanwhile: its writes are the old leader's."""
    world = hooked()
    fences = []
    world.on(events.Announced(ME, world.now, 7))
    for order in world.tick(), hook_ends(world):
        fences += [one.fence for one in order if isinstance(one, actions.Start)]
    world.on(events.Announced(ME, world.now, 9))
    for order in world.ends(0), hook_ends(world):
        fences += [one.fence for one in order if isinstance(one, actions.Start)]
    assert fences == [7, 7, 7, 9]


def test_an_order_to_stop_while_on_stop_runs_exits_with_the_commands_code() -> None:
    """After the hook; a second order changes nothing."""
    world = running(restart=Restart.ALWAYS)
    world.ends(7)
    assert world.told() == []
    assert world.told() == []
    assert hook_ends(world) == [actions.Exit(7)]


def test_a_hook_for_which_no_process_can_be_created_has_failed() -> None:
    """--on-start is retried like the command; --on-stop is skipped."""
    world = preparing()
    assert world.then(events.StartFailed("EAGAIN")) == []
    assert world.does(Role.BACKOFF)
    assert world.tick(1.0) == [ON_START]
    hook_ends(world)
    world.announce(RIVAL)
    world.ends(0)
    assert world.then(events.StartFailed("EAGAIN")) == []
    assert world.does(Role.STANDBY)


def test_a_command_for_which_no_process_can_be_created_is_not_prepared_twice() -> None:
    """--on-start has done its work; a loss in the meantime still cleans up."""
    world = running()
    world.then(events.StartFailed("EAGAIN"))
    assert world.tick(1.0) == [START]
    world.then(events.StartFailed("EAGAIN"))
    world.announce(RIVAL)
    (cleaning,) = world.tick()
    assert isinstance(cleaning, actions.Start)
    assert cleaning.job is Job.ON_STOP


def test_signals_are_not_forwarded_to_hooks() -> None:
    """They are harmless, as on standby."""
    world = preparing()
    (note,) = world.told(signal.SIGHUP)
    assert isinstance(note, actions.Note)
    hook_ends(world)
    world.ends(0)
    (note,) = world.told(signal.SIGHUP)
    assert isinstance(note, actions.Note)
