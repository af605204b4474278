"""The deciding function: `decide(policy, state, event, now) -> (state, actions)`.

Two things are kept apart. What is *wanted* follows from the belief about the election (does this
replica lead, and is that confirmed?) and from whether we were told to end. What *is* stands in
the phase of the command:

    DOWN         no process of ours exists; perhaps a start is due at `start_at`
    PREPARING    the hook of ``--on-start`` runs; its time is over at `kill_at`
    UP           the command runs
    TERMINATING  the stop was decided and signalled; KILL is due at `kill_at`
    KILLING      KILL was sent; it is sent again until nothing is left
    CLEANING     the hook of ``--on-stop`` runs; its time is over at `kill_at`

Without hooks there are four of them. What TERMINATING and KILLING bring to its end is a hook or the
command; `_finish` knows by `hook` which it was, and what comes next.

An event first changes the belief. What that and the event mean for the command is a `Happening`,
and `TABLE` says what each phase does about each happening. No phase starts anything but DOWN, and
only at a deadline, which `Tick` meets after the inbox was emptied: a win that was taken back, or
an order to end, that is already known always comes before the fork. DOWN is only entered when no
descendant is left, so there are never two commands.
"""

import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NamedTuple, TypeAlias

from leaderexec.core import events
from leaderexec.core.actions import (
    Action,
    Exit,
    Forward,
    Hook,
    KillTree,
    Note,
    Resubscribe,
    RunHook,
    Start,
    Stop,
    StopLeftovers,
    Suspend,
)
from leaderexec.core.announcement import is_named
from leaderexec.core.backoff import doubling
from leaderexec.core.belief import Belief, ContactPolicy, contact_deadline, expire, hear
from leaderexec.core.naming import signal_name

EXIT_LOST = 124
EXIT_FAILURE = 125
EXIT_KILLED = 128 + signal.SIGKILL

RESTART_BACKOFF_BASE = 0.5
RESTART_BACKOFF_CAP = 30.0
RESTART_BACKOFF_RESET = 60.0

KILL_AGAIN_FIRST = 0.02
KILL_AGAIN_CAP = 1.0
# A process that survives SIGKILL so long hangs in the kernel (state D). Nothing more can be done
# for it from here, and it dies when its system call returns.
KILL_PATIENCE = 5.0

ORDERS_TO_END = frozenset({signal.SIGTERM, signal.SIGINT})
JOB_CONTROL = frozenset({signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})


class Restart(Enum):
    """When the command is started again after it ended by itself in the same term."""

    NEVER = "never"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"


class Policy(NamedTuple):
    """What the user chose; durations in seconds, signals by number. A hook's time-out is None where
    there is no such hook."""

    identity: str
    contact: ContactPolicy = ContactPolicy()
    takeover_delay: float = 0.0
    stop_signal: int = signal.SIGTERM
    grace: float = 25.0
    grace_lost: float = 10.0
    exit_when_lost: bool = False
    restart: Restart = Restart.NEVER
    restart_limit: int | None = None
    success_codes: frozenset[int] = frozenset({0})
    rewrite: tuple[tuple[int, int], ...] = ()
    on_start_timeout: float | None = None
    on_stop_timeout: float | None = None
    hook_failure_aborts: bool = False


class Phase(Enum):
    """What is the case with the command."""

    DOWN = "down"
    PREPARING = "preparing"
    UP = "up"
    TERMINATING = "terminating"
    KILLING = "killing"
    CLEANING = "cleaning"


class Happening(Enum):
    """What an event means for the command."""

    WON = "leadership is won and confirmed"
    LOST = "leadership moved, or contact was lost for too long"
    TOLD = "TERM or INT for the first time"
    TOLD_AGAIN = "TERM or INT once more"
    SIGNAL = "any other signal"
    DUE = "the phase's deadline passed"
    START_FAILED = "no process could be made"
    STOPPED = "the command was stopped by job control"
    EXITED = "the command itself ended"
    HOOK_ENDED = "the hook itself ended"
    TREE_GONE = "no descendant is left"


