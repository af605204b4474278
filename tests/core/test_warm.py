"""With --warm the command waits on standby, until one line tells it that it leads."""

import signal

import pytest
from core import world as worlds
from core.world import ME, RIVAL

from leaderexec.core import actions, events
from leaderexec.core.actions import Exit, Forward, Job, Lead, Note, Release, Role, Start, Stop
from leaderexec.core.belief import ContactPolicy
from leaderexec.core.lifecycle import Restart, Unhealthy, next_deadline


class World(worlds.World):
    """A world with --warm that is never out of contact."""

    def __init__(self, **policy: object) -> None:
        super().__init__(contact=ContactPolicy(None), **{"warm": 30.0, **policy})
        self.tick()

    def ready(self, *, ready: bool = True) -> list[actions.Action]:
        """Let the command report it; return the actions that follow, without the log line."""
        said = self.then(events.Ready(ready))
        return [one for one in said if not isinstance(one, Note)]

    def leading(self) -> "World":
        """Win with a command that is ready."""
        self.ready()
        self.announce(ME)
        assert jobs(self.tick(self.policy.takeover_delay)) == [Lead]
        return self


def jobs(done: list[actions.Action]) -> list[object]:
    """Return the jobs that are started, and the types of all other actions."""
    return [one.job if isinstance(one, Start) else type(one) for one in done]


def test_it_is_started_on_standby_and_belongs_to_no_term() -> None:
    """Before any leader is announced, and after another replica is."""
    world = World()
    assert [one.job for one in world.everything if isinstance(one, Start)] == [Job.WARM]
    world.announce(RIVAL)
    assert world.tick() == []
    assert world.does(Role.STANDBY)
    assert world.state.term == 0


def test_the_line_has_term_and_fence_and_is_written_once_the_takeover_delay_is_over() -> None:
    """Not a moment earlier, however long the command has been ready."""
    world = World(takeover_delay=11.0)
    world.ready()
    world.on(events.Announced(ME, world.now, 7))
    assert world.tick() == []
    assert world.does(Role.TAKEOVER)
    assert world.tick(10.9) == []
    (lead,) = world.tick(0.2)
    assert isinstance(lead, Lead)
    assert (lead.start.job, lead.start.term, lead.start.fence) == (Job.COMMAND, 1, 7)
    assert world.does(Role.RUNNING)


def test_the_line_waits_for_ready() -> None:
    """The command can also take it back."""
    world = World()
    world.ready()
    world.ready(ready=False)
    world.announce(ME)
    assert world.tick() == []
    assert world.does(Role.WARMING)
    assert jobs(world.ready()) == [Lead]


def test_its_run_as_leader_begins_with_the_line() -> None:
    """Its probes, its watchdog and its backoff count from there, not from the start on standby."""
    world = World()
    world.now += 500.0
    world.leading()
    assert world.state.run is not None
    assert world.state.run.started_at == world.now


def test_a_loss_before_the_line_leaves_it_waiting() -> None:
    """It was not told that it leads; the next win begins a term with its own delay."""
    world = World(takeover_delay=11.0)
    world.ready()
    world.announce(ME)
    world.tick()
    world.announce(RIVAL)
    assert world.tick(5.0) == []
    world.announce(ME)
    assert world.tick(7.0) == []
    assert jobs(world.tick(11.0)) == [Lead]
    assert world.state.term == 2


def test_a_loss_after_the_line_stops_it_and_a_new_one_is_started() -> None:
    """Within --grace-lost, like any other; the new one waits until nothing of it is left."""
    world = World(grace_lost=10.0).leading()
    world.announce(RIVAL)
    assert world.does(Role.STOPPING)
    assert world.deadline == world.now + 10.0
    assert world.leaves(143) == [actions.StopLeftovers(signal.SIGTERM)]
    assert jobs(world.then(events.TreeGone())) == [Job.WARM]
    assert world.does(Role.STANDBY)


def test_a_win_and_a_loss_that_come_together_write_no_line() -> None:
    """A plan is made only when the inbox is empty."""
    world = World()
    world.ready()
    world.announce(ME)
    world.announce(RIVAL)
    assert world.tick() == []
    assert world.state.term == 0


def test_term_on_standby_stops_it_within_the_grace_and_exits_with_0() -> None:
    """Whatever its exit code: it has not led."""
    world = World(grace=25.0)
    assert world.told() == [Stop(signal.SIGTERM)]
    assert world.deadline == world.now + 25.0
    assert world.ends(3) == [Exit(0)]


