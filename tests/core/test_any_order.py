"""The promises hold whatever the order of events is.

The rules simulate the world: an elector, signals, time, and a process tree that obeys the actions
as the kernel would. The invariants are the contract.
"""

import signal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from leaderexec.core import actions, events
from leaderexec.core.actions import Job, Role
from leaderexec.core.belief import ContactPolicy
from leaderexec.core.lifecycle import (
    Policy,
    Restart,
    State,
    Unhealthy,
    decide,
    leads,
    next_deadline,
)
from leaderexec.core.run import Stage, is_command

ME = "app-a"
_NAMES = st.sampled_from([ME, ME, "app-b", "app-c"])
_SECONDS = st.sampled_from([0.0, 0.01, 0.3, 1.0, 5.0, 10.0, 31.0, 100.0])


class Wrapper(RuleBasedStateMachine):
    """One wrapper and its world."""

    @initialize(
        takeover=st.sampled_from([0.0, 2.0]),
        restart=st.sampled_from(list(Restart)),
        limit=st.sampled_from([None, 0, 2]),
        exit_when_lost=st.booleans(),
        timeout=st.sampled_from([None, 30.0]),
        open_stream_counts=st.booleans(),
        rewrite=st.sampled_from([(), ((signal.SIGHUP, signal.SIGTERM),), ((signal.SIGINT, 0),)]),
        on_start=st.sampled_from([None, None, 7.0]),
        on_stop=st.sampled_from([None, None, 2.0]),
        aborts=st.booleans(),
        unhealthy=st.sampled_from(list(Unhealthy)),
        abdicate_after=st.sampled_from([None, 1, 2]),
        can_release=st.booleans(),
        once=st.sampled_from([False, False, True]),
        warm=st.sampled_from([None, None, 20.0]),
    )
    def begin(
        self,
        takeover: float,
        restart: Restart,
        limit: int | None,
        exit_when_lost: bool,
        timeout: float | None,
        open_stream_counts: bool,
        rewrite: tuple[tuple[int, int], ...],
        on_start: float | None,
        on_stop: float | None,
        aborts: bool,
        unhealthy: Unhealthy,
        abdicate_after: int | None,
        can_release: bool,
        once: bool,
        warm: float | None,
    ) -> None:
        """Choose the options."""
        self.policy = Policy(
            identity=ME,
            contact=ContactPolicy(timeout, open_stream_counts),
            takeover_delay=takeover,
            restart=restart,
            restart_limit=limit,
            exit_when_lost=exit_when_lost,
            rewrite=rewrite,
            on_start_timeout=on_start,
            on_stop_timeout=on_stop,
            hook_failure_aborts=aborts,
            unhealthy=unhealthy,
            abdicate_after=abdicate_after,
            can_release=can_release,
            # Both together are refused.
            once=once and warm is None,
            warm=warm,
        )
        self.state = State()
        self.now = 1000.0
        # The command's last readiness message.
        self.ready: bool | None = None
        # What runs, and whether its main process lives.
        self.job: Job | None = None
        self.alive = False
        # --on-start runs next to the warm command.
        self.hook = False
        # The term that --on-start has run for, with the command still to come.
        self.prepared_for: int | None = None
        self.owes_on_stop = False
        self.survivors = False
        self.code: int | None = None
        self.codes: set[int | None] = set()
        self.starts_by_term: dict[int, int] = {}
        self.ends_by_term: dict[int, int] = {}
        self.exit_code: int | None = None
        # The command has succeeded with --once, and the election has to keep the success.
        self.recording = False
        self.stop_decided = False

    def on(self, event: events.Event) -> None:
        """Process an event and obey the decisions."""
        before = self.state
        self.state, wanted = decide(self.policy, self.state, event, self.now)
        for action in wanted:
            self.obey(action, event)
        changes = [one for one in wanted if isinstance(one, actions.Changed)]
        told = [(one.before, one.after) for one in changes]
        silent = (before.role, before.term) == (self.state.role, self.state.term)
        assert told == ([] if silent else [(before.role, self.state.role)])

    def obey(self, action: actions.Action, event: events.Event) -> None:
        """Do what was decided, and check that it is allowed."""
        match action:
            case actions.Start():
                assert isinstance(event, events.Tick), "a start while the inbox is not empty"
                assert not self.survivors, "a start while something survives"
                self.start(action)
                self.runs(action.job)
            case actions.Lead(start):
                assert isinstance(event, events.Tick), "a line while the inbox is not empty"
                assert self.waits(), "a line without a waiting command"
                assert self.ready, "a line to a command that is not ready"
                self.may_work(start)
                self.job = Job.COMMAND
            case actions.Stop():
                assert self.alive, "a stop of nothing"
                assert self.job is not Job.ON_STOP
                self.stop_decided = True
            case actions.StopLeftovers():
                assert self.job is not None
                assert not self.alive
            case actions.Forward():
                assert self.alive, "a signal to a reaped pid"
                assert self.job in {Job.COMMAND, Job.WARM}, "a signal to a hook"
            case actions.NameSurvivors():
                self.is_given_up()
            case actions.Release():
                assert self.job is None or self.waits(), "released while something runs"
                assert not self.survivors, "released while something survives"
                assert not leads(self.policy, self.state.belief)
            case actions.KeepSuccess():
                assert self.policy.once
                assert self.job is None, "kept while something runs"
                assert not self.recording, "kept twice"
                self.recording = True
            case actions.Exit(code):
                assert self.exit_code is None
                assert self.job is None, "an exit while something runs"
                assert not self.owes_on_stop or self.survivors, "an exit without --on-stop"
                self.exit_code = code
            case _:
                pass

    def is_given_up(self) -> None:
        """Survivors are none of our business any more."""
        if self.job is Job.WARM:
            self.warm_ends()
        self.survivors, self.job, self.alive, self.hook = True, None, False, False
        self.codes.add(137)

    def runs(self, job: Job) -> None:
        """Start it, next to a warm command if it is a hook for that."""
        if self.waits() and job is Job.ON_START:
            assert self.ready, "a hook while the warm command is not ready"
            self.hook = True
            return
        assert self.job is None, "two at once"
        self.job, self.alive, self.ready = job, True, None

    def start(self, start: actions.Start) -> None:
        """Check that this job may start."""
        assert not self.recording, "a start after a success"
        if start.job is Job.ON_STOP:
            assert self.owes_on_stop, "a hook that is not due"
            self.owes_on_stop, self.prepared_for = False, None
            return
        if start.job is Job.WARM:
            assert self.policy.warm is not None
            assert self.state.order is None, "a start after an order to stop"
            return
        assert self.policy.warm is None or self.waits(), "a cold start with --warm"
        self.may_work(start)

    def may_work(self, start: actions.Start) -> None:
        """Check that the command, or what prepares it, may work for the leader."""
        assert leads(self.policy, self.state.belief), "a start without leadership"
        assert start.leader == ME
        assert self.state.order is None, "a start after an order to stop"
        assert not self.stop_decided, "a start after a stop was decided"
        self.owes_on_stop = self.policy.on_stop_timeout is not None
        if start.job is Job.ON_START:
            assert self.prepared_for != start.term, "prepared twice"
            self.prepared_for = start.term
            return
        prepared = self.policy.on_start_timeout is not None
        assert self.prepared_for == (start.term if prepared else None)
        self.prepared_for = None
        again = self.starts_by_term.get(start.term, 0)
        assert again == self.ends_by_term.get(start.term, 0)
        self.starts_by_term[start.term] = again + 1

    def waits(self) -> bool:
        """Return whether a warm command waits to be told that this replica leads."""
        waits = self.job is Job.WARM and self.alive and not self.stop_decided
        return waits and not self.hook

    def warm_ends(self) -> None:
        """What was prepared for a warm command is prepared again, unless that took too long."""
        if not self.state.prepared:
            self.prepared_for = None

    @rule(name=_NAMES)
    def announced(self, name: str) -> None:
        """The stream names a leader."""
        self.on(events.Announced(name, self.now))

    @rule(name=_NAMES, age=st.sampled_from([0.0, 0.5, 20.0]))
    def polled(self, name: str, age: float) -> None:
        """A poll is answered, perhaps long after its request."""
        self.on(events.Polled(name, self.now - age))

    @rule()
    def stream_opened(self) -> None:
        """A stream opens."""
        self.on(events.StreamOpened(self.now))

    @rule()
    def stream_closed(self) -> None:
        """A stream ends."""
        self.on(events.StreamClosed(self.now))

    @rule(
        number=st.sampled_from(
            [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCONT, signal.SIGTSTP]
        ),
        hung_up=st.booleans(),
    )
    def signalled(self, number: int, hung_up: bool) -> None:
        """A process sends a signal, or the terminal hangs up."""
        self.on(events.Signalled(number, hung_up=hung_up and number == signal.SIGHUP))

    @rule()
    def source_breaks_down(self) -> None:
        """A thread of the source has died."""
        self.on(events.Failed("a bug", self.now))

    @rule()
    def asked_to_step_down(self) -> None:
        """A user wants another replica to lead."""
        self.on(events.StepDown(30.0, "somebody"))

    @precondition(lambda self: self.policy.once)
    @rule()
    def done(self) -> None:
        """The election has kept a success of the command, of this replica or another."""
        self.on(events.Done())

    @precondition(lambda self: self.recording)
    @rule()
    def not_kept(self) -> None:
        """The election can't keep this replica's success."""
        self.on(events.NotKept("another replica holds it"))

    @rule(healthy=st.booleans(), late=st.sampled_from([0.0, 0.0, 1.0]))
    def judged(self, healthy: bool, late: float) -> None:
        """The probes report on this run, or on an earlier one."""
        run = self.state.run
        started_at = (self.now if run is None else run.started_at) - late
        self.on(events.Health(healthy, started_at, self.now, "no answer"))

    @rule(ready=st.booleans())
    def says_whether_it_is_ready(self, ready: bool) -> None:
        """The command, or something that it has left behind, reports its readiness."""
        if self.job in {Job.COMMAND, Job.WARM}:
            self.ready = ready
        self.on(events.Ready(ready))

    @rule(seconds=_SECONDS)
    def time_passes(self, seconds: float) -> None:
        """The inbox is empty, and time has passed."""
        self.now += seconds
        self.on(events.Tick())

    @precondition(lambda self: self.alive)
    @rule(code=st.sampled_from([0, 0, 1, 127, 137, 143]), leaves=st.booleans())
    def main_process_exits(self, code: int, leaves: bool) -> None:
        """The command or a hook exits, on its own or not, with or without leftovers."""
        assert self.job is not None
        job, self.alive = self.job, False
        if job in {Job.COMMAND, Job.WARM}:
            self.codes.add(code)
        if job is Job.COMMAND:
            term = self.state.term
            self.ends_by_term[term] = self.ends_by_term.get(term, 0) + 1
        leaves = leaves or self.hook
        if not leaves:
            self.nothing_is_left()
        # The shell can't distinguish a warm command from one that leads.
        said = Job.COMMAND if job is Job.WARM else job
        self.on(events.Exited(said, code, alone=not leaves))
        if job is Job.WARM:
            self.warm_ends()

    @precondition(lambda self: self.hook)
    @rule(code=st.sampled_from([0, 0, 1, 143]))
    def the_hook_next_to_it_exits(self, code: int) -> None:
        """It exits on its own, or was stopped together with the warm command."""
        self.hook = False
        alone = not self.alive
        if alone:
            self.nothing_is_left()
        self.on(events.Exited(Job.ON_START, code, alone=alone))

    @precondition(lambda self: (self.job and not self.alive and not self.hook) or self.survivors)
    @rule()
    def the_last_one_ends(self) -> None:
        """What was left behind, or has survived KILL, ends."""
        self.survivors = False
        self.nothing_is_left()
        self.on(events.TreeGone())

    def nothing_is_left(self) -> None:
        """The tree is gone."""
        self.job, self.stop_decided = None, False

    @precondition(lambda self: self.job is None and not self.survivors)
    @rule()
    def adopted_orphan_ends(self) -> None:
        """A process that was never ours is reaped."""
        self.on(events.TreeGone())

    @precondition(
        lambda self: (
            self.alive
            and self.state.run.stage is Stage.RUNNING
            and (self.policy.warm is None or self.job is not Job.COMMAND)
        )
    )
    @rule()
    def fork_turns_out_to_have_failed(self) -> None:
        """The start turns out to have created no process."""
        if self.hook:
            self.hook, self.owes_on_stop, self.prepared_for = False, False, None
            self.on(events.StartFailed("EAGAIN"))
            self.on(events.Tick())
            return
        job, self.job, self.alive = self.job, None, False
        if job is Job.COMMAND:
            self.starts_by_term[self.state.term] -= 1
            prepared = self.policy.on_start_timeout is not None
            self.prepared_for = self.state.term if prepared else None
            self.owes_on_stop = prepared and self.policy.on_stop_timeout is not None
        if job is Job.ON_START:
            self.owes_on_stop, self.prepared_for = False, None
        self.on(events.StartFailed("EAGAIN"))
        self.on(events.Tick())

    @invariant()
    def state_tells_the_truth(self) -> None:
        """Without a run, there is nothing but, perhaps, known survivors."""
        if self.exit_code is None:
            assert (self.state.run is None) == (self.job is None)
            assert self.state.survivors == self.survivors
            if self.state.run is not None:
                assert (self.state.run.job, self.state.run.alive) == (self.job, self.alive)

    @invariant()
    def every_stop_has_a_deadline(self) -> None:
        """No stop waits forever."""
        run = self.state.run
        if run is None:
            return
        runs_on = run.stage is Stage.RUNNING and is_command(run) and not run.preparing
        if not runs_on:
            assert run.deadline is not None
            assert run.deadline - self.now <= max(self.policy.grace, self.policy.grace_lost)

    @invariant()
    def a_command_runs_only_where_it_leads(self) -> None:
        """If leadership is gone or unconfirmed, a stop is under way."""
        if self.state.role is Role.RUNNING and self.state.run is not None:
            assert leads(self.policy, self.state.belief)
            assert self.state.order is None
        if self.state.start_at is not None and self.state.run is None:
            assert leads(self.policy, self.state.belief)

    @invariant()
    def the_exit_code_survives(self) -> None:
        """We exit with the command's code, or one that the contract names."""
        if self.exit_code is not None:
            stopped = {128 + signal.SIGTERM, 128 + signal.SIGINT} if self.policy.once else set()
            assert self.exit_code in {0, 123, 124, 125, 129, 137} | self.codes | stopped
            if self.policy.once and self.exit_code == 0:
                assert self.state.done
            if self.exit_code == 124:
                assert self.policy.exit_when_lost
            if self.exit_code == 125:
                assert self.policy.hook_failure_aborts or self.recording

    @invariant()
    def a_quiet_world_comes_to_rest(self) -> None:
        """With nothing but ticks, and processes that die of KILL, there are few actions."""
        state, now = self.state, self.now
        job, alive = self.job, self.alive
        for _ in range(40):
            deadline = next_deadline(self.policy, state)
            if deadline is None or state.exit_code is not None:
                return
            now = max(now, deadline)
            state, wanted = decide(self.policy, state, events.Tick(), now)
            for action in wanted:
                if isinstance(action, actions.Lead):
                    return
                if isinstance(action, actions.Start):
                    if action.job in {Job.COMMAND, Job.WARM}:
                        return
                    job, alive = action.job, True
                if isinstance(action, actions.KillTree) and job is not None:
                    if alive:
                        state, _ = decide(self.policy, state, events.Exited(job, 137), now)
                    job, alive = None, False
                    state, _ = decide(self.policy, state, events.TreeGone(), now)
                    state, more = decide(self.policy, state, events.Tick(), now)
                    hooks = [one.job for one in more if isinstance(one, actions.Start)]
                    if {Job.COMMAND, Job.WARM} & set(hooks):
                        return
                    job = hooks[0] if hooks else None
                    alive = job is not None
        raise AssertionError(f"still restless: {state}")


Wrapper.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
# Pure computation takes as long as a busy machine needs for it.
test_any_order_of_events_keeps_every_promise = pytest.mark.timeout(600)(Wrapper.TestCase)