@dataclass(frozen=True, slots=True)
class State:
    """Everything `decide` knows. `reason` tells why the role last changed; `hook` is what runs, or
    what has just been brought to its end, in place of the command."""

    phase: Phase = Phase.DOWN
    belief: Belief = field(default_factory=Belief)
    term: int = 0
    start_at: float | None = None
    kill_at: float | None = None
    kills: int = 0
    killing_since: float = 0.0
    started_at: float = 0.0
    stop_signal: int = signal.SIGTERM
    alive: bool = False
    ended_by_itself: bool = False
    term_over: bool = False
    told: int | None = None
    result: int | None = None
    attempt: int = 0
    restarts: int = 0
    exit_code: int | None = None
    hook: Hook | None = None
    hook_failure: str | None = None
    prepared: bool = False
    reason: str = "started"


Decision: TypeAlias = tuple[State, tuple[Action, ...]]


class Role(Enum):
    """The state in one word, for people."""

    STANDBY = "standby"
    TAKEOVER = "takeover"
    PREPARING = "preparing"
    RUNNING = "running"
    BACKOFF = "backoff"
    STOPPING = "stopping"
    KILLING = "killing"
    CLEANING = "cleaning"
    ENDED = "ended"


def role(state: State) -> Role:
    """Name what the replica is doing."""
    if state.exit_code is not None:
        return Role.ENDED
    if state.phase is not Phase.DOWN:
        return {
            Phase.PREPARING: Role.PREPARING,
            Phase.UP: Role.RUNNING,
            Phase.TERMINATING: Role.STOPPING,
            Phase.KILLING: Role.KILLING,
            Phase.CLEANING: Role.CLEANING,
        }[state.phase]
    if state.start_at is None:
        return Role.STANDBY
    return Role.BACKOFF if state.attempt else Role.TAKEOVER


def leads(policy: Policy, belief: Belief) -> bool:
    """Tell whether the command may run on this replica."""
    return belief.confirmed and is_named(policy.identity, belief.leader)


def next_deadline(policy: Policy, state: State) -> float | None:
    """Return when `decide` wants its next `Tick`; None when only an event can change anything."""
    phase_deadline = state.start_at if state.phase is Phase.DOWN else state.kill_at
    deadlines = [
        deadline
        for deadline in (phase_deadline, contact_deadline(state.belief, policy.contact))
        if deadline is not None
    ]
    return min(deadlines, default=None)


def decide(policy: Policy, state: State, event: events.Event, now: float) -> Decision:
    """Return the state after `event` and what to do, in order."""
    if state.exit_code is not None:
        return state, ()
    state, actions = _believe(policy, state, event, now)
    for happening in _happenings(policy, state, event, now):
        state, more = TABLE[state.phase][happening](policy, state, event, now)
        actions += more
    return state, actions


def _believe(policy: Policy, state: State, event: events.Event, now: float) -> Decision:
    before = state.belief
    belief = expire(hear(before, event, policy.contact), policy.contact, now)
    actions: tuple[Action, ...] = ()
    if belief.lost_subscriber():
        belief = belief.with_new_stream()
        actions += (Resubscribe(),)
    state = replace(state, belief=belief)
    led, leads_now = leads(policy, before), leads(policy, belief)
    if led == leads_now:
        return state, actions
    happening = Happening.WON if leads_now else Happening.LOST
    state, more = TABLE[state.phase][happening](policy, state, event, now)
    return state, actions + more


def _happenings(
    policy: Policy, state: State, event: events.Event, now: float
) -> tuple[Happening, ...]:
    match event:
        case events.Signalled(number):
            return _meaning_of_signal(policy, state, number)
        case events.Exited(alone=True):
            return (Happening.EXITED, Happening.TREE_GONE)
        case events.HookEnded(alone=True):
            return (Happening.HOOK_ENDED, Happening.TREE_GONE)
        case events.Tick():
            deadline = state.start_at if state.phase is Phase.DOWN else state.kill_at
            return (Happening.DUE,) if deadline is not None and deadline <= now else ()
        case _:
            return _PLAIN.get(type(event), ())


