"""--once: the election keeps a success, and no replica runs the command again."""

import signal

import pytest
from core.world import ME, RIVAL, World

from leaderexec.core import actions, events
from leaderexec.core.actions import Job, Role
from leaderexec.core.lifecycle import KEEP_WITHIN, Restart, next_deadline


def recording(**policy: object) -> World:
    """Return a world in which the command has succeeded, and the success is being kept."""
    world = World(once=True, **policy).running()
    assert world.ends(0) == [actions.KeepSuccess()]
    return world


def exits(decided: list[actions.Action]) -> list[int]:
    """Return the exit code, if one was decided."""
    return [one.code for one in decided if isinstance(one, actions.Exit)]


def test_a_success_is_kept_and_then_it_exits_with_0() -> None:
    """In this order."""
    world = recording()
    assert world.does(Role.RECORDING)
    assert world.tick(1.0) == []
    assert world.then(events.Done()) == [actions.Exit(0)]
    assert world.state.reason == "done for this --once-key"


def test_without_the_option_nothing_is_kept() -> None:
    """On success leaderexec exits as usual."""
    assert World().running().ends(0) == [actions.Exit(0)]


def test_a_job_that_is_done_is_not_run() -> None:
    """Nor is it by a replica that starts later, whether it leads or not."""
    for leader in (ME, RIVAL, None):
        world = World(once=True)
        world.on(events.Done())
        world.announce(leader)
        assert world.tick() == [actions.Exit(0)]
        assert world.state.reason == "already done for this --once-key"


def test_a_job_that_becomes_done_during_the_takeover_delay_is_not_run() -> None:
    """It does not wait for the end of the delay."""
    world = World(once=True, takeover_delay=11.0)
    world.announce(ME)
    assert world.tick(5.0) == []
    assert world.does(Role.TAKEOVER)
    assert world.then(events.Done()) == [actions.Exit(0)]


def test_a_job_that_becomes_done_in_backoff_is_not_run_again() -> None:
    """Another replica has done it, or a user has written that it is done."""
    world = World(once=True, restart=Restart.ON_FAILURE).running()
    assert world.ends(1) == []
    assert world.does(Role.BACKOFF)
    assert world.then(events.Done()) == [actions.Exit(0)]


def test_a_running_command_is_not_stopped_when_the_job_becomes_done() -> None:
    """It exits when it wants; leadership decides whether it may run."""
    world = World(once=True).running()
    assert world.then(events.Done()) == []
    assert world.does(Role.RUNNING)
    assert world.ends(1) == [actions.Exit(0)]


def test_a_failure_is_not_kept_and_its_code_is_the_exit_code() -> None:
    """Leadership is released, so the next replica tries."""
    assert World(once=True).running().ends(3) == [actions.Exit(3, release=True)]


def test_an_exit_code_that_counts_as_success_is_kept() -> None:
    """All replicas exit with 0."""
    world = World(once=True, success_codes=frozenset({0, 3})).running()
    assert world.ends(3) == [actions.KeepSuccess()]
    assert world.then(events.Done()) == [actions.Exit(0)]


def test_a_success_is_not_restarted() -> None:
    """Whatever --restart says; a failure is."""
    world = World(once=True, restart=Restart.ALWAYS).running()
    assert world.ends(1) == []
    (start,) = world.tick(0.5)
    assert isinstance(start, actions.Start)
    assert world.ends(0) == [actions.KeepSuccess()]


