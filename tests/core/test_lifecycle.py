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
    """Named, it starts at the next tick and not again."""
    world = World()
    assert world.announce(ME) == []
    assert world.tick() == [actions.Start(Job.COMMAND, 1, ME, 100.0)]
    assert world.announce(ME) == []
    assert world.tick() == []
    assert world.does(Role.RUNNING)


def test_a_rival_named_starts_nothing() -> None:
    """Only the replica that is named runs."""
    world = World()
    world.announce(RIVAL)
    assert world.tick() == []
    assert world.does(Role.STANDBY)


def test_a_win_taken_back_before_the_tick_starts_nothing() -> None:
    """All that is known is heard before the fork."""
    world = World()
    world.announce(ME)
    world.announce(RIVAL)
    assert world.tick() == []
    assert world.does(Role.STANDBY)


def test_an_order_to_end_before_the_tick_starts_nothing() -> None:
    """TERM between the decision and the fork ends a wrapper that runs nothing, with 0."""
    world = World()
    world.announce(ME)
    assert world.told() == [actions.Exit(0)]
    assert world.tick() == []


def test_the_takeover_delay_is_waited_out() -> None:
    """The start comes when the delay is over, not before."""
    world = World(takeover_delay=5.0)
    world.announce(ME)
    assert world.tick() == []
    assert world.tick(4.9) == []
    assert world.does(Role.TAKEOVER)
    assert next_deadline(world.policy, world.state) == 105.0
    assert world.tick(0.1) == [actions.Start(Job.COMMAND, 1, ME, 100.0)]


def test_a_loss_within_the_takeover_delay_means_nothing_was_started() -> None:
    """A later win waits the whole delay again, in a new term."""
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


def test_a_loss_stops_by_grace_lost_and_returns_to_standby() -> None:
    """The command is told at once, and the next win starts it again in a new term."""
    world = World().running()
    assert world.announce(RIVAL) == [actions.Stop(signal.SIGTERM)]
    assert next_deadline(world.policy, world.state) == 110.0
    assert world.ends(0) == []
    assert world.does(Role.STANDBY)
    world.announce(ME)
    assert world.tick() == [actions.Start(Job.COMMAND, 2, ME, 100.0)]


def test_a_named_leader_of_nobody_is_a_loss() -> None:
    """A lock that was released names nobody."""
    world = World().running()
    assert world.announce(None) == [actions.Stop(signal.SIGTERM)]


def test_kill_comes_when_the_grace_is_over_and_again_until_the_tree_is_gone() -> None:
    """A tree that survives is killed over and over, less and less often."""
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


def test_leadership_won_back_during_the_stop_starts_after_the_tree_is_gone() -> None:
    """The last word wins, and never are there two."""
    world = World().running()
    world.announce(RIVAL)
    world.announce(ME)
    assert world.tick() == []
    assert world.ends(0) == [actions.Start(Job.COMMAND, 2, ME, 100.0)]