_PLAIN: dict[type[events.Event], tuple[Happening, ...]] = {
    events.Exited: (Happening.EXITED,),
    events.HookEnded: (Happening.HOOK_ENDED,),
    events.Stopped: (Happening.STOPPED,),
    events.TreeGone: (Happening.TREE_GONE,),
    events.StartFailed: (Happening.START_FAILED,),
}


def _rewritten(policy: Policy, number: int) -> int:
    return dict(policy.rewrite).get(number, number)


def _meaning_of_signal(policy: Policy, state: State, number: int) -> tuple[Happening, ...]:
    sent = _rewritten(policy, number)
    if sent == 0:
        return ()
    # A rewritten TERM is still an order to end: otherwise a standby could not be stopped.
    if number in ORDERS_TO_END or sent in ORDERS_TO_END:
        return (Happening.TOLD if state.told is None else Happening.TOLD_AGAIN,)
    return (Happening.SIGNAL,)


def _ignored(why: str) -> "Handler":
    def handler(_policy: Policy, state: State, _event: events.Event, _now: float) -> Decision:
        return state, ()

    handler.__doc__ = f"Ignored: {why}."
    return handler


def _begin_term(policy: Policy, state: State, _event: events.Event, now: float) -> Decision:
    """Plan the start for after the takeover delay."""
    begun = replace(
        state,
        term=state.term + 1,
        start_at=now + policy.takeover_delay,
        attempt=0,
        restarts=0,
        result=None,
        term_over=False,
        ended_by_itself=False,
        reason="won leadership",
    )
    return begun, ()


def _abandon_start(policy: Policy, state: State, event: events.Event, now: float) -> Decision:
    """Forget the planned start; with ``--on-lost exit`` end if the command had run this term."""
    if state.prepared:
        return _finish(policy, replace(state, term_over=True), event, now)
    if policy.exit_when_lost and state.result is not None:
        return _exit(state, EXIT_LOST, _why_lost(policy, state, now))
    return replace(state, start_at=None, attempt=0, reason=_why_lost(policy, state, now)), ()


def _leave(policy: Policy, state: State, event: events.Event, now: float) -> Decision:
    """End at once: nothing runs. Between two runs the last run's code is the command's own."""
    if state.prepared:
        return _finish(policy, replace(_told(state, event), reason=_told_by(event)), event, now)
    return _exit(state, state.result or 0, _told_by(event))


def _harmless(_policy: Policy, state: State, event: events.Event, _now: float) -> Decision:
    """Suspend on a terminal's stop signal, or say that nobody was there to receive the signal."""
    number = event.number if isinstance(event, events.Signalled) else 0
    if number in JOB_CONTROL:
        return state, (Suspend(number),)
    return state, (
        Note(
            "debug" if number in (signal.SIGCONT, signal.SIGWINCH) else "info",
            "signal ignored",
            (("signal", signal_name(number)), ("reason", "no command is running")),
        ),
    )


def _prepare_or_start(policy: Policy, state: State, event: events.Event, now: float) -> Decision:
    """Run ``--on-start`` first, where there is one and it has not just run; else start."""
    if policy.on_start_timeout is None or state.prepared:
        return _start(policy, state, event, now)
    preparing = replace(
        state,
        phase=Phase.PREPARING,
        start_at=None,
        kill_at=now + policy.on_start_timeout,
        term_over=False,
        ended_by_itself=False,
        hook=Hook.ON_START,
        hook_failure=None,
    )
    return preparing, (_run(preparing),)


def _run(state: State) -> RunHook:
    belief = state.belief
    assert state.hook is not None  # noqa: S101 - set by the callers
    return RunHook(state.hook, state.term, belief.leader or "", belief.since, state.result)