@pytest.mark.parametrize("stopped", ["by an order", "by a loss", "by a step-down", "as unhealthy"])
def test_a_command_that_was_stopped_has_not_succeeded(stopped: str) -> None:
    """It exits with 0, but may not have finished."""
    world = World(once=True).running()
    stops: dict[str, events.Event] = {
        "by an order": events.Signalled(signal.SIGTERM),
        "by a loss": events.Announced(RIVAL, world.now),
        "by a step-down": events.StepDown(30.0, "somebody"),
        "as unhealthy": events.Health(False, world.now, world.now, "hangs"),
    }
    world.on(stops[stopped])
    assert actions.KeepSuccess() not in world.ends(0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_replica_ordered_to_stop_before_it_is_done_does_not_exit_with_0(number: int) -> None:
    """An init container, for example, would take 0 for done."""
    assert World(once=True).told(number) == [actions.Exit(128 + number)]
    for code, ours in ((0, 128 + number), (3, 3)):
        world = World(once=True).running()
        world.told(number)
        assert world.ends(code) == [actions.Exit(ours)]


def test_on_stop_runs_before_the_success_is_kept() -> None:
    """The command's exit code is still what counts."""
    world = World(once=True, on_stop_timeout=5.0).running()
    (start,) = world.ends(0)
    assert isinstance(start, actions.Start)
    assert start.job is Job.ON_STOP
    assert world.ends(1, Job.ON_STOP) == [actions.KeepSuccess()]


def test_leftovers_of_the_command_end_before_the_success_is_kept() -> None:
    """Until then it may still be at work."""
    world = World(once=True).running()
    assert world.leaves(0) == [actions.StopLeftovers(signal.SIGTERM)]
    assert world.then(events.TreeGone()) == [actions.KeepSuccess()]


def test_on_stop_also_runs_if_survivors_of_kill_end_during_the_record() -> None:
    """It was postponed for that; afterwards the record goes on."""
    world = World(once=True, on_stop_timeout=5.0).running()
    world.leaves(0)
    world.tick(100.0)
    *_, keep = world.tick(100.0)
    assert keep == actions.KeepSuccess()
    (start,) = world.then(events.TreeGone())
    assert isinstance(start, actions.Start)
    assert start.job is Job.ON_STOP
    world.now += 2 * KEEP_WITHIN
    assert world.on(events.Done()) == []
    assert world.ends(0, Job.ON_STOP) == [actions.Exit(0)]


def test_an_order_to_stop_does_not_prevent_a_success_from_being_kept() -> None:
    """Whether it arrives with the exit, or later."""
    world = World(once=True).running()
    world.on(events.Exited(Job.COMMAND, 0, alone=True))
    assert world.told() == [actions.KeepSuccess()]
    assert world.told(signal.SIGINT) == []
    assert world.then(events.Done()) == [actions.Exit(0)]


def test_a_success_is_kept_for_the_term_in_which_the_command_ran() -> None:
    """Though leadership was elsewhere during --on-stop, and has come back: the election refuses it
    by the fence."""
    world = World(once=True, on_stop_timeout=5.0)
    world.on(events.Announced(ME, world.now, 7))
    world.tick()
    (start,) = world.ends(0)
    assert isinstance(start, actions.Start)
    world.announce(RIVAL)
    world.on(events.Announced(ME, world.now, 9))
    assert world.ends(0, Job.ON_STOP) == [actions.KeepSuccess(7)]


def test_an_order_bounds_the_record_by_its_grace() -> None:
    """Whether it came during the record or before, and never makes it longer."""
    world = recording(grace=5.0)
    world.tick(1.0)
    world.told()
    assert next_deadline(world.policy, world.state) == world.now + 5.0
    assert world.tick(4.9) == []
    assert exits(world.tick(0.1)) == [125]
    assert world.state.reason == "success not kept: the grace period is over"

    world = World(once=True, grace=5.0).running()
    world.leaves(0)
    world.told()
    world.now += 3.0
    assert world.then(events.TreeGone()) == [actions.KeepSuccess()]
    assert next_deadline(world.policy, world.state) == world.now + 2.0

    world = recording(grace=60.0)
    ends = world.now + KEEP_WITHIN
    world.told()
    assert next_deadline(world.policy, world.state) == ends


def test_a_success_that_comes_when_the_grace_of_an_order_is_over_is_not_kept() -> None:
    """There is no time left for it."""
    world = World(once=True, grace=5.0).running()
    world.leaves(0)
    world.told()
    world.tick(5.0)
    assert exits(world.then(events.TreeGone())) == [125]


def test_a_success_that_can_not_be_kept_ends_it_with_125() -> None:
    """At once, with the reason; nothing is claimed that is not so."""
    world = recording()
    note, end = world.then(events.NotKept("the Lease is held by app-b now"))
    assert isinstance(note, actions.Note)
    assert note.event == "success not kept"
    assert "the Lease is held by app-b now" in str(dict(note.fields)["reason"])
    assert end == actions.Exit(125)
    assert world.state.reason == "success not kept: the Lease is held by app-b now"


def test_if_the_record_takes_too_long_it_exits_with_125() -> None:
    """It has a deadline, which is shorter than the default of --grace."""
    world = recording()
    assert next_deadline(world.policy, world.state) == world.now + KEEP_WITHIN
    assert world.tick(KEEP_WITHIN - 0.1) == []
    assert exits(world.tick(0.1)) == [125]
    assert world.policy.grace > KEEP_WITHIN


def test_a_record_that_arrives_at_its_deadline_counts() -> None:
    """The inbox comes before the clock."""
    world = recording()
    world.now += 10 * KEEP_WITHIN
    assert world.then(events.Done()) == [actions.Exit(0)]


def test_a_loss_meanwhile_is_for_the_election_to_judge() -> None:
    """Only it knows, at the moment of the record, whether another replica has taken over."""
    world = recording()
    world.announce(RIVAL)
    assert world.tick() == []
    assert world.does(Role.RECORDING)
    assert world.then(events.Done()) == [actions.Exit(0)]


def test_leadership_regained_meanwhile_starts_nothing() -> None:
    """The command has succeeded."""
    world = recording()
    world.announce(RIVAL)
    world.announce(ME)
    assert world.tick() == []
    assert world.does(Role.RECORDING)
