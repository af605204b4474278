"""What is decided, step by step. Time is a number."""

import signal

import pytest
from core.world import ME, RIVAL, World

from leaderexec.core import actions, events
from leaderexec.core.actions import Job, Role
from leaderexec.core.belief import ContactPolicy
from leaderexec.core.lifecycle import Restart, next_deadline
from leaderexec.core.signals import signal_name


def test_a_win_starts_the_command_once_with_its_term_and_leader() -> None:
    """Announced, it starts at the next tick, and only once."""
    world = World()
    assert world.announce(ME) == []
    assert world.tick() == [actions.Start(Job.COMMAND, 1, ME, 100.0)]
    assert world.announce(ME) == []
    assert world.tick() == []
    assert world.does(Role.RUNNING)


def test_a_rival_that_is_announced_starts_nothing() -> None:
    """Only the announced replica runs."""
    world = World()
    world.announce(RIVAL)
    assert world.tick() == []
    assert world.does(Role.STANDBY)


def test_a_win_taken_back_before_the_tick_starts_nothing() -> None:
    """Everything that is known is processed before the fork."""
    world = World()
    world.announce(ME)
    world.announce(RIVAL)
    assert world.tick() == []
    assert world.does(Role.STANDBY)


def test_an_order_to_stop_before_the_tick_starts_nothing() -> None:
    """After TERM between decision and fork the wrapper runs nothing, and exits with 0."""
    world = World()
    world.announce(ME)
    assert world.told() == [actions.Exit(0)]
    assert world.tick() == []


def test_the_takeover_delay_is_waited_for() -> None:
    """The start comes when the delay is over, not before."""
    world = World(takeover_delay=5.0)
    world.announce(ME)
    assert world.tick() == []
    assert world.tick(4.9) == []
    assert world.does(Role.TAKEOVER)
    assert next_deadline(world.policy, world.state) == 105.0
    assert world.tick(0.1) == [actions.Start(Job.COMMAND, 1, ME, 100.0)]


def test_after_a_loss_within_the_takeover_delay_nothing_has_started() -> None:
    """A later win waits for the whole delay again, in a new term."""
    world = World(takeover_delay=5.0)
    world.announce(ME)
    world.tick()
    world.now += 4
    world.announce(RIVAL)
    assert world.tick(2) == []
    world.announce(ME)
    world.tick()
    assert world.tick(4) == []
    assert world.tick(1) == [actions.Start(Job.COMMAND, 2, ME, 106.0)]


def test_a_loss_stops_within_grace_lost_and_returns_to_standby() -> None:
    """The command gets the signal at once, and the next win starts it again in a new term."""
    world = World().running()
    assert world.announce(RIVAL) == [actions.Stop(signal.SIGTERM)]
    assert next_deadline(world.policy, world.state) == 110.0
    assert world.ends(0) == []
    assert world.does(Role.STANDBY)
    world.announce(ME)
    assert world.tick() == [actions.Start(Job.COMMAND, 2, ME, 100.0)]


def test_an_announcement_without_a_leader_is_a_loss() -> None:
    """A lock that was released names no leader."""
    world = World().running()
    assert world.announce(None) == [actions.Stop(signal.SIGTERM)]


def test_kill_is_sent_when_the_grace_is_over_and_again_until_the_tree_is_gone() -> None:
    """A surviving tree is killed over and over, less and less often."""
    world = World().running()
    world.announce(RIVAL)
    assert world.tick(9.9) == []
    assert world.tick(0.1) == [actions.KillTree()]
    assert world.does(Role.KILLING)
    assert world.tick(0.15) == [actions.KillTree()]
    assert world.tick(0.15) == []
    assert world.tick(0.15) == [actions.KillTree()]
    assert world.leaves(137) == []
    assert world.then(events.TreeGone()) == []
    assert world.does(Role.STANDBY)


def test_leadership_regained_during_the_stop_starts_after_the_tree_is_gone() -> None:
    """The last announcement wins, and there are never two commands."""
    world = World().running()
    world.announce(RIVAL)
    world.announce(ME)
    assert world.tick() == []
    assert world.ends(0) == [actions.Start(Job.COMMAND, 2, ME, 100.0)]