def _start(_policy: Policy, state: State, _event: events.Event, now: float) -> Decision:
    """Start the command."""
    started = replace(
        state,
        phase=Phase.UP,
        start_at=None,
        started_at=now,
        alive=True,
        ended_by_itself=False,
        term_over=False,
        kills=0,
        hook=None,
        prepared=False,
    )
    belief = state.belief
    return started, (Start(state.term, belief.leader or "", belief.since),)


def _try_again_later(policy: Policy, state: State, event: events.Event, now: float) -> Decision:
    """Plan another try: being out of processes or memory passes, and nothing has run yet."""
    why = event.reason if isinstance(event, events.StartFailed) else ""
    delay = doubling(state.attempt, base=RESTART_BACKOFF_BASE, cap=RESTART_BACKOFF_CAP)
    later = replace(
        state,
        phase=Phase.DOWN,
        alive=False,
        start_at=now + delay,
        kill_at=None,
        attempt=state.attempt + 1,
        hook=None,
        prepared=state.phase is Phase.UP and policy.on_start_timeout is not None,
        reason=f"start failed: {why}",
    )
    return later, ()


def _stop_lost(policy: Policy, state: State, _event: events.Event, now: float) -> Decision:
    """Stop within ``--grace-lost``: a rival may be about to start."""
    stopping = replace(
        state,
        phase=Phase.TERMINATING,
        kill_at=now + _share(policy, state, policy.grace_lost),
        stop_signal=policy.stop_signal,
        term_over=True,
        reason=_why_lost(policy, state, now),
    )
    return stopping, (Stop(policy.stop_signal),)


def _stop_told(policy: Policy, state: State, event: events.Event, now: float) -> Decision:
    """Stop within ``--grace`` and end."""
    told = _told(state, event)
    number = told.told or 0
    stop_signal = _rewritten(policy, number)
    if stop_signal == number:
        stop_signal = policy.stop_signal
    stopping = replace(
        told,
        phase=Phase.TERMINATING,
        kill_at=now + _share(policy, state, policy.grace),
        stop_signal=stop_signal,
        reason=_told_by(event),
    )
    return stopping, (Stop(stop_signal),)


def _forward(policy: Policy, state: State, event: events.Event, _now: float) -> Decision:
    """Pass the signal on to the command, if it still lives."""
    if not state.alive or not isinstance(event, events.Signalled):
        return state, ()
    return state, (Forward(_rewritten(policy, event.number)),)


def _suspend(_policy: Policy, state: State, event: events.Event, _now: float) -> Decision:
    """Stop together with the command, as one job; a SIGSTOP was meant for the command alone."""
    if not isinstance(event, events.Stopped) or event.number not in JOB_CONTROL:
        return state, ()
    return state, (Suspend(event.number),)


def _take_result(policy: Policy, state: State, event: events.Event, now: float) -> Decision:
    """Keep the exit code and stop what the command left behind, by the same deadline."""
    if not isinstance(event, events.Exited):
        return state, ()
    ended = replace(state, alive=False, result=event.code)
    if state.phase is Phase.KILLING:
        return ended, ()
    if state.phase is Phase.UP:
        ended = replace(
            ended,
            phase=Phase.TERMINATING,
            kill_at=now + _share(policy, state, policy.grace),
            stop_signal=policy.stop_signal,
            ended_by_itself=True,
            reason=f"command ended with {event.code}",
        )
    return ended, () if event.alone else (StopLeftovers(ended.stop_signal),)


def _hurry(policy: Policy, state: State, _event: events.Event, now: float) -> Decision:
    """Note the loss; the stop that is under way must now also meet ``--grace-lost``."""
    deadline = now + _share(policy, state, policy.grace_lost)
    return _by(replace(state, term_over=True), deadline), ()


def _note_loss(_policy: Policy, state: State, _event: events.Event, _now: float) -> Decision:
    """Note that the term is over; nothing is harder than KILL."""
    return replace(state, term_over=True), ()


