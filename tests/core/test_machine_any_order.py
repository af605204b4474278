"""Whatever the order of events, the promises hold.

The rules play the world: an elector, signals, time, and one process tree that obeys the actions as
the kernel would. The invariants are the contract.
"""

import signal
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from leaderexec.core import actions, events
from leaderexec.core.belief import ContactPolicy
from leaderexec.core.machine import (
    Phase,
    Policy,
    Restart,
    State,
    decide,
    leads,
    next_deadline,
)

ME = "app-a"
HOOK_RUNS = (Phase.PREPARING, Phase.CLEANING)
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
        )
        self.state = State()
        self.now = 1000.0
        self.command = False
        self.leftovers = False
        self.hook = False
        self.prepared = False
        self.hooks_owed: list[actions.Hook] = []
        self.kills = 0
        self.last_code: int | None = None
        self.starts_by_term: dict[int, int] = {}
        self.ends_by_term: dict[int, int] = {}
        self.exit_code: int | None = None
        self.stop_decided = False

    def on(self, event: events.Event) -> None:
        """Hand in an event and obey."""
        self.state, wanted = decide(self.policy, self.state, event, self.now)
        for action in wanted:
            self.obey(action, event)

    def obey(self, action: actions.Action, event: events.Event) -> None:
        """Do what was decided, and check that it may be done."""
        match action:
            case actions.Start(term, leader, _):
                assert isinstance(event, events.Tick), "a start outside an emptied inbox"
                assert not self.command, "two commands at once"
                assert not self.leftovers, "a start beside leftovers"
                assert not self.hook, "a start beside a hook"
                assert self.prepared == (self.policy.on_start_timeout is not None)
                self.prepared = False
                assert leads(self.policy, self.state.belief), "a start without leadership"
                assert leader == ME
                assert self.state.told is None, "a start after an order to end"
                assert not self.stop_decided, "a start after a stop was decided"
                again = self.starts_by_term.get(term, 0)
                assert again == 0 or again == self.ends_by_term.get(term, 0)
                self.starts_by_term[term] = again + 1
                self.command = True
                self.hooks_owed = self.hooks_owed_by_a_start()
            case actions.RunHook(hook):
                assert not self.command, "a hook beside the command"
                assert not self.leftovers, "a hook beside leftovers"
                assert not self.hook, "two hooks at once"
                if hook is actions.Hook.ON_START:
                    assert isinstance(event, events.Tick), "a start outside an emptied inbox"
                    assert leads(self.policy, self.state.belief)
                    assert self.state.told is None
                    self.hooks_owed = self.hooks_owed_by_a_start()
                    self.prepared = True
                else:
                    assert self.hooks_owed == [hook], "a hook that is not due"
                    self.hooks_owed = []
                    self.prepared = False
                self.hook = True
            case actions.Stop():
                assert self.command or self.hook, "a stop of nothing"
                self.stop_decided = True
            case actions.Forward():
                assert self.command, "a signal to a reaped pid"
            case actions.KillTree():
                self.kills += 1
            case actions.Exit(code):
                assert self.exit_code is None
                assert not self.hooks_owed or self.kills, "an end without the hook"
                self.exit_code = code
            case _:
                pass

    def hooks_owed_by_a_start(self) -> list[actions.Hook]:
        """Return what has to run after this."""
        return [actions.Hook.ON_STOP] if self.policy.on_stop_timeout is not None else []

    @rule(name=_NAMES)
    def announced(self, name: str) -> None:
        """The stream names a leader."""
        self.on(events.Announced(name, self.now))

    @rule(name=_NAMES, age=st.sampled_from([0.0, 0.5, 20.0]))
    def polled(self, name: str, age: float) -> None:
        """A poll, perhaps asked long ago, is answered."""
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
        )
    )
    def signalled(self, number: int) -> None:
        """Somebody sends a signal."""
        self.on(events.Signalled(number))

    @rule(seconds=_SECONDS)
    def time_passes(self, seconds: float) -> None:
        """The inbox is empty, and time has passed."""
        self.now += seconds
        self.on(events.Tick())

    @precondition(lambda self: self.command)
    @rule(code=st.sampled_from([0, 1, 137, 143]), leaves=st.booleans())
    def command_ends(self, code: int, leaves: bool) -> None:
        """The command ends, by itself or not, with or without leftovers."""
        self.command = False
        self.leftovers = leaves
        self.last_code = code
        term = self.state.term
        self.ends_by_term[term] = self.ends_by_term.get(term, 0) + 1
        if not leaves:
            self.stop_decided = False
        self.on(events.Exited(code, alone=not leaves))

    @precondition(lambda self: self.leftovers)
    @rule()
    def leftovers_end(self) -> None:
        """What the command left behind ends."""
        self.leftovers = False
        self.tree_gone()

    @precondition(lambda self: self.hook)
    @rule(code=st.sampled_from([0, 0, 3]), leaves=st.booleans())
    def hook_ends(self, code: int, leaves: bool) -> None:
        """The hook ends, by itself or not, with or without leftovers."""
        self.hook = False
        self.leftovers = leaves
        if not leaves:
            self.stop_decided = False
        self.on(events.HookEnded(code, alone=not leaves))

    @precondition(lambda self: not self.command and not self.leftovers and not self.hook)
    @rule()
    def adopted_orphan_ends(self) -> None:
        """A process that was never ours is reaped."""
        self.on(events.TreeGone())

    def tree_gone(self) -> None:
        """Tell that nothing is left."""
        self.stop_decided = False
        self.on(events.TreeGone())

    @precondition(lambda self: self.state.phase is Phase.UP and self.command)
    @rule()
    def fork_had_failed(self) -> None:
        """The start turns out to have made no process."""
        term = self.state.term
        self.command = False
        self.starts_by_term[term] -= 1
        self.prepared = self.policy.on_start_timeout is not None
        self.on(events.StartFailed("EAGAIN"))

    @precondition(lambda self: self.hook and self.state.phase in HOOK_RUNS)
    @rule()
    def fork_of_the_hook_had_failed(self) -> None:
        """The start of the hook turns out to have made no process."""
        self.hook = False
        if self.state.phase is Phase.PREPARING:
            self.hooks_owed = []
            self.prepared = False
        self.on(events.StartFailed("EAGAIN"))

    @invariant()
    def phase_tells_the_truth(self) -> None:
        """DOWN means that nothing is there; any other phase, that something may be."""
        if self.exit_code is None:
            there = self.command or self.leftovers or self.hook
            assert (self.state.phase is Phase.DOWN) == (not there)
            if self.state.phase in HOOK_RUNS:
                assert self.hook
            assert self.state.alive == self.command

    @invariant()
    def every_stop_has_a_deadline(self) -> None:
        """No stop waits for ever."""
        if self.state.phase not in (Phase.DOWN, Phase.UP):
            assert self.state.kill_at is not None
            assert self.state.kill_at - self.now <= max(self.policy.grace, self.policy.grace_lost)

    @invariant()
    def a_command_runs_only_where_it_leads(self) -> None:
        """Leadership gone or unconfirmed means that a stop is under way."""
        if self.state.phase is Phase.UP:
            assert leads(self.policy, self.state.belief)
            assert self.state.told is None
        if self.state.start_at is not None:
            assert leads(self.policy, self.state.belief)

    @invariant()
    def the_exit_code_survives(self) -> None:
        """We end with the command's code, or one that the contract names."""
        if self.exit_code is not None:
            assert self.exit_code in {0, 124, 125, 137, self.last_code}
            if self.exit_code == 125:
                assert self.policy.hook_failure_aborts
            if self.state.result is not None and self.exit_code not in {124, 125, 137}:
                assert self.exit_code == self.state.result

    @invariant()
    def a_quiet_world_comes_to_rest(self) -> None:
        """With nothing but ticks, and processes that die of KILL, there are few actions."""
        state, now = self.state, self.now
        alive, hook = self.command, self.hook
        tree = alive or hook or self.leftovers
        steady = replace(state.belief)
        for _ in range(40):
            deadline = next_deadline(self.policy, state)
            if deadline is None or state.exit_code is not None:
                return
            now = max(now, deadline)
            state, wanted = decide(self.policy, state, events.Tick(), now)
            for action in wanted:
                if isinstance(action, actions.Start):
                    return
                if isinstance(action, actions.RunHook):
                    hook = tree = True
                if isinstance(action, actions.KillTree) and tree:
                    if alive:
                        state, _ = decide(self.policy, state, events.Exited(137), now)
                    if hook:
                        state, _ = decide(self.policy, state, events.HookEnded(137), now)
                    alive = hook = tree = False
                    state, then = decide(self.policy, state, events.TreeGone(), now)
                    if any(isinstance(one, actions.RunHook) for one in then):
                        hook = tree = True
        raise AssertionError(f"still restless: {state} after {steady}")


Wrapper.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
test_any_order_of_events_keeps_every_promise = Wrapper.TestCase