def test_when_leadership_flaps_during_the_stop_the_last_announcement_holds() -> None:
    """Regained and lost again, nothing is started."""
    world = World().running()
    for name in (RIVAL, ME, "app-c", ME, RIVAL):
        world.announce(name)
    world.ends(0)
    assert world.tick() == []
    assert world.does(Role.STANDBY)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_order_to_stop_on_standby_exits_with_0_at_once(number: int) -> None:
    """Nothing runs, so there is nothing to wait for."""
    world = World()
    world.announce(RIVAL)
    assert world.told(number) == [actions.Exit(0)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("code", [0, 3, 143])
def test_an_order_to_stop_while_leading_exits_with_the_commands_code(
    number: int, code: int
) -> None:
    """The command gets the stop signal and `--grace`, and its exit code is ours."""
    world = World().running()
    assert world.told(number) == [actions.Stop(signal.SIGTERM)]
    assert next_deadline(world.policy, world.state) == 125.0
    assert world.ends(code)[-1] == actions.Exit(code)


def test_a_second_order_to_stop_is_forwarded_and_the_deadline_stays() -> None:
    """Ctrl-C twice reaches the command, but does not extend the deadline."""
    world = World().running()
    world.told()
    world.now += 3
    assert world.told(signal.SIGINT) == [actions.Forward(signal.SIGINT)]
    assert world.deadline == 125.0


def test_a_second_order_to_stop_after_the_command_ended_is_not_forwarded() -> None:
    """Its leftovers have got the stop signal; a reused pid must not get ours."""
    world = World().running()
    world.told()
    world.leaves(0)
    assert world.told() == []


def test_an_order_to_stop_during_a_loss_keeps_the_earlier_deadline() -> None:
    """The rival does not wait longer because we were also ordered to stop."""
    world = World().running()
    world.announce(RIVAL)
    assert world.told() == []
    assert world.deadline == 110.0
    assert world.ends(5)[-1] == actions.Exit(5)


def test_a_loss_during_an_ordered_stop_brings_the_deadline_forward() -> None:
    """A rival is about to start: `--grace-lost` counts from the loss."""
    world = World().running()
    world.told()
    world.now += 1
    world.announce(RIVAL)
    assert world.deadline == 111.0
    assert world.ends(0)[-1] == actions.Exit(0)


def test_a_loss_late_in_an_ordered_stop_does_not_postpone_the_deadline() -> None:
    """The earlier of the two deadlines holds."""
    world = World().running()
    world.told()
    world.now += 20
    world.announce(RIVAL)
    assert world.deadline == 125.0


def test_an_order_to_stop_and_a_loss_during_the_killing_count() -> None:
    """Nothing is stronger than KILL, and afterwards leaderexec exits."""
    world = World().running()
    world.announce(RIVAL)
    world.tick(10)
    assert world.told() == []
    world.announce(ME)
    world.announce(RIVAL)
    assert world.told() == []
    assert world.told(signal.SIGHUP) == []
    assert world.ends(137)[-1] == actions.Exit(137)


def test_survivors_of_kill_are_named_and_given_up() -> None:
    """A process that hangs in the kernel can't hold the wrapper forever."""
    world = World().running()
    world.told()
    world.tick(25)
    assert world.tick(4.9) == [actions.KillTree()]
    assert world.tick(0.1) == [actions.NameSurvivors(), actions.Exit(137, release=False)]


def test_survivors_left_by_a_command_that_exited_on_its_own_are_given_up_too() -> None:
    """Nothing ordered us to stop, and yet it is over."""
    world = World().running()
    world.leaves(3)
    world.tick(25)
    assert world.tick(5) == [actions.NameSurvivors(), actions.Exit(3, release=False)]


def test_the_commands_own_code_survives_giving_up_on_its_leftovers() -> None:
    """Only a command that did not exit is reported as killed."""
    world = World().running()
    world.told()
    world.leaves(4)
    world.tick(25)
    assert world.tick(6)[-1] == actions.Exit(4, release=False)


def test_nothing_is_started_while_something_survives() -> None:
    """It was given up, but there are never two commands; its end allows the next start."""
    world = World().running()
    world.announce(RIVAL)
    world.tick(10)
    assert world.tick(5) == [actions.NameSurvivors()]
    assert world.does(Role.STANDBY)
    world.announce(ME)
    assert world.tick() == []
    assert world.does(Role.BLOCKED)
    assert world.then(events.TreeGone()) == [actions.Start(Job.COMMAND, 2, ME, 115.0)]


def test_on_stop_does_not_run_while_something_survives() -> None:
    """It expects the tree to be gone."""
    world = World(on_stop_timeout=2.0).running()
    world.told()
    world.tick(23)
    assert world.tick(5) == [actions.NameSurvivors(), actions.Exit(137, release=False)]


def test_an_order_to_stop_makes_a_blocked_replica_exit() -> None:
    """Like any standby, with 0; the survivors were named."""
    world = World().running()
    world.announce(RIVAL)
    world.tick(10)
    world.tick(5)
    world.announce(ME)
    world.tick()
    assert world.told() == [actions.Exit(0, release=False)]


def test_a_replica_that_was_blocked_right_after_its_stop_exits_with_0_too() -> None:
    """Leadership was back before the stop was over, but the previous term is over."""
    world = World().running()
    world.announce(RIVAL)
    world.announce(ME)
    world.tick(10)
    world.tick(5)
    assert world.does(Role.BLOCKED)
    assert world.told() == [actions.Exit(0, release=False)]


def test_the_restart_delay_goes_on_while_something_survives() -> None:
    """The end of the survivors is no reason to start sooner."""
    world = World(restart=Restart.ALWAYS, contact=ContactPolicy(timeout=None)).running()
    world.leaves(1)
    world.tick(25)
    assert world.tick(5) == [actions.NameSurvivors()]
    assert world.does(Role.BLOCKED)
    assert world.then(events.TreeGone()) == []
    assert world.does(Role.BACKOFF)
    assert world.tick(0.5) == [actions.Start(Job.COMMAND, 1, ME, 100.0)]


def test_a_restart_delay_that_is_over_while_something_survives_requests_no_tick() -> None:
    """Only the end of the survivors changes anything."""
    world = World(restart=Restart.ALWAYS, contact=ContactPolicy(timeout=None)).running()
    world.leaves(1)
    world.tick(25)
    world.tick(5)
    assert next_deadline(world.policy, world.state) == world.now + 0.5
    assert world.tick(0.5) == []
    assert next_deadline(world.policy, world.state) is None
    assert world.then(events.TreeGone()) == [actions.Start(Job.COMMAND, 1, ME, 100.0)]


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_if_a_command_exits_on_its_own_the_wrapper_exits_with_its_code(code: int) -> None:
    """The container runtime restarts it."""
    world = World().running()
    assert world.leaves(code) == [actions.StopLeftovers(signal.SIGTERM)]
    assert world.then(events.TreeGone()) == [actions.Exit(code)]


def test_leftovers_of_a_command_that_exited_on_its_own_are_killed_after_the_grace() -> None:
    """The exit code is reported when all of them are gone."""
    world = World().running()
    world.leaves(7)
    assert world.tick(25) == [actions.KillTree()]
    assert world.then(events.TreeGone()) == [actions.Exit(7)]


def test_an_exit_right_before_the_loss_is_still_the_commands_own() -> None:
    """If both come at once, the exit code is reported, not lost on standby."""
    world = World().running()
    world.leaves(9)
    world.announce(RIVAL)
    assert world.then(events.TreeGone()) == [actions.Exit(9)]


def test_an_exit_right_after_the_loss_is_part_of_the_stop() -> None:
    """The loss came first, so the wrapper stays on standby."""
    world = World().running()
    world.announce(RIVAL)
    world.ends(9)
    assert world.does(Role.STANDBY)


def test_on_lost_exit_exits_with_124_after_a_clean_stop() -> None:
    """The orchestrator sees that leadership moved."""
    world = World(exit_when_lost=True).running()
    world.announce(RIVAL)
    assert world.ends(0)[-1] == actions.Exit(124)


def test_on_lost_exit_exits_with_137_if_kill_was_needed() -> None:
    """That stop was not clean."""
    world = World(exit_when_lost=True).running()
    world.announce(RIVAL)
    world.tick(10)
    assert world.ends(137)[-1] == actions.Exit(137)


def test_on_lost_exit_does_not_exit_if_nothing_was_started() -> None:
    """A win taken back during the takeover delay is no loss of a running command."""
    world = World(exit_when_lost=True, takeover_delay=1.0)
    world.announce(ME)
    assert world.announce(RIVAL) == []
    assert world.does(Role.STANDBY)


def test_restart_always_starts_again_with_doubling_delays() -> None:
    """0.5 s, 1 s, 2 s, up to 30 s, within one term."""
    world = World(restart=Restart.ALWAYS, contact=ContactPolicy(timeout=None)).running()
    delays = []
    for _ in range(8):
        world.ends(0)
        assert world.does(Role.BACKOFF)
        deadline = next_deadline(world.policy, world.state)
        assert deadline is not None
        delays.append(deadline - world.now)
        assert world.tick(delays[-1]) == [actions.Start(Job.COMMAND, 1, ME, 100.0)]
    assert delays == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_a_run_of_60_seconds_resets_the_restart_delay_and_count() -> None:
    """After a while a command counts as healthy again."""
    world = World(
        restart=Restart.ALWAYS, restart_limit=2, contact=ContactPolicy(timeout=None)
    ).running()
    for _ in range(2):
        world.ends(1)
        world.tick(5)
    world.now += 60
    world.ends(1)
    assert world.state.start_at == world.now + 0.5
    assert world.state.restarts == 1


def test_at_the_restart_limit_it_exits_with_the_commands_code() -> None:
    """After this many restarts in a row, and no more."""
    world = World(restart=Restart.ON_FAILURE, restart_limit=2).running()
    for _ in range(2):
        world.ends(3)
        assert world.does(Role.BACKOFF)
        world.tick(2)
    assert world.ends(3)[-1] == actions.Exit(3)


@pytest.mark.parametrize(("code", "ends"), [(0, True), (99, True), (1, False)])
def test_restart_on_failure_treats_the_success_codes_as_success(code: int, ends: bool) -> None:
    """Success makes the wrapper exit; failure restarts the command."""
    world = World(restart=Restart.ON_FAILURE, success_codes=frozenset({0, 99})).running()
    assert (world.ends(code) == [actions.Exit(code)]) is ends


def test_a_loss_in_the_restart_delay_ends_it_at_once() -> None:
    """Nothing is started after the loss."""
    world = World(restart=Restart.ALWAYS).running()
    world.ends(1)
    world.announce(RIVAL)
    assert world.tick() == []
    assert world.does(Role.STANDBY)
    assert world.tick(10) == []


def test_a_loss_in_the_restart_delay_with_on_lost_exit_exits_with_124() -> None:
    """The command had run in this term."""
    world = World(restart=Restart.ALWAYS, exit_when_lost=True).running()
    world.ends(1)
    world.announce(RIVAL)
    assert world.tick() == [actions.Exit(124)]


def test_an_order_to_stop_on_standby_exits_with_0_whatever_ran_before() -> None:
    """After a loss, the exit code of an earlier run does not matter any more."""
    world = World(restart=Restart.ALWAYS).running()
    world.ends(6)
    world.announce(RIVAL)
    world.tick()
    assert world.told() == [actions.Exit(0)]


def test_on_lost_exit_exits_with_124_however_a_command_ended_before_the_loss() -> None:
    """137 is only for our own KILL."""
    world = World(restart=Restart.ALWAYS, exit_when_lost=True).running()
    world.ends(137)
    world.announce(RIVAL)
    assert world.tick() == [actions.Exit(124)]


def test_an_exit_counts_before_a_loss_of_contact_noticed_at_the_same_time() -> None:
    """A wrapper that was frozen finds both at once, and the command exited first."""
    world = World().running()
    world.now += 60
    assert world.ends(3) == [actions.Exit(3)]


def test_when_the_source_breaks_down_contact_is_lost_at_once() -> None:
    """Nothing is known until the source reports again."""
    world = World().running()
    assert world.on(events.Failed("a bug", world.now)) == [actions.Stop(signal.SIGTERM)]
    assert "a bug" in world.state.reason
    world.ends(0)
    world.announce(ME)
    assert world.tick() == [actions.Start(Job.COMMAND, 2, ME, 100.0)]


def test_another_fence_under_the_same_name_is_another_term() -> None:
    """Another replica led, or could have led, in between."""
    world = World()
    world.on(events.Announced(ME, 100.0, 7))
    assert world.tick() == [actions.Start(Job.COMMAND, 1, ME, 100.0, 7)]
    assert world.on(events.Polled(ME, 100.0)) == []
    assert world.on(events.Announced(ME, 100.0, 7)) == []
    assert world.on(events.Announced(ME, 100.0, 9)) == [actions.Stop(signal.SIGTERM)]
    assert world.ends(0) == [actions.Start(Job.COMMAND, 2, ME, 100.0, 9)]


def test_a_fence_that_arrives_later_changes_nothing() -> None:
    """The term is the same."""
    world = World().running()
    assert world.then(events.Announced(ME, 100.0, 7)) == []
    assert world.does(Role.RUNNING)
    assert world.state.belief.fence == 7


def test_another_leaders_new_fence_does_not_concern_a_standby() -> None:
    """It has nothing to stop."""
    world = World()
    world.on(events.Announced(RIVAL, 100.0, 7))
    reason = world.state.reason
    assert world.then(events.Announced(RIVAL, 100.0, 8)) == []
    assert world.state.reason == reason


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_signal_same_forwards_the_order_unchanged(number: int) -> None:
    """INT as INT, and TERM as TERM."""
    world = World(stop_same=True).running()
    assert world.told(number) == [actions.Stop(number)]


def test_rewriting_a_signal_to_itself_forwards_it_unchanged() -> None:
    """`--rewrite INT=INT`."""
    world = World(rewrite=((signal.SIGINT, signal.SIGINT),)).running()
    assert world.told(signal.SIGINT) == [actions.Stop(signal.SIGINT)]


def test_a_signal_in_end_on_is_an_order_and_reaches_the_command_unchanged() -> None:
    """For an image whose STOPSIGNAL is QUIT."""
    policy = {"end_on": frozenset({signal.SIGQUIT}), "restart": Restart.ALWAYS}
    assert World(**policy).told(signal.SIGQUIT) == [actions.Exit(0)]
    world = World(**policy).running()
    assert world.told(signal.SIGQUIT) == [actions.Stop(signal.SIGQUIT)]
    assert world.told(signal.SIGQUIT) == [actions.Forward(signal.SIGQUIT)]
    assert world.ends(0) == [actions.Exit(0)]


def test_a_rewrite_changes_what_the_command_gets_and_not_the_order() -> None:
    """`--end-on QUIT --rewrite QUIT=INT`."""
    rewrite = ((signal.SIGQUIT, signal.SIGINT),)
    world = World(end_on=frozenset({signal.SIGQUIT}), rewrite=rewrite).running()
    assert world.told(signal.SIGQUIT) == [actions.Stop(signal.SIGINT)]


def test_quit_on_standby_logs_the_remedy() -> None:
    """It is probably an image's STOPSIGNAL."""
    (note,) = World().told(signal.SIGQUIT)
    assert isinstance(note, actions.Note)
    assert "--end-on QUIT" in str(note.fields)


def test_when_our_terminal_hangs_up_a_standby_exits_with_129() -> None:
    """Like any program; a HUP sent by a process is harmless."""
    world = World()
    assert world.then(events.Signalled(signal.SIGHUP, hung_up=True)) == [actions.Exit(129)]
    world = World(takeover_delay=5.0)
    world.announce(ME)
    world.tick()
    assert world.then(events.Signalled(signal.SIGHUP, hung_up=True)) == [actions.Exit(129)]


def test_a_hang_up_reaches_the_command_and_afterwards_leaderexec_exits() -> None:
    """No standby without a terminal starts the command unseen."""
    hang_up = events.Signalled(signal.SIGHUP, hung_up=True)
    world = World(restart=Restart.ALWAYS).running()
    assert world.then(hang_up) == [actions.Forward(signal.SIGHUP)]
    assert world.ends(129) == [actions.Exit(129)]
    world = World().running()
    world.then(hang_up)
    assert world.announce(RIVAL) == [actions.Stop(signal.SIGTERM)]
    assert world.ends(143) == [actions.Exit(143)]


def test_each_change_of_role_is_reported_once_with_its_cause() -> None:
    """The log and the counters are based on these facts."""
    world = World(restart=Restart.ALWAYS, takeover_delay=1.0)
    world.announce(ME)
    world.tick()
    world.tick(1)
    world.leaves(1)
    world.then(events.TreeGone())
    world.tick(0.5)
    world.then(events.StartFailed("EAGAIN"))
    world.tick(1)
    world.announce(RIVAL)
    world.tick(10)
    world.ends(137)
    world.told()
    changes = [one for one in world.facts if isinstance(one, actions.Changed)]
    assert [(one.before.value, one.after.value, one.cause.value) for one in changes] == [
        ("standby", "takeover", "won"),
        ("takeover", "running", "won"),
        ("running", "stopping", "command-ended"),
        ("stopping", "backoff", "command-ended"),
        ("backoff", "running", "restart"),
        ("running", "backoff", "start-failed"),
        ("backoff", "running", "restart"),
        ("running", "stopping", "moved"),
        ("stopping", "killing", "grace-over"),
        ("killing", "standby", "stopped"),
        ("standby", "ended", "ordered"),
    ]
    assert changes[-1].exit_code == 0


def test_an_order_to_stop_in_the_restart_delay_exits_with_the_last_code() -> None:
    """No exit code is lost."""
    world = World(restart=Restart.ALWAYS).running()
    world.ends(6)
    assert world.told() == [actions.Exit(6)]


def test_a_loss_while_leftovers_are_stopped_cancels_the_restart() -> None:
    """It exited on its own, was to be restarted, and leadership was lost: standby."""
    world = World(restart=Restart.ALWAYS).running()
    world.leaves(1)
    world.announce(RIVAL)
    world.then(events.TreeGone())
    assert world.does(Role.STANDBY)


def test_a_failed_fork_is_retried_while_leading() -> None:
    """Out of processes or memory: it passes, and nothing has run yet."""
    world = World().running()
    world.then(events.StartFailed("EAGAIN"))
    assert world.does(Role.BACKOFF)
    assert world.tick(0.5) == [actions.Start(Job.COMMAND, 1, ME, 100.0)]
    world.then(events.StartFailed("EAGAIN"))
    assert world.told() == [actions.Exit(0)]


def test_contact_lost_for_too_long_stops_the_command_like_a_loss() -> None:
    """Unconfirmed leadership counts as lost, until it is confirmed again."""
    world = World().running()
    assert world.tick(29.9) == []
    assert world.tick(0.1) == [actions.Stop(signal.SIGTERM)]
    world.ends(0)
    assert world.does(Role.STANDBY)
    world.on(events.Polled(ME, world.now))
    assert world.tick() == [actions.Start(Job.COMMAND, 2, ME, 100.0)]


def test_an_answered_poll_is_contact() -> None:
    """Silence on the stream is normal as long as GET is answered."""
    world = World().running()
    for _ in range(10):
        world.now += 10
        world.on(events.Polled(ME, world.now))
        assert world.tick() == []
    assert world.does(Role.RUNNING)


def test_a_poll_sent_before_the_newest_announcement_overrules_nothing() -> None:
    """The elector's answer is older than its event: it only proves contact."""
    world = World().running()
    asked = world.now
    world.now += 1
    world.announce(ME)
    assert world.on(events.Polled(RIVAL, asked)) == []
    assert world.does(Role.RUNNING)
    assert world.state.belief.contact_at == world.now


def test_a_poll_sent_after_the_newest_announcement_decides() -> None:
    """The last news from the elector decides."""
    world = World().running()
    world.now += 1
    assert world.on(events.Polled(RIVAL, world.now)) == [actions.Stop(signal.SIGTERM)]


def test_an_answer_read_long_after_its_request_is_old_contact() -> None:
    """If the machine was suspended between request and reading, it proves nothing about now."""
    world = World().running()
    asked = world.now + 1
    world.now += 1000
    assert world.then(events.Polled(ME, asked)) == [actions.Stop(signal.SIGTERM)]


def test_after_a_suspension_the_command_is_stopped_first() -> None:
    """The first tick after resuming finds contact too old."""
    world = World().running()
    assert world.tick(3600) == [actions.Stop(signal.SIGTERM)]


def test_two_polls_that_contradict_the_open_stream_open_a_new_one() -> None:
    """A lost subscription is detected by the cross-check, and only by it."""
    world = World()
    world.on(events.StreamOpened(world.now))
    world.announce(ME)
    world.now += 10
    assert actions.Resubscribe() not in world.on(events.Polled(RIVAL, world.now))
    world.now += 10
    assert world.on(events.Polled(RIVAL, world.now)) == [actions.Resubscribe()]
    world.now += 10
    assert world.on(events.Polled(RIVAL, world.now)) == []


def test_a_stream_is_still_doubted_after_another_part_of_the_source_fails() -> None:
    """A failure of the poll thread does not close the stream."""
    world = World().running()
    world.on(events.StreamOpened(world.now))
    world.announce(ME)
    world.on(events.Failed("a bug of the polls", world.now))
    world.ends(0)
    world.on(events.Polled(RIVAL, world.now))
    assert actions.Resubscribe() in world.on(events.Polled(RIVAL, world.now))


def test_a_poll_ahead_of_the_stream_opens_no_new_one() -> None:
    """The announcement that follows clears the doubt."""
    world = World()
    world.on(events.StreamOpened(world.now))
    world.announce(ME)
    for name in (RIVAL, ME, RIVAL, ME):
        world.now += 10
        assert actions.Resubscribe() not in world.on(events.Polled(name, world.now))
        world.announce(name)


def test_polls_without_a_stream_doubt_nothing() -> None:
    """An elector without a stream is followed by GET alone."""
    world = World()
    for name in (RIVAL, ME, RIVAL, ME):
        world.now += 10
        assert actions.Resubscribe() not in world.on(events.Polled(name, world.now))


def test_an_open_stream_is_contact_when_there_is_no_poll() -> None:
    """With `--poll-interval off` silence is no loss, but the stream's end starts the clock."""
    world = World(contact=ContactPolicy(timeout=30, open_stream_counts=True))
    world.on(events.StreamOpened(world.now))
    world.running()
    assert world.tick(1e6) == []
    world.on(events.StreamClosed(world.now))
    assert world.tick(29) == []
    assert world.tick(1) == [actions.Stop(signal.SIGTERM)]


def test_a_reopened_stream_confirms_nothing_before_its_first_announcement() -> None:
    """An elector that accepts connections and hangs must not keep a lost leader running."""
    world = World(contact=ContactPolicy(timeout=30, open_stream_counts=True)).running()
    world.on(events.StreamOpened(world.now))
    world.on(events.StreamClosed(world.now))
    world.tick(30)
    assert world.on(events.StreamOpened(world.now)) == []
    assert not world.state.belief.confirmed
    assert world.on(events.StreamClosed(world.now)) == []
    assert not world.state.belief.confirmed


def test_without_a_contact_timeout_a_belief_lasts() -> None:
    """`never` is for users who prefer a running command to a confirmed one."""
    world = World(contact=ContactPolicy(timeout=None)).running()
    assert world.tick(1e9) == []


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGWINCH,
        signal.SIGCONT,
        signal.SIGRTMIN + 3,
    ],
)
def test_other_signals_are_forwarded_and_harmless_on_standby(number: int) -> None:
    """The command gets them; without one they are logged."""
    world = World()
    (note,) = world.told(number)
    assert isinstance(note, actions.Note)
    world.running()
    assert world.told(number) == [actions.Forward(number)]
    world.told()
    assert world.told(number) == [actions.Forward(number)]
    assert world.does(Role.STOPPING)