def _told_while_stopping(policy: Policy, state: State, event: events.Event, now: float) -> Decision:
    """Note that we end afterwards; the command already has its stop signal."""
    return _by(_told(state, event), now + _share(policy, state, policy.grace)), ()


def _note_told(_policy: Policy, state: State, event: events.Event, _now: float) -> Decision:
    """Note that we end afterwards."""
    return _told(state, event), ()


def _kill(_policy: Policy, state: State, _event: events.Event, now: float) -> Decision:
    """Kill all that is left, again and less and less often while something survives."""
    killing = replace(
        state,
        phase=Phase.KILLING,
        kills=state.kills + 1,
        killing_since=state.killing_since if state.kills else now,
        kill_at=now + doubling(state.kills, base=KILL_AGAIN_FIRST, cap=KILL_AGAIN_CAP),
        reason=state.reason if state.kills else "grace is over",
    )
    if now - killing.killing_since < KILL_PATIENCE or state.told is None:
        return killing, (KillTree(),)
    code = EXIT_KILLED if state.alive or state.result is None else state.result
    ended, actions = _exit(killing, code, "gave up on processes that survive SIGKILL")
    return ended, (KillTree(), *actions)


def _end_hook(policy: Policy, state: State, event: events.Event, _now: float) -> Decision:
    """Keep what failed, and stop what the hook left behind, by the same deadline."""
    if not isinstance(event, events.HookEnded):
        return state, ()
    ended = state
    # In any other phase it ended because we ended it.
    if state.phase in (Phase.PREPARING, Phase.CLEANING):
        failure = event.failure or (f"ended with {event.code}" if event.code else None)
        ended = replace(
            _failed(state, failure), phase=Phase.TERMINATING, stop_signal=policy.stop_signal
        )
    if event.alone or ended.phase is Phase.KILLING:
        return ended, ()
    return ended, (StopLeftovers(ended.stop_signal),)


def _kill_hook(policy: Policy, state: State, event: events.Event, now: float) -> Decision:
    """Kill the hook: its time is over."""
    late = _failed(replace(state, kills=0), "took longer than its time-out")
    killing, actions = _kill(policy, late, event, now)
    return replace(killing, reason=late.hook_failure or ""), actions


def _failed(state: State, failure: str | None) -> State:
    """Note what went wrong with the hook; the first failure of a term is the one that counts."""
    if failure is None or state.hook is None or state.hook_failure is not None:
        return state
    return replace(state, hook_failure=f"--{state.hook.value} {failure}")


def _clean(policy: Policy, state: State, _event: events.Event, now: float) -> Decision:
    """Run ``--on-stop``."""
    cleaning = replace(
        state,
        phase=Phase.CLEANING,
        start_at=None,
        kill_at=now + (policy.on_stop_timeout or 0.0),
        kills=0,
        hook=Hook.ON_STOP,
        hook_failure=state.hook_failure if policy.hook_failure_aborts else None,
        prepared=False,
    )
    return cleaning, (_run(cleaning),)


def _go_on_without_hook(policy: Policy, state: State, event: events.Event, now: float) -> Decision:
    """No process could be made for ``--on-stop``, and none is left: go on as when it failed."""
    why = event.reason if isinstance(event, events.StartFailed) else ""
    return _settle(policy, _failed(state, f"could not be run: {why}"), event, now)


def _finish(policy: Policy, state: State, event: events.Event, now: float) -> Decision:
    """Nothing is left of what ran: on from ``--on-start`` to the command, from that to
    ``--on-stop``, from that to what was wanted."""
    goes_on = state.told is None and not state.term_over
    failed = state.hook_failure is not None and policy.hook_failure_aborts
    if state.hook is Hook.ON_START and goes_on and not failed:
        # Down, so that the start waits for the inbox to be emptied like any other.
        prepared = replace(state, phase=Phase.DOWN, start_at=now, kill_at=None, kills=0)
        return replace(prepared, hook=None, prepared=True), ()
    if policy.on_stop_timeout is not None and state.hook is not Hook.ON_STOP:
        return _clean(policy, state, event, now)
    return _settle(policy, state, event, now)