def test_leadership_flapping_during_the_stop_obeys_the_last_word() -> None:
    """Won back and lost again, nothing is started."""
    world = World().running()
    for name in (RIVAL, ME, "app-c", ME, RIVAL):
        world.announce(name)
    world.ends(0)
    assert world.tick() == []
    assert world.does(Role.STANDBY)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_order_to_end_in_standby_exits_0_at_once(number: int) -> None:
    """Nothing runs, so there is nothing to wait for."""
    world = World()
    world.announce(RIVAL)
    assert world.told(number) == [actions.Exit(0)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("code", [0, 3, 143])
def test_an_order_to_end_while_leading_ends_with_the_commands_code(number: int, code: int) -> None:
    """The command gets the stop signal and `--grace`, and its code is ours."""
    world = World().running()
    assert world.told(number) == [actions.Stop(signal.SIGTERM)]
    assert next_deadline(world.policy, world.state) == 125.0
    assert world.ends(code)[-1] == actions.Exit(code)


def test_a_second_order_to_end_is_passed_on_and_the_deadline_stands() -> None:
    """Ctrl-C twice reaches the command, but buys no time."""
    world = World().running()
    world.told()
    world.now += 3
    assert world.told(signal.SIGINT) == [actions.Forward(signal.SIGINT)]
    assert world.deadline == 125.0


def test_a_second_order_to_end_after_the_command_ended_goes_to_nobody() -> None:
    """Its leftovers have their stop signal; a reused pid must not get ours."""
    world = World().running()
    world.told()
    world.leaves(0)
    assert world.told() == []


def test_an_order_to_end_during_a_loss_keeps_the_earlier_deadline() -> None:
    """The rival does not wait longer because we are ordered to stop as well."""
    world = World().running()
    world.announce(RIVAL)
    assert world.told() == []
    assert world.deadline == 110.0
    assert world.ends(5)[-1] == actions.Exit(5)


def test_a_loss_during_an_ordered_end_brings_the_deadline_forward() -> None:
    """A rival is about to start: `--grace-lost` counts from the loss."""
    world = World().running()
    world.told()
    world.now += 1
    world.announce(RIVAL)
    assert world.deadline == 111.0
    assert world.ends(0)[-1] == actions.Exit(0)


def test_a_loss_late_in_an_ordered_end_does_not_put_the_deadline_off() -> None:
    """The earlier of the two deadlines stands."""
    world = World().running()
    world.told()
    world.now += 20
    world.announce(RIVAL)
    assert world.deadline == 125.0


def test_an_order_to_end_and_a_loss_during_the_killing_are_noted() -> None:
    """Nothing is harder than KILL, and afterwards we end."""
    world = World().running()
    world.announce(RIVAL)
    world.tick(10)
    assert world.told() == []
    world.announce(ME)
    world.announce(RIVAL)
    assert world.told() == []
    assert world.told(signal.SIGHUP) == []
    assert world.ends(137)[-1] == actions.Exit(137)


def test_what_survives_kill_is_named_and_given_up() -> None:
    """A process hanging in the kernel can't hold the wrapper forever."""
    world = World().running()
    world.told()
    world.tick(25)
    assert world.tick(4.9) == [actions.KillTree()]
    assert world.tick(0.1) == [actions.NameSurvivors(), actions.Exit(137, release=False)]


def test_what_a_command_that_ended_by_itself_leaves_is_given_up_too() -> None:
    """Nobody told us to end, and yet it is over."""
    world = World().running()
    world.leaves(3)
    world.tick(25)
    assert world.tick(5) == [actions.NameSurvivors(), actions.Exit(3, release=False)]


def test_the_commands_own_code_survives_giving_up_on_its_leftovers() -> None:
    """Only a command that did not end is told as killed."""
    world = World().running()
    world.told()
    world.leaves(4)
    world.tick(25)
    assert world.tick(6)[-1] == actions.Exit(4, release=False)


def test_while_something_survives_nothing_is_started() -> None:
    """It is given up, but never are there two; its end opens the way again."""
    world = World().running()
    world.announce(RIVAL)
    world.tick(10)
    assert world.tick(5) == [actions.NameSurvivors()]
    assert world.does(Role.STANDBY)
    world.announce(ME)
    assert world.tick() == []
    assert world.does(Role.BLOCKED)
    assert world.then(events.TreeGone()) == [actions.Start(Job.COMMAND, 2, ME, 115.0)]


def test_on_stop_does_not_run_beside_what_survives() -> None:
    """It is to find the tree gone."""
    world = World(on_stop_timeout=2.0).running()
    world.told()
    world.tick(23)
    assert world.tick(5) == [actions.NameSurvivors(), actions.Exit(137, release=False)]


def test_an_order_to_end_ends_a_blocked_replica() -> None:
    """As any standby, with 0; what survives was named."""
    world = World().running()
    world.announce(RIVAL)
    world.tick(10)
    world.tick(5)
    world.announce(ME)
    world.tick()
    assert world.told() == [actions.Exit(0, release=False)]


def test_a_replica_that_was_blocked_as_soon_as_it_had_stopped_ends_with_0_too() -> None:
    """Leadership was back before the stop was over: the previous term is over nevertheless."""
    world = World().running()
    world.announce(RIVAL)
    world.announce(ME)
    world.tick(10)
    world.tick(5)
    assert world.does(Role.BLOCKED)
    assert world.told() == [actions.Exit(0, release=False)]


def test_the_restart_delay_goes_on_while_something_survives() -> None:
    """The end of what survived is no reason to start sooner."""
    world = World(restart=Restart.ALWAYS, contact=ContactPolicy(timeout=None)).running()
    world.leaves(1)
    world.tick(25)
    assert world.tick(5) == [actions.NameSurvivors()]
    assert world.does(Role.BLOCKED)
    assert world.then(events.TreeGone()) == []
    assert world.does(Role.BACKOFF)
    assert world.tick(0.5) == [actions.Start(Job.COMMAND, 1, ME, 100.0)]


def test_a_restart_delay_that_is_over_while_something_survives_asks_for_no_tick() -> None:
    """Only the end of what survives changes anything."""
    world = World(restart=Restart.ALWAYS, contact=ContactPolicy(timeout=None)).running()
    world.leaves(1)
    world.tick(25)
    world.tick(5)
    assert next_deadline(world.policy, world.state) == world.now + 0.5
    assert world.tick(0.5) == []
    assert next_deadline(world.policy, world.state) is None
    assert world.then(events.TreeGone()) == [actions.Start(Job.COMMAND, 1, ME, 100.0)]


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_a_command_that_ends_by_itself_ends_the_wrapper_with_its_code(code: int) -> None:
    """The container runtime restarts it."""
    world = World().running()
    assert world.leaves(code) == [actions.StopLeftovers(signal.SIGTERM)]
    assert world.then(events.TreeGone()) == [actions.Exit(code)]


def test_leftovers_of_a_command_that_ended_by_itself_are_killed_after_the_grace() -> None:
    """The code is told when all of them are gone."""
    world = World().running()
    world.leaves(7)
    assert world.tick(25) == [actions.KillTree()]
    assert world.then(events.TreeGone()) == [actions.Exit(7)]


def test_an_exit_right_before_the_loss_is_still_an_exit_by_itself() -> None:
    """Exit and loss at once: the exit code is told, not swallowed by the standby."""
    world = World().running()
    world.leaves(9)
    world.announce(RIVAL)
    assert world.then(events.TreeGone()) == [actions.Exit(9)]


def test_an_exit_right_after_the_loss_is_part_of_the_stop() -> None:
    """The loss was first, so the wrapper stays in standby."""
    world = World().running()
    world.announce(RIVAL)
    world.ends(9)
    assert world.does(Role.STANDBY)


def test_on_lost_exit_ends_with_124_after_a_clean_stop() -> None:
    """The orchestrator sees that leadership moved."""
    world = World(exit_when_lost=True).running()
    world.announce(RIVAL)
    assert world.ends(0)[-1] == actions.Exit(124)


def test_on_lost_exit_ends_with_137_when_kill_was_needed() -> None:
    """That stop was not clean."""
    world = World(exit_when_lost=True).running()
    world.announce(RIVAL)
    world.tick(10)
    assert world.ends(137)[-1] == actions.Exit(137)


def test_on_lost_exit_stays_when_nothing_had_been_started() -> None:
    """A win taken back in the takeover delay is no loss of a running command."""
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
    """What ran for a while is healthy again."""
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


def test_the_restart_limit_ends_with_the_commands_code() -> None:
    """So many restarts in a row, and not one more."""
    world = World(restart=Restart.ON_FAILURE, restart_limit=2).running()
    for _ in range(2):
        world.ends(3)
        assert world.does(Role.BACKOFF)
        world.tick(2)
    assert world.ends(3)[-1] == actions.Exit(3)


@pytest.mark.parametrize(("code", "ends"), [(0, True), (99, True), (1, False)])
def test_restart_on_failure_takes_the_success_codes_as_success(code: int, ends: bool) -> None:
    """Success ends the wrapper; failure starts again."""
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


def test_a_loss_in_the_restart_delay_with_on_lost_exit_ends_with_124() -> None:
    """The command had run in this term."""
    world = World(restart=Restart.ALWAYS, exit_when_lost=True).running()
    world.ends(1)
    world.announce(RIVAL)
    assert world.tick() == [actions.Exit(124)]


def test_an_order_to_end_in_standby_ends_with_0_whatever_ran_before() -> None:
    """The code of a run that a loss has made history is nobody's any more."""
    world = World(restart=Restart.ALWAYS).running()
    world.ends(6)
    world.announce(RIVAL)
    world.tick()
    assert world.told() == [actions.Exit(0)]


def test_on_lost_exit_ends_with_124_however_a_command_ended_before_the_loss() -> None:
    """137 is for our own KILL alone."""
    world = World(restart=Restart.ALWAYS, exit_when_lost=True).running()
    world.ends(137)
    world.announce(RIVAL)
    assert world.tick() == [actions.Exit(124)]


def test_an_exit_counts_before_the_loss_of_contact_that_is_noticed_with_it() -> None:
    """A wrapper that was frozen finds both at once, and the command ended first."""
    world = World().running()
    world.now += 60
    assert world.ends(3) == [actions.Exit(3)]


def test_a_source_that_breaks_down_is_a_lost_contact_at_once() -> None:
    """Nothing is known until it is heard from again."""
    world = World().running()
    assert world.on(events.Failed("a bug", world.now)) == [actions.Stop(signal.SIGTERM)]
    assert "a bug" in world.state.reason
    world.ends(0)
    world.announce(ME)
    assert world.tick() == [actions.Start(Job.COMMAND, 2, ME, 100.0)]


def test_another_fence_under_the_same_name_is_another_term() -> None:
    """Leadership was elsewhere in between, or could have been."""
    world = World()
    world.on(events.Announced(ME, 100.0, 7))
    assert world.tick() == [actions.Start(Job.COMMAND, 1, ME, 100.0, 7)]
    assert world.on(events.Polled(ME, 100.0)) == []
    assert world.on(events.Announced(ME, 100.0, 7)) == []
    assert world.on(events.Announced(ME, 100.0, 9)) == [actions.Stop(signal.SIGTERM)]
    assert world.ends(0) == [actions.Start(Job.COMMAND, 2, ME, 100.0, 9)]


def test_a_fence_that_is_learnt_later_changes_nothing() -> None:
    """The term is the same."""
    world = World().running()
    assert world.then(events.Announced(ME, 100.0, 7)) == []
    assert world.does(Role.RUNNING)
    assert world.state.belief.fence == 7


def test_another_fence_of_another_leader_is_no_news_for_a_standby() -> None:
    """It has nothing to stop."""
    world = World()
    world.on(events.Announced(RIVAL, 100.0, 7))
    reason = world.state.reason
    assert world.then(events.Announced(RIVAL, 100.0, 8)) == []
    assert world.state.reason == reason


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_signal_same_passes_the_order_on_as_it_came(number: int) -> None:
    """INT as INT beside TERM as TERM."""
    world = World(stop_same=True).running()
    assert world.told(number) == [actions.Stop(number)]


def test_an_explicit_rewrite_of_a_signal_to_itself_passes_it_on_as_it_is() -> None:
    """`--rewrite INT=INT`."""
    world = World(rewrite=((signal.SIGINT, signal.SIGINT),)).running()
    assert world.told(signal.SIGINT) == [actions.Stop(signal.SIGINT)]


def test_a_signal_of_end_on_is_an_order_and_reaches_the_command_as_it_came() -> None:
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


def test_quit_in_standby_names_the_remedy() -> None:
    """Somebody's STOPSIGNAL, most likely."""
    (note,) = World().told(signal.SIGQUIT)
    assert isinstance(note, actions.Note)
    assert "--end-on QUIT" in str(note.fields)


def test_a_hang_up_of_our_terminal_ends_a_standby_with_129() -> None:
    """As any program; a HUP that somebody sent is harmless."""
    world = World()
    assert world.then(events.Signalled(signal.SIGHUP, hung_up=True)) == [actions.Exit(129)]
    world = World(takeover_delay=5.0)
    world.announce(ME)
    world.tick()
    assert world.then(events.Signalled(signal.SIGHUP, hung_up=True)) == [actions.Exit(129)]


def test_a_hang_up_reaches_the_command_and_what_comes_after_it_is_the_end() -> None:
    """No standby without a terminal runs the command unseen."""
    hang_up = events.Signalled(signal.SIGHUP, hung_up=True)
    world = World(restart=Restart.ALWAYS).running()
    assert world.then(hang_up) == [actions.Forward(signal.SIGHUP)]
    assert world.ends(129) == [actions.Exit(129)]
    world = World().running()
    world.then(hang_up)
    assert world.announce(RIVAL) == [actions.Stop(signal.SIGTERM)]
    assert world.ends(143) == [actions.Exit(143)]


def test_each_change_of_role_is_told_once_with_its_cause() -> None:
    """The log and the counters are made from these facts."""
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


def test_an_order_to_end_in_the_restart_delay_ends_with_the_last_code() -> None:
    """No exit code is lost."""
    world = World(restart=Restart.ALWAYS).running()
    world.ends(6)
    assert world.told() == [actions.Exit(6)]


def test_a_loss_while_leftovers_are_stopped_takes_the_restart_back() -> None:
    """Ended by itself, to be restarted, lost meanwhile: standby."""
    world = World(restart=Restart.ALWAYS).running()
    world.leaves(1)
    world.announce(RIVAL)
    world.then(events.TreeGone())
    assert world.does(Role.STANDBY)


def test_a_failed_fork_is_tried_again_while_leading() -> None:
    """Out of processes or memory: it passes, and nothing has been run yet."""
    world = World().running()
    world.then(events.StartFailed("EAGAIN"))
    assert world.does(Role.BACKOFF)
    assert world.tick(0.5) == [actions.Start(Job.COMMAND, 1, ME, 100.0)]
    world.then(events.StartFailed("EAGAIN"))
    assert world.told() == [actions.Exit(0)]


def test_contact_lost_for_too_long_stops_the_command_as_on_a_loss() -> None:
    """Leadership unconfirmed is leadership lost, until it is confirmed again."""
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


def test_a_poll_asked_before_the_newest_announcement_overrules_nothing() -> None:
    """The elector's answer is older than its event: only contact is proved."""
    world = World().running()
    asked = world.now
    world.now += 1
    world.announce(ME)
    assert world.on(events.Polled(RIVAL, asked)) == []
    assert world.does(Role.RUNNING)
    assert world.state.belief.contact_at == world.now


def test_a_poll_asked_after_the_newest_announcement_decides() -> None:
    """Whichever last heard from the elector decides."""
    world = World().running()
    world.now += 1
    assert world.on(events.Polled(RIVAL, world.now)) == [actions.Stop(signal.SIGTERM)]


def test_an_answer_read_long_after_it_was_asked_for_is_old_contact() -> None:
    """Suspended between asking and reading, the answer proves nothing about now."""
    world = World().running()
    asked = world.now + 1
    world.now += 1000
    assert world.then(events.Polled(ME, asked)) == [actions.Stop(signal.SIGTERM)]


def test_after_a_suspension_the_command_is_stopped_first() -> None:
    """The first tick on resume finds contact too old."""
    world = World().running()
    assert world.tick(3600) == [actions.Stop(signal.SIGTERM)]


def test_two_polls_that_the_open_stream_never_followed_open_a_new_one() -> None:
    """A lost subscriber is found by the cross-check, and only by it."""
    world = World()
    world.on(events.StreamOpened(world.now))
    world.announce(ME)
    world.now += 10
    assert actions.Resubscribe() not in world.on(events.Polled(RIVAL, world.now))
    world.now += 10
    assert world.on(events.Polled(RIVAL, world.now)) == [actions.Resubscribe()]
    world.now += 10
    assert world.on(events.Polled(RIVAL, world.now)) == []


def test_a_stream_is_still_doubted_after_another_part_of_the_source_broke_down() -> None:
    """The poll thread's fault does not close the stream."""
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


def test_a_stream_opened_again_confirms_nothing_before_it_has_said_something() -> None:
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
    """`never` is for those who prefer a running command to a confirmed one."""
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
def test_other_signals_are_forwarded_and_harmless_in_standby(number: int) -> None:
    """The command gets them; without one they are noted."""
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


def test_a_command_held_by_sigstop_is_left_alone() -> None:
    """Somebody stopped it on purpose, and it alone."""
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


def test_a_rewritten_term_still_ends_us_and_stops_with_the_other_signal() -> None:
    """`--rewrite TERM=QUIT` must not make a standby immortal."""
    rewrite = ((signal.SIGTERM, signal.SIGQUIT),)
    assert World(rewrite=rewrite).told() == [actions.Exit(0)]
    world = World(rewrite=rewrite).running()
    assert world.told() == [actions.Stop(signal.SIGQUIT)]
    assert world.leaves(0) == [actions.StopLeftovers(signal.SIGQUIT)]


def test_a_signal_rewritten_to_term_ends_us() -> None:
    """`--rewrite QUIT=TERM` serves images whose STOPSIGNAL is QUIT."""
    world = World(rewrite=((signal.SIGQUIT, signal.SIGTERM),))
    assert world.told(signal.SIGQUIT) == [actions.Exit(0)]


def test_nothing_follows_the_end() -> None:
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
def test_a_standby_shrugs_at_what_concerns_no_command(event: events.Event) -> None:
    """An adopted orphan's end, say, is no news."""
    world = World()
    before = world.state
    assert world.on(event) == []
    assert world.state == before


def test_signals_are_named_as_signal_7_does() -> None:
    """Also the real-time ones."""
    assert signal_name(15) == "SIGTERM"
    assert signal_name(signal.SIGRTMIN + 3) == "SIGRTMIN+3"


def test_a_replica_that_never_leads_gives_up_once_it_has_waited() -> None:
    """By its own code, so that cron can tell; the wait begins with the first look around."""
    world = World(wait=5.0, wait_exit_code=75)
    assert world.tick() == []
    world.announce(RIVAL)
    assert world.tick(4.9) == []
    assert world.tick(0.1) == [actions.Exit(75)]


def test_the_wait_is_over_with_the_first_win() -> None:
    """What was won in time runs, however long the takeover delay is, and a loss ends nothing."""
    world = World(wait=5.0, takeover_delay=9.0)
    assert world.tick() == []
    world.announce(ME)
    assert world.tick(5.0) == []
    assert world.tick(9.0) == [actions.Start(Job.COMMAND, 1, ME, 100.0)]
    world.announce(RIVAL)
    world.ends(0)
    assert world.tick(100.0) == []
    assert world.does(Role.STANDBY)


def test_a_win_that_is_noticed_together_with_the_end_of_the_wait_counts() -> None:
    """The inbox comes before the clock."""
    world = World(wait=5.0)
    assert world.tick() == []
    world.now += 50.0
    world.announce(ME)
    assert world.tick() == [actions.Start(Job.COMMAND, 1, ME, 150.0)]