def test_a_terminal_stop_suspends_a_standby_and_is_forwarded_to_a_command() -> None:
    """Ctrl-Z works as under a shell."""
    world = World()
    assert world.told(signal.SIGTSTP) == [actions.Suspend(signal.SIGTSTP)]
    world.running()
    assert world.told(signal.SIGTSTP) == [actions.Forward(signal.SIGTSTP)]
    assert world.on(events.Suspended(signal.SIGTSTP)) == [actions.Suspend(signal.SIGTSTP)]


def test_a_command_frozen_by_sigstop_is_left_alone() -> None:
    """It was stopped on purpose, and it alone."""
    assert World().running().on(events.Suspended(signal.SIGSTOP)) == []


def test_a_rewritten_signal_is_forwarded_as_the_other() -> None:
    """`--rewrite HUP=USR1`."""
    world = World(rewrite=((signal.SIGHUP, signal.SIGUSR1),)).running()
    assert world.told(signal.SIGHUP) == [actions.Forward(signal.SIGUSR1)]


def test_a_swallowed_signal_does_nothing() -> None:
    """`--rewrite TERM=` drops it, for the command and for us."""
    world = World(rewrite=((signal.SIGTERM, 0),)).running()
    assert world.told(signal.SIGTERM) == []
    assert world.does(Role.RUNNING)