def _settle(policy: Policy, state: State, event: events.Event, now: float) -> Decision:
    """Nothing runs any more: end, wait for leadership, or start again."""
    code = state.result or 0
    if state.told is not None:
        return _exit(state, code, state.reason)
    failure = state.hook_failure if policy.hook_failure_aborts else None
    state = replace(
        state, phase=Phase.DOWN, kill_at=None, kills=0, hook=None, hook_failure=None, prepared=False
    )
    if state.ended_by_itself and not _restarts(policy, state, now):
        return _exit(state, code, state.reason)
    if failure is not None:
        return _exit(state, EXIT_FAILURE, failure)
    if state.term_over:
        return _end_term(policy, state, event, now)
    return _restart_later(state, now)


def _end_term(policy: Policy, state: State, event: events.Event, now: float) -> Decision:
    """Wait for leadership, or end where that was asked for."""
    if policy.exit_when_lost:
        code = EXIT_KILLED if state.result == EXIT_KILLED else EXIT_LOST
        return _exit(state, code, state.reason)
    if leads(policy, state.belief):
        return _begin_term(policy, state, event, now)
    return replace(state, start_at=None, attempt=0, result=None, reason="command stopped"), ()


def _restart_later(state: State, now: float) -> Decision:
    """Plan the next run of the same term."""
    lasted = now - state.started_at >= RESTART_BACKOFF_RESET
    attempt = 0 if lasted else state.attempt
    delay = doubling(attempt, base=RESTART_BACKOFF_BASE, cap=RESTART_BACKOFF_CAP)
    waiting = replace(
        state,
        start_at=now + delay,
        attempt=attempt + 1,
        restarts=(0 if lasted else state.restarts) + 1,
    )
    return waiting, ()


def _restarts(policy: Policy, state: State, now: float) -> bool:
    succeeded = state.result in policy.success_codes
    if policy.restart is Restart.NEVER or (policy.restart is Restart.ON_FAILURE and succeeded):
        return False
    lasted = now - state.started_at >= RESTART_BACKOFF_RESET
    return policy.restart_limit is None or lasted or state.restarts < policy.restart_limit


def _share(policy: Policy, state: State, grace: float) -> float:
    """Return how much of a grace this step of the stop may take: one deadline is for the whole, and
    ``--on-stop``, where it still has to run, has its time-out kept free at the end."""
    to_come = 0.0 if state.hook is Hook.ON_STOP else policy.on_stop_timeout or 0.0
    return max(0.0, grace - to_come)


def _by(state: State, deadline: float) -> State:
    return replace(
        state, kill_at=deadline if state.kill_at is None else min(state.kill_at, deadline)
    )


def _told(state: State, event: events.Event) -> State:
    return replace(state, told=event.number if isinstance(event, events.Signalled) else 0)


def _told_by(event: events.Event) -> str:
    if not isinstance(event, events.Signalled):
        return "told to end"
    sender = f" from pid {event.sender}" if event.sender else ""
    return f"received {signal_name(event.number)}{sender}"


def _why_lost(policy: Policy, state: State, now: float) -> str:
    belief = state.belief
    if not belief.confirmed:
        silent = now - (belief.contact_at or now)
        return f"leadership unconfirmed: no contact with the election for {silent:.1f}s"
    if belief.leader is None:
        return "leadership lost: nobody leads"
    return f"leadership moved from {policy.identity} to {belief.leader}"


def _exit(state: State, code: int, reason: str) -> Decision:
    ended = replace(
        state, exit_code=code, reason=reason, phase=Phase.DOWN, start_at=None, kill_at=None
    )
    return ended, (Exit(code),)


Handler: TypeAlias = Callable[[Policy, State, events.Event, float], Decision]