def test_when_the_terminal_hangs_up_it_exits_with_129() -> None:
    """The HUP is forwarded first."""
    world = World()
    done = world.then(events.Signalled(signal.SIGHUP, hung_up=True))
    assert done == [Forward(signal.SIGHUP), Stop(signal.SIGTERM)]
    assert world.ends(0) == [Exit(129)]


def test_signals_reach_it() -> None:
    """As they reach a working command."""
    world = World()
    assert world.told(signal.SIGUSR1) == [Forward(signal.SIGUSR1)]


def test_if_it_exits_on_standby_another_is_started_with_backoff() -> None:
    """The backoff doubles, whatever --restart says, and is reset after a minute."""
    world = World()
    for delay in (0.5, 1.0, 2.0):
        assert world.ends(0) == []
        assert world.does(Role.STANDBY)
        assert next_deadline(world.policy, world.state) == world.now + delay
        assert jobs(world.tick(delay)) == [Job.WARM]
    world.now += 60.0
    world.ends(1)
    assert jobs(world.tick(0.5)) == [Job.WARM]


def test_a_win_does_not_wait_for_the_backoff() -> None:
    """No other replica would do the work."""
    world = World()
    world.ends(1)
    world.announce(ME)
    assert jobs(world.tick()) == [Job.WARM]


@pytest.mark.parametrize("code", [126, 127])
def test_if_it_cannot_be_executed_leaderexec_exits_with_its_code(code: int) -> None:
    """It can't succeed."""
    world = World(restart=Restart.ALWAYS)
    assert world.ends(code) == [Exit(code)]


def test_a_failed_fork_on_standby_is_retried_with_backoff() -> None:
    """And reports nothing about a term."""
    world = World()
    assert world.on(events.StartFailed("EAGAIN")) == []
    assert world.tick() == []
    assert jobs(world.tick(0.5)) == [Job.WARM]
    assert world.does(Role.STANDBY)


def test_its_exit_while_this_replica_leads_counts_like_any_commands() -> None:
    """--restart decides, even before the line."""
    world = World(takeover_delay=11.0)
    world.announce(ME)
    world.tick()
    assert world.ends(3) == [Exit(3)]


def test_an_exit_in_the_takeover_delay_does_not_shorten_it() -> None:
    """The old leader's command may still be running."""
    world = World(takeover_delay=11.0, restart=Restart.ALWAYS)
    world.announce(ME)
    world.tick()
    assert world.ends(3) == []
    assert world.tick(10.0) == []
    assert jobs(world.tick(1.0)) == [Job.WARM]
    assert jobs(world.ready()) == [Lead]


def test_if_it_is_never_ready_its_replica_does_not_keep_leadership() -> None:
    """After the start period it is unhealthy: --unhealthy decides."""
    world = World(unhealthy=Unhealthy.ABDICATE, warm=30.0, grace_lost=10.0)
    world.now += 500.0
    world.announce(ME)
    world.tick()
    assert world.does(Role.WARMING)
    assert next_deadline(world.policy, world.state) == world.now + 30.0
    assert world.tick(29.0) == []
    assert world.tick(1.0) == [Stop(signal.SIGTERM)]
    assert world.deadline == world.now + 10.0
    assert "READY=1" in world.state.reason
    assert jobs(world.ends(143)) == [Note, Release, Job.WARM]


def test_a_loss_forgets_that_it_was_not_ready_in_time() -> None:
    """On standby it may take its time."""
    world = World(warm=30.0)
    world.announce(ME)
    world.tick()
    world.announce(RIVAL)
    assert world.tick(100.0) == []
    world.announce(ME)
    assert world.tick() == []
    assert world.does(Role.WARMING)


def test_a_step_down_releases_leadership_and_leaves_it_waiting() -> None:
    """If it was not told that it leads."""
    world = World(takeover_delay=11.0)
    world.announce(ME)
    world.tick()
    assert jobs(world.then(events.StepDown(30.0, "somebody"))) == [Release]
    assert world.does(Role.STANDBY)


def test_wait_stops_it_before_leaderexec_exits() -> None:
    """And with --wait's exit code."""
    world = World(wait=30.0)
    assert world.tick(30.0) == [Stop(signal.SIGTERM)]
    assert world.ends(143) == [Exit(75)]