def test_a_rewritten_term_is_still_an_order_and_stops_with_the_other_signal() -> None:
    """`--rewrite TERM=QUIT` must not make a standby immortal."""
    rewrite = ((signal.SIGTERM, signal.SIGQUIT),)
    assert World(rewrite=rewrite).told() == [actions.Exit(0)]
    world = World(rewrite=rewrite).running()
    assert world.told() == [actions.Stop(signal.SIGQUIT)]
    assert world.leaves(0) == [actions.StopLeftovers(signal.SIGQUIT)]


def test_a_signal_rewritten_to_term_is_an_order() -> None:
    """`--rewrite QUIT=TERM` is for images whose STOPSIGNAL is QUIT."""
    world = World(rewrite=((signal.SIGQUIT, signal.SIGTERM),))
    assert world.told(signal.SIGQUIT) == [actions.Exit(0)]


def test_nothing_happens_after_the_exit() -> None:
    """Once the exit code is decided no event changes anything."""
    world = World()
    world.told()
    assert world.does(Role.ENDED)
    assert world.announce(ME) == []
    assert world.tick(100) == []


@pytest.mark.parametrize(
    "event",
    [
        events.Exited(Job.COMMAND, 1),
        events.TreeGone(),
        events.StartFailed("x"),
        events.Suspended(signal.SIGTSTP),
        events.StreamClosed(1.0),
    ],
)
def test_a_standby_ignores_events_that_concern_a_command(event: events.Event) -> None:
    """For example the end of an adopted orphan."""
    world = World()
    before = world.state
    assert world.on(event) == []
    assert world.state == before