TABLE: dict[Phase, dict[Happening, Handler]] = {
    Phase.DOWN: {
        Happening.WON: _begin_term,
        Happening.LOST: _abandon_start,
        Happening.TOLD: _leave,
        Happening.TOLD_AGAIN: _ignored("the first order to end has ended us"),
        Happening.SIGNAL: _harmless,
        Happening.DUE: _prepare_or_start,
        Happening.START_FAILED: _ignored("nothing was being started"),
        Happening.STOPPED: _ignored("no command is running"),
        Happening.EXITED: _ignored("no command is running"),
        Happening.HOOK_ENDED: _ignored("no hook is running"),
        Happening.TREE_GONE: _ignored("an adopted orphan was the last; it was none of ours"),
    },
    Phase.PREPARING: {
        Happening.WON: _ignored("the start is under way already"),
        Happening.LOST: _stop_lost,
        Happening.TOLD: _stop_told,
        Happening.TOLD_AGAIN: _ignored("told once, the phase is no longer PREPARING"),
        Happening.SIGNAL: _harmless,
        Happening.DUE: _kill_hook,
        Happening.START_FAILED: _try_again_later,
        Happening.STOPPED: _ignored("no command is running"),
        Happening.EXITED: _ignored("no command is running"),
        Happening.HOOK_ENDED: _end_hook,
        Happening.TREE_GONE: _ignored("the hook is reaped, and so HOOK_ENDED, before this"),
    },
    Phase.UP: {
        Happening.WON: _ignored("the command runs already"),
        Happening.LOST: _stop_lost,
        Happening.TOLD: _stop_told,
        Happening.TOLD_AGAIN: _ignored("told once, the phase is no longer UP"),
        Happening.SIGNAL: _forward,
        Happening.DUE: _ignored("UP has no deadline"),
        Happening.START_FAILED: _try_again_later,
        Happening.STOPPED: _suspend,
        Happening.EXITED: _take_result,
        Happening.HOOK_ENDED: _ignored("no hook is running"),
        Happening.TREE_GONE: _ignored("the command is reaped, and so EXITED, before this"),
    },
    Phase.TERMINATING: {
        Happening.WON: _ignored("the stop goes on to its end; then `_settle` looks who leads"),
        Happening.LOST: _hurry,
        Happening.TOLD: _told_while_stopping,
        Happening.TOLD_AGAIN: _forward,
        Happening.SIGNAL: _forward,
        Happening.DUE: _kill,
        Happening.START_FAILED: _ignored("a start is over before its stop is decided"),
        Happening.STOPPED: _ignored("the deadline stands; KILL also ends a stopped process"),
        Happening.EXITED: _take_result,
        Happening.HOOK_ENDED: _end_hook,
        Happening.TREE_GONE: _finish,
    },
    Phase.KILLING: {
        Happening.WON: _ignored("the stop goes on to its end; then `_settle` looks who leads"),
        Happening.LOST: _note_loss,
        Happening.TOLD: _note_told,
        Happening.TOLD_AGAIN: _ignored("nothing is harder than KILL"),
        Happening.SIGNAL: _ignored("nothing is harder than KILL"),
        Happening.DUE: _kill,
        Happening.START_FAILED: _ignored("a start is over before its stop is decided"),
        Happening.STOPPED: _ignored("KILL also ends a stopped process"),
        Happening.EXITED: _take_result,
        Happening.HOOK_ENDED: _end_hook,
        Happening.TREE_GONE: _finish,
    },
    Phase.CLEANING: {
        Happening.WON: _ignored("the stop goes on to its end; then `_settle` looks who leads"),
        Happening.LOST: _hurry,
        Happening.TOLD: _told_while_stopping,
        Happening.TOLD_AGAIN: _ignored("the hook has its own deadline"),
        Happening.SIGNAL: _harmless,
        Happening.DUE: _kill_hook,
        Happening.START_FAILED: _go_on_without_hook,
        Happening.STOPPED: _ignored("no command is running"),
        Happening.EXITED: _ignored("the command is gone"),
        Happening.HOOK_ENDED: _end_hook,
        Happening.TREE_GONE: _ignored("the hook is reaped, and so HOOK_ENDED, before this"),
    },
}