def test_on_stop_follows_only_a_command_that_was_told_that_it_leads() -> None:
    """It runs before the next command starts to wait."""
    world = World(on_stop_timeout=2.0)
    world.ends(0)
    world.tick(0.5)
    world.leading().announce(RIVAL)
    assert jobs(world.ends(143)) == [Job.ON_STOP]
    assert jobs(world.ends(0, Job.ON_STOP)) == [Job.WARM]


def test_none_waits_while_something_survives_kill() -> None:
    """A survivor may hold what the next command needs."""
    world = World(grace_lost=0.0).leading()
    world.announce(RIVAL)
    for _ in range(20):
        world.tick(1.0)
    assert world.state.survivors
    assert world.state.run is None
    assert jobs(world.then(events.TreeGone())) == [Job.WARM]


def test_on_start_runs_next_to_it_once_it_is_ready_and_before_the_line() -> None:
    """In the new term, with its time limit; a signal still reaches the command."""
    world = World(on_start_timeout=7.0)
    world.announce(ME)
    assert world.tick() == []
    (start,) = world.ready()
    assert isinstance(start, Start)
    assert (start.job, start.term) == (Job.ON_START, 1)
    assert world.does(Role.PREPARING)
    assert world.deadline == world.now + 7.0
    assert world.told(signal.SIGUSR1) == [Forward(signal.SIGUSR1)]
    assert jobs(world.leaves(0, Job.ON_START)) == [Lead]
    assert world.deadline is None


@pytest.mark.parametrize(("aborts", "follows"), [(False, [Lead]), (True, [Stop])])
def test_a_hook_next_to_it_that_fails_counts_as_hook_failure_says(
    aborts: bool, follows: list[object]
) -> None:
    """--hook-failure decides: with abort the command is stopped, and leaderexec exits with 125."""
    world = World(on_start_timeout=7.0, hook_failure_aborts=aborts)
    world.ready()
    world.announce(ME)
    world.tick()
    assert jobs(world.leaves(1, Job.ON_START)) == follows
    if aborts:
        assert world.ends(143) == [Exit(125)]


def test_a_hook_next_to_it_that_takes_too_long_is_killed_with_it() -> None:
    """They are one tree; another command is started, which is not prepared again."""
    world = World(on_start_timeout=7.0)
    world.ready()
    world.announce(ME)
    world.tick()
    assert jobs(world.tick(7.0)) == [actions.KillTree]
    assert world.state.reason == "--on-start took longer than its timeout"
    world.on(events.Exited(Job.ON_START, 137))
    assert jobs(world.ends(137)) == [Job.WARM]
    assert jobs(world.ready()) == [Lead]


def test_a_loss_while_it_is_prepared_stops_both_and_on_stop_follows() -> None:
    """--on-stop cleans up after --on-start before the next command waits."""
    world = World(on_start_timeout=7.0, on_stop_timeout=2.0)
    world.ready()
    world.announce(ME)
    world.tick()
    world.announce(RIVAL)
    assert world.does(Role.STOPPING)
    assert world.leaves(143) == [actions.StopLeftovers(signal.SIGTERM)]
    assert jobs(world.ends(143, Job.ON_START)) == [Job.ON_STOP]
    assert jobs(world.ends(0, Job.ON_STOP)) == [Job.WARM]


def test_a_loss_right_after_the_hook_stops_the_waiting_command_before_on_stop() -> None:
    """Though it was not told that it leads: --on-stop requires that the tree is gone."""
    world = World(on_start_timeout=7.0, on_stop_timeout=2.0)
    world.ready()
    world.announce(ME)
    world.tick()
    world.on(events.Exited(Job.ON_START, 0))
    world.announce(RIVAL)
    assert world.tick() == [Stop(signal.SIGTERM)]
    assert jobs(world.ends(143)) == [Job.ON_STOP]


def test_a_hook_for_which_no_process_can_be_created_is_retried() -> None:
    """The command keeps waiting."""
    world = World(on_start_timeout=7.0)
    world.ready()
    world.announce(ME)
    world.tick()
    world.on(events.StartFailed("EAGAIN"))
    assert world.tick() == []
    assert world.does(Role.BACKOFF)
    assert jobs(world.tick(0.5)) == [Job.ON_START]