def test_signals_are_named_as_in_signal_7() -> None:
    """Including the real-time signals."""
    assert signal_name(15) == "SIGTERM"
    assert signal_name(signal.SIGRTMIN + 3) == "SIGRTMIN+3"


def test_a_replica_that_never_leads_gives_up_once_it_has_waited() -> None:
    """With its own exit code, so that cron can tell; the wait begins at the first tick."""
    world = World(wait=5.0, wait_exit_code=75)
    assert world.tick() == []
    world.announce(RIVAL)
    assert world.tick(4.9) == []
    assert world.tick(0.1) == [actions.Exit(75)]


def test_the_wait_is_over_with_the_first_win() -> None:
    """The command runs, however long the takeover delay is, and a loss ends nothing."""
    world = World(wait=5.0, takeover_delay=9.0)
    assert world.tick() == []
    world.announce(ME)
    assert world.tick(5.0) == []
    assert world.tick(9.0) == [actions.Start(Job.COMMAND, 1, ME, 100.0)]
    world.announce(RIVAL)
    world.ends(0)
    assert world.tick(100.0) == []
    assert world.does(Role.STANDBY)


def test_a_win_noticed_at_the_end_of_the_wait_counts() -> None:
    """The inbox comes before the clock."""
    world = World(wait=5.0)
    assert world.tick() == []
    world.now += 50.0
    world.announce(ME)
    assert world.tick() == [actions.Start(Job.COMMAND, 1, ME, 150.0)]
