"""The deciding function: `decide(policy, state, event, now) -> (state, actions)`.

It takes three steps, in this order:

    hear   what the event says about leadership and orders to stop. A loss, or an order, stops what
           runs. Time can end leadership, too, but only at a Tick.
    run    what the event means for the process that runs (`run.TABLE`).
    plan   only at a Tick, and only if nothing runs, or a warm command waits: one list of questions,
           read from top to bottom (`QUESTIONS`). The first that applies decides what comes next.

Only a plan starts anything, and a Tick comes only after the inbox was emptied: a win that was
revoked, an order to stop or an exit that is already known always comes before the fork, and an exit
comes before a loss of contact that is noticed together with it. Nothing counts as stopped until no
descendant is left, so there are never two commands.
"""

import signal
from collections.abc import Callable
from enum import Enum

from leaderexec.core import events, run
from leaderexec.core.actions import (
    HOOKS,
    Action,
    Cause,
    Changed,
    Ended,
    Exit,
    Job,
    KeepSuccess,
    Lead,
    NameSurvivors,
    Note,
    Release,
    Resubscribe,
    Role,
    Start,
    Suspend,
)
from leaderexec.core.backoff import doubling, holding_off
from leaderexec.core.belief import Belief, ContactPolicy, contact_deadline, expire, hear, let_go
from leaderexec.core.record import Record, replace
from leaderexec.core.run import Push, Run, Stage, Trigger, is_command, is_idle, waiting
from leaderexec.core.signals import signal_name

EXIT_UNHEALTHY = 123
EXIT_LOST = 124
EXIT_FAILURE = 125
EXIT_KILLED = 128 + signal.SIGKILL
EXIT_HUNG_UP = 128 + signal.SIGHUP

RESTART_BACKOFF_BASE = 0.5
RESTART_BACKOFF_CAP = 30.0
RESTART_BACKOFF_RESET = 60.0

# How long it is tried to keep a success, for --once: less than the default of --grace.
KEEP_WITHIN = 20.0

# As in shells: the command can't be executed, or there is none.
EXIT_CANNOT_RUN = frozenset({126, 127})

# Seconds of the takeover delay that a person would miss.
_WORTH_SAYING = 1.0

ORDERS_TO_END = frozenset({signal.SIGTERM, signal.SIGINT})
JOB_CONTROL = frozenset({signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})


class Restart(Enum):
    """When the command is restarted after it exited on its own in the same term."""

    NEVER = "never"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"


class Unhealthy(Enum):
    """What to do when the command is unhealthy, and has been stopped because of it."""

    RESTART = "restart"
    ABDICATE = "abdicate"
    EXIT = "exit"


class Policy(Record):
    """The options; durations in seconds, signals by number. A hook's timeout is None if there is no
    such hook. The signals of `end_on` are orders to stop besides TERM and INT; an order is
    forwarded to the command as `stop_signal`, or with `stop_same` unchanged. `hold_off` is the
    first of those that double; `can_release`: the kind of election supports it. `once`: a success
    is kept with the election. `warm`: with --warm, how long a command may take to be ready once
    this replica leads. There is never both."""

    identity: str
    contact: ContactPolicy = ContactPolicy()
    takeover_delay: float = 0.0
    stop_signal: int = signal.SIGTERM
    stop_same: bool = False
    end_on: frozenset[int] = frozenset()
    grace: float = 25.0
    grace_lost: float = 10.0
    exit_when_lost: bool = False
    restart: Restart = Restart.NEVER
    restart_limit: int | None = None
    success_codes: frozenset[int] = frozenset({0})
    unhealthy: Unhealthy = Unhealthy.RESTART
    abdicate_after: int | None = None
    hold_off: float = 30.0
    can_release: bool = True
    wait: float | None = None
    wait_exit_code: int = 75
    once: bool = False
    rewrite: tuple[tuple[int, int], ...] = ()
    on_start_timeout: float | None = None
    on_stop_timeout: float | None = None
    hook_failure_aborts: bool = False
    warm: float | None = None


class Last(Record):
    """How the last run of this term ended; --on-stop does not change it. `code` is the command's,
    None while only --on-start has run. `killed`: KILL was sent before its main process was
    reaped. `to_restart`: it exited on its own or was unhealthy, and what to do about it is not
    decided yet. `lasted`: it ran well for RESTART_BACKOFF_RESET or longer."""

    code: int | None = None
    killed: bool = False
    to_restart: bool = False
    lasted: bool = False
    unhealthy: bool = False


class Cooled(Record):
    """How a warm command ended on its own on standby; `code` is None if no process could be
    created, or once the next one was started. `again_at`: when that is due; `in_a_row`: how often
    that has happened."""

    code: int | None = None
    again_at: float | None = None
    in_a_row: int = 0


class State(Record):
    """Everything `decide` knows. `run` is None while nothing runs; then `start_at` is when the next
    start of the term is due. `reason` and `cause` say why the role last changed."""

    belief: Belief = Belief()
    run: Run | None = None
    term: int = 0
    # No term has begun, or leadership was lost since.
    term_over: bool = True
    # With --wait, while this replica has never led: when it gives up.
    give_up_at: float | None = None
    # Of the term in which something was last started, for what cleans up after it: fence, slot, and
    # the last exit code of its command.
    fence: int | None = None
    slot: int | None = None
    code: int | None = None
    start_at: float | None = None
    # --on-start has run for the upcoming start.
    prepared: bool = False
    owes_on_stop: bool = False
    last: Last | None = None
    cooled: Cooled | None = None
    # Consecutive starts that failed, or whose command exited.
    attempt: int = 0
    restarts: int = 0
    hook_failure: str | None = None
    # About the command that was started last: when it first proved healthy, and if it is being
    # stopped for being unhealthy, when it first failed a probe.
    healthy_since: float | None = None
    unhealthy_since: float | None = None
    # How often in a row leadership was released because the command was unfit here.
    abdications: int = 0
    # The first order to stop: a signal number, and when its grace period is over.
    order: int | None = None
    end_by: float | None = None
    # If we are to step down: how many seconds to hold off.
    step_down: float | None = None
    hung_up: bool = False
    # A process that we could not kill is known to live.
    survivors: bool = False
    # With --once: the election keeps that the command has succeeded. While it is to keep a success
    # of ours: until when that is tried, and why it is in vain.
    done: bool = False
    keep_by: float | None = None
    not_kept: str | None = None
    exit_code: int | None = None
    role: Role = Role.STANDBY
    cause: Cause = Cause.STARTED
    reason: str = "started"


Decision = tuple[State, tuple[Action, ...]]


def decide(policy: Policy, state: State, event: events.Event, now: float) -> Decision:
    """Return the state after `event`, and what to do and to report, in order."""
    if state.exit_code is not None:
        return state, ()
    after, actions = _hear(policy, state, event, now)
    after, more = _run(policy, after, event, now)
    actions += more
    if is_idle(after.run) and isinstance(event, events.Tick):
        after, more = _plan(policy, after, now)
        actions += more
    after = replace(after, role=_role(after))
    if (after.role, after.term) != (state.role, state.term):
        actions += (_changed(state, after),)
    return after, actions


def leads(policy: Policy, belief: Belief) -> bool:
    """Return whether the command may run on this replica."""
    return belief.confirmed and belief.leader == policy.identity


def next_deadline(policy: Policy, state: State) -> float | None:
    """Return when `decide` needs its next Tick; None if only an event can change anything."""
    deadlines = [
        deadline
        for deadline in (*_due(state), contact_deadline(state.belief, policy.contact))
        if deadline is not None
    ]
    return min(deadlines, default=None)


def _due(state: State) -> tuple[float | None, ...]:
    """Return when something has to be done about what runs, or planned."""
    if not is_idle(state.run):
        return (None if state.run is None else state.run.deadline,)
    return (
        state.start_at,
        _kept_by(state),
        state.give_up_at,
        None if state.cooled is None or state.survivors else state.cooled.again_at,
        None if state.run is None else state.run.ready_by,
    )


_AT_WORK = {
    Job.ON_START: Role.PREPARING,
    Job.WARM: Role.PREPARING,
    Job.COMMAND: Role.RUNNING,
    Job.ON_STOP: Role.CLEANING,
}


def _role(state: State) -> Role:
    if state.exit_code is not None:
        return Role.ENDED
    if state.run is None or waiting(state.run) is not None:
        # The planned role, or the previous one until the next Tick plans.
        return state.role
    if state.run.stage is not Stage.RUNNING:
        return Role.STOPPING if state.run.stage is Stage.STOPPING else Role.KILLING
    return _AT_WORK[state.run.job]


def _changed(before: State, after: State) -> Changed:
    due = _due(after)[0]
    return Changed(
        before.role, after.role, after.cause, after.reason, after.term, due, after.exit_code
    )


# Hear.


def _hear(policy: Policy, state: State, event: events.Event, now: float) -> Decision:
    if isinstance(event, events.Signalled):
        return _hear_signal(policy, state, event, now)
    if isinstance(event, events.StepDown):
        return _step_down(policy, state, event, now)
    if isinstance(event, events.Health):
        return _hear_health(policy, state, event, now)
    if isinstance(event, events.Done | events.NotKept):
        return _hear_of_success(state, event), ()
    before = state.belief
    belief = hear(before, event, policy.contact)
    if isinstance(event, events.Tick):
        belief = expire(belief, policy.contact, now)
    if belief is before:
        return state, ()
    actions: tuple[Action, ...] = ()
    if belief.lost_subscriber():
        belief = belief.with_new_stream()
        actions += (Resubscribe(),)
    actions += _notes(policy, before, belief)
    if state.fence is None and not state.term_over and leads(policy, belief):
        # It came after the start: at least what cleans up after the term is told.
        state = replace(state, fence=belief.fence)
    state = replace(state, belief=belief)
    if leads(policy, before) and (not leads(policy, belief) or _is_new_term(before, belief)):
        state, more = _lose(policy, state, now)
        actions += more
    return state, actions


def _is_new_term(before: Belief, now: Belief) -> bool:
    """Another fence under the same name: leadership was, or may have been, elsewhere. Another slot
    is another part of the work."""
    fenced = None not in (before.fence, now.fence) and before.fence != now.fence
    return fenced or before.slot != now.slot


def _lose(policy: Policy, state: State, now: float) -> Decision:
    """The term is over. What runs is stopped within ``--grace-lost``, because another replica may
    be about to start; except an --on-stop, for which time was reserved within that."""
    cause, reason = _why_lost(policy, state.belief, now)
    state = replace(state, term_over=True, start_at=None)
    if state.run is None or waiting(state.run) is not None:
        return _because(_waits_on(state), cause, reason), ()
    if state.run.stage is Stage.RUNNING and state.run.job is not Job.ON_STOP:
        state = _because(state, cause, reason)
    return _stop(policy, state, policy.stop_signal, policy.grace_lost, now)


def _waits_on(state: State) -> State:
    """A warm command that was not told that it leads goes on waiting."""
    warm = waiting(state.run)
    return state if warm is None else replace(state, run=replace(warm, ready_by=None))


def _hear_signal(policy: Policy, state: State, event: events.Signalled, now: float) -> Decision:
    number = event.number
    rewritten = dict(policy.rewrite).get(number)
    if rewritten == 0:
        return state, ()
    sent = number if rewritten is None else rewritten
    # A rewritten TERM is still an order to stop: otherwise a standby could not be stopped.
    if number in ORDERS_TO_END | policy.end_on or sent in ORDERS_TO_END:
        as_it_is = rewritten is not None or policy.stop_same or number in policy.end_on
        if state.order is None:
            return _obey(policy, state, event, sent if as_it_is else policy.stop_signal, now)
        # Nothing runs, or only --on-stop, which no order stops: a further one changes nothing. A
        # command that is being stopped gets it like any signal, and no more time.
        if state.run is None or state.run.stage is Stage.RUNNING:
            return state, ()
    if event.hung_up:
        state = replace(state, hung_up=True)
    if is_command(state.run):
        return _push(policy, state, Push(Trigger.SIGNAL, now, signal=sent))
    if number in JOB_CONTROL and (state.run is None or state.run.stage is Stage.RUNNING):
        return state, (Suspend(number),)
    return state, () if event.hung_up else (_ignored(number),)


def _obey(policy: Policy, state: State, event: events.Signalled, sent: int, now: float) -> Decision:
    """Exit, once nothing runs any more; what runs is stopped within ``--grace``."""
    sender = f" from pid {event.sender}" if event.sender else ""
    if state.run is None or state.run.stage is Stage.RUNNING:
        reason = f"received {signal_name(event.number)}{sender}"
        state = _because(state, Cause.ORDERED, reason)
    state = replace(state, order=event.number, end_by=now + policy.grace)
    return _stop(policy, state, sent, policy.grace, now)


def _step_down(policy: Policy, state: State, event: events.StepDown, now: float) -> Decision:
    """Release leadership, once nothing runs any more. What runs is stopped within ``--grace``:
    until then no other replica may start."""
    in_vain = (
        "not the leader"
        if not leads(policy, state.belief)
        else "this process is exiting, which releases leadership as well"
        if _end_wanted(state)
        else "it is already stepping down"
        if state.step_down is not None
        else None
    )
    if in_vain is not None:
        return state, (Note("info", "step-down ignored", (("reason", in_vain),)),)
    if state.run is None or state.run.stage is Stage.RUNNING:
        reason = f"asked to step down by {event.asked_by}"
        state = _because(state, Cause.STEPPED_DOWN, reason)
    state = replace(state, step_down=event.hold_off, term_over=True, start_at=None)
    if waiting(state.run) is not None:
        return _waits_on(state), ()
    return _stop(policy, state, policy.stop_signal, policy.grace, now)


def _hear_health(policy: Policy, state: State, event: events.Health, now: float) -> Decision:
    """Stop an unhealthy command within ``--grace-lost``: it does no work, and may hang. A verdict
    about an earlier run, or about one that is being stopped anyway, changes nothing."""
    judged = run.at_work(state.run)
    if judged is None or judged.started_at != event.started_at:
        return state, ()
    if event.healthy:
        ran = round(now - judged.started_at, 3)
        told = Note("info", "command healthy", (("after_seconds", ran),))
        return replace(state, healthy_since=event.at), (told,)
    state = _because(state, Cause.UNHEALTHY, f"command unhealthy: {event.reason}")
    state = replace(state, unhealthy_since=event.at)
    return _stop(policy, state, policy.stop_signal, policy.grace_lost, now)


def _hear_of_success(state: State, event: events.Done | events.NotKept) -> State:
    """With --once: nothing is stopped by this, and nothing more is started."""
    if isinstance(event, events.Done):
        return replace(state, done=True)
    return replace(state, not_kept=event.reason)


def _stop(policy: Policy, state: State, number: int, grace: float, now: float) -> Decision:
    """Stop what runs, except --on-stop: it is the last part of a stop, with its own timeout."""
    if state.run is None or state.run.job is Job.ON_STOP:
        return state, ()
    by = now + _time_to_stop(policy, grace)
    return _push(policy, state, Push(Trigger.STOP, now, signal=number, by=by))


def _time_to_stop(policy: Policy, grace: float) -> float:
    """Return how much of a grace period the stop itself may take: there is one deadline for all of
    it, and the timeout of ``--on-stop`` is reserved at the end."""
    return max(0.0, grace - (policy.on_stop_timeout or 0.0))


def _why_lost(policy: Policy, belief: Belief, now: float) -> tuple[Cause, str]:
    if not belief.confirmed and belief.leader == policy.identity:
        if belief.failure is not None:
            return Cause.UNCONFIRMED, f"leadership unconfirmed: {belief.failure}"
        silent = now - (belief.contact_at or now)
        return (
            Cause.UNCONFIRMED,
            f"leadership unconfirmed: no contact with the election for {silent:.1f}s",
        )
    if belief.leader is None:
        return Cause.MOVED, "leadership lost: no replica leads"
    if belief.leader == policy.identity:
        return Cause.NEW_FENCE, "leadership was acquired again: this is a new term"
    return Cause.MOVED, f"leadership moved from {policy.identity} to {belief.leader}"


def _notes(policy: Policy, before: Belief, now: Belief) -> tuple[Action, ...]:
    notes = []
    if now.leader != before.leader:
        notes.append(Note("info", "leader changed", (("from_", before.leader), ("to", now.leader))))
    if now.confirmed and not before.confirmed and now.leader is not None:
        notes.append(Note("info", "leadership confirmed", (("leader", now.leader),)))
    if now.confirmation is not before.confirmation:
        notes += _lease_notes(before, now)
    if before.confirmed and not now.confirmed and now.leader == before.leader:
        why = now.failure or "no contact with the election for too long"
        fields = (
            ("leader", now.leader),
            ("reason", why),
            ("timeout_seconds", policy.contact.timeout),
            (
                "remedy",
                "check the elector, or the API server; the command is started again on contact",
            ),
        )
        notes.append(Note("warning", "leadership unconfirmed", fields))
    return tuple(notes)


def _lease_notes(before: Belief, now: Belief) -> list[Note]:
    """Say of each Lease, once, that it names the leader, and when an answer is that it does not."""
    was, said = before.confirmation, now.confirmation
    if said is None:
        return []
    known = None if was is None or was.lease is None else was.lease.uid
    if said.lease is not None and said.lease.uid != known:
        return [
            Note("info", "lease confirmed", (("leader", now.leader), ("fence", said.lease.fence)))
        ]
    if said.agrees is False and (was is None or was.agrees is not False):
        return [Note("info", "lease does not confirm", (("leader", now.leader),))]
    return []


def _ignored(number: int) -> Note:
    name = signal_name(number)
    fields: tuple[tuple[str, object], ...] = (
        ("signal", name),
        ("reason", "no command is running"),
    )
    if number == signal.SIGQUIT:
        remedy = "to make it stop leaderexec, as TERM does: --end-on QUIT"
        return Note("warning", "signal ignored", (*fields, ("remedy", remedy)))
    quiet = number in (signal.SIGCONT, signal.SIGWINCH)
    return Note("debug" if quiet else "info", "signal ignored", fields)


# Run.


def _run(policy: Policy, state: State, event: events.Event, now: float) -> Decision:
    if state.run is None:
        if isinstance(event, events.TreeGone):
            state = replace(state, survivors=False)
        return state, ()
    match event:
        case events.Exited():
            return _exited(policy, state, event, now)
        case events.TreeGone():
            return _push(policy, state, Push(Trigger.TREE_GONE, now))
        case events.Ready(ready):
            return _says_ready(state, state.run, ready=ready, now=now)
        case events.StartFailed(reason):
            return _start_failed(state, state.run, reason, now)
        case events.Suspended(number):
            # SIGSTOP is meant for the command alone.
            stops = number in JOB_CONTROL and state.run.stage is Stage.RUNNING
            return state, (Suspend(number),) if stops and is_command(state.run) else ()
        case events.Tick():
            due = run.is_due(state.run, now)
            return (state, ()) if due is None else _push(policy, state, Push(due, now))
        case _:
            return state, ()


def _says_ready(state: State, says: Run, *, ready: bool, now: float) -> Decision:
    """Keep what the command says of itself: only a warm one has to be ready for anything."""
    if not is_command(says) or says.ready is ready:
        return state, ()
    ran = ("after_seconds", round(now - says.started_at, 3))
    note = Note("info", "command ready" if ready else "command stopping by itself", (ran,))
    return replace(state, run=replace(says, ready=ready)), (note,)


def _exited(policy: Policy, state: State, event: events.Exited, now: float) -> Decision:
    if event.job is Job.ON_START and is_command(state.run):
        return _prepared(policy, state, event, now)
    by = float("inf") if event.job in HOOKS else now + _time_to_stop(policy, policy.grace)
    state, actions = _push(
        policy,
        state,
        Push(
            Trigger.EXITED,
            now,
            signal=policy.stop_signal,
            by=by,
            code=event.code,
            failure=event.failure,
            alone=event.alone,
        ),
    )
    if event.alone:
        state, more = _push(policy, state, Push(Trigger.TREE_GONE, now))
        actions += more
    return state, actions


def _prepared(policy: Policy, state: State, event: events.Exited, now: float) -> Decision:
    """An --on-start beside a warm command has exited. If that is being stopped, so was the hook."""
    warm = state.run
    assert warm is not None  # noqa: S101 - a hook beside nothing is a run of its own
    in_time = warm.stage is Stage.RUNNING
    failure = warm.failure or event.failure
    if in_time and event.code:
        failure = failure or f"ended with {event.code}"
    warm = replace(warm, preparing=False, deadline=None if in_time else warm.deadline)
    state = replace(state, run=warm, last=state.last or Last())
    if in_time:
        state = _because(state, Cause.HOOK_ENDED, f"--on-start ended with {event.code}")
        state = _prepared_or_not(policy, state, failure)
    ended: tuple[Action, ...] = (Ended(Job.ON_START, event.code, failure),)
    if event.alone:
        state, more = _push(policy, state, Push(Trigger.TREE_GONE, now))
        ended += more
    return state, ended


def _prepared_or_not(policy: Policy, state: State, failure: str | None) -> State:
    if failure is not None and state.hook_failure is None:
        # The first failure counts.
        state = replace(state, hook_failure=f"--{Job.ON_START.value} {failure}")
    prepared = not (policy.hook_failure_aborts and state.hook_failure)
    return replace(state, prepared=prepared)


def _push(policy: Policy, state: State, what: Push) -> Decision:
    """Push what runs; once it is gone, record how it ended."""
    before = state.run
    if before is None:
        return state, ()
    after, actions = run.push(before, what)
    state = replace(state, run=after)
    if what.trigger is Trigger.EXITED:
        actions += (_ended(after),)
        if before.stage is Stage.RUNNING:
            hook = after.job in HOOKS
            what_ended = f"--{after.job.value}" if hook else "command"
            cause = Cause.HOOK_ENDED if hook else Cause.COMMAND_ENDED
            state = _because(state, cause, f"{what_ended} ended with {what.code}")
    if what.trigger is Trigger.DUE and before.stage is not Stage.KILLING:
        late = before.stage is Stage.RUNNING
        timed_out = Job.ON_START if before.preparing else after.job
        reason = f"--{timed_out.value} {after.failure}" if late else "grace period expired"
        if late and before.preparing:
            state = _prepared_or_not(policy, state, after.failure)
            state = replace(state, last=state.last or Last())
        state = _because(state, Cause.HOOK_TIMEOUT if late else Cause.GRACE_OVER, reason)
    if after.stage is Stage.GONE:
        state = _gone(policy, state, after, what.now)
        if after.survived:
            actions += (NameSurvivors(),)
    return state, actions


def _ended(ended: Run) -> Ended:
    failure = ended.failure
    if failure is None and ended.job in HOOKS and ended.by_itself and ended.code:
        failure = f"ended with {ended.code}"
    ran = (ended.exited_at or ended.started_at) - ended.started_at
    return Ended(ended.job, ended.code, failure, ran)


def _gone(policy: Policy, state: State, gone: Run, now: float) -> State:
    """Nothing of the run is left, or what is left is given up on."""
    last = state.last or Last()
    failure = _ended(gone).failure
    state = replace(state, run=None, survivors=gone.survived)
    if gone.survived:
        reason = "gave up on processes that survive SIGKILL"
        state = _because(state, Cause.SURVIVORS, reason)
    if is_command(gone):
        code = EXIT_KILLED if gone.code is None else gone.code
        unhealthy = state.unhealthy_since is not None
        to_restart = gone.by_itself or unhealthy
        if gone.job is Job.WARM and (state.term_over or not to_restart):
            lasted = _lasted(state, gone, now)
            return _cooled(state, code, now, lasted=lasted) if gone.by_itself else state
        last = Last(code, gone.killed, to_restart, _lasted(state, gone, now), unhealthy)
        return replace(state, last=last, code=code, prepared=False)
    if gone.job is Job.ON_STOP:
        if failure is not None and state.hook_failure is None:
            state = replace(state, hook_failure=f"--{gone.job.value} {failure}")
        return replace(state, prepared=False, owes_on_stop=False)
    start_at = None if state.term_over else now
    return replace(_prepared_or_not(policy, state, failure), last=last, start_at=start_at)


def _cooled(state: State, code: int | None, now: float, *, lasted: bool = False) -> State:
    """A warm command has ended on standby. It was no term's: only another one follows."""
    count = 0 if state.cooled is None or lasted else state.cooled.in_a_row
    return replace(state, cooled=Cooled(code, now + _backoff(count), count + 1))


def _lasted(state: State, gone: Run, now: float) -> bool:
    """Return whether the command ran well for long; the time that an unhealthy one took to stop, or
    to fail its probes, does not count."""
    if state.unhealthy_since is None:
        return (gone.exited_at or now) - gone.started_at >= RESTART_BACKOFF_RESET
    since = state.healthy_since
    return since is not None and state.unhealthy_since - since >= RESTART_BACKOFF_RESET


def _start_failed(state: State, failed: Run, why: str, now: float) -> Decision:
    """No process could be created. That is temporary, so the start is retried after a backoff;
    --on-stop is skipped."""
    left = replace(failed, preparing=False, deadline=None) if failed.preparing else None
    state = _because(replace(state, run=left), Cause.START_FAILED, f"start failed: {why}")
    if failed.job is Job.ON_STOP:
        failure = state.hook_failure or f"--{failed.job.value} could not be run: {why}"
        state = replace(state, prepared=False, owes_on_stop=False, hook_failure=failure)
        return state, (Ended(failed.job, None, why),)
    if failed.job is Job.WARM and state.term_over and left is None:
        return _cooled(state, None, now), ()
    state = replace(
        state,
        owes_on_stop=state.owes_on_stop and state.prepared,
        start_at=_again_at(state, state.attempt, now),
        attempt=state.attempt + 1,
    )
    of_hook = failed.job is Job.ON_START or left is not None
    return state, (Ended(Job.ON_START, None, why),) if of_hook else ()


# Plan.


def _plan(policy: Policy, state: State, now: float) -> Decision:
    for question in QUESTIONS:
        decision = question(policy, state, now)
        if decision is not None:
            return decision
    return state, ()


def _owes_on_stop(policy: Policy, state: State, now: float) -> Decision | None:
    """Has something run that --on-stop has to follow? Then run it, unless the command comes next
    or a process has survived."""
    command_is_next = state.prepared and not state.term_over and not _end_wanted(state)
    if not state.owes_on_stop or command_is_next or state.survivors:
        return None
    if state.run is not None:
        # A warm command waits, for which --on-start has run: it is stopped first.
        return _stop(policy, state, policy.stop_signal, policy.grace_lost, now)
    return _start(policy, state, Job.ON_STOP, now)


def _is_done(policy: Policy, state: State, now: float) -> Decision | None:
    """With --once: is the command known to have succeeded? Then exit with 0. Has it just succeeded
    here? Then have the election keep that first, and exit with 125 if it can't."""
    if state.done:
        where = "already done" if state.keep_by is None else "done"
        return _exit(policy, _because(state, Cause.DONE, f"{where} for this --once-key"), 0, now)
    if not policy.once or not _has_succeeded(policy, state.last):
        return None
    asked = state.keep_by is not None
    if not asked:
        state = replace(state, role=Role.RECORDING, start_at=None, keep_by=now + KEEP_WITHIN)
    why = state.not_kept or _why_too_late(state, now)
    if why is None:
        return state, () if asked else (KeepSuccess(state.fence),)
    fields = (
        ("reason", f"the command has succeeded, but the election does not keep that: {why}"),
        ("remedy", "nothing, if the command can be repeated: the next replica that leads runs it"),
    )
    state = _because(state, Cause.NOT_KEPT, f"success not kept: {why}")
    exits = _exit(policy, state, EXIT_FAILURE, now)
    return _in_order(Note("error", "success not kept", fields), exits)


def _is_to_end(policy: Policy, state: State, now: float) -> Decision | None:
    """Were we ordered to stop, or was our terminal closed? Then exit with the command's code; if
    it has not run in this term, with 0 if ordered, with 129 if only hung up. With --once 0 means
    done, so that it is 128 and the signal instead."""
    if not _end_wanted(state):
        return None
    default = 0 if state.order is not None else EXIT_HUNG_UP
    code = None if state.last is None else state.last.code
    if state.order is None:
        state = _because(state, Cause.HUNG_UP, "the terminal was closed")
    code = default if code is None else code
    if policy.once and code == 0:
        code = 128 + (state.order or signal.SIGHUP)
    return _exit(policy, state, code, now)


def _ended_by_itself(policy: Policy, state: State, now: float) -> Decision | None:
    """Did the command exit on its own, or was it unhealthy? Then release leadership, exit with its
    code (123 if unhealthy), or plan its restart."""
    last = state.last
    if last is None or not last.to_restart:
        return None
    if not state.term_over and _is_unfit(policy, state, last):
        return _abdicate(policy, state, last, now)
    if not _restarts(policy, state, last):
        return _exit(policy, state, EXIT_UNHEALTHY if last.unhealthy else last.code or 0, now)
    attempt, restarts = (0, 0) if last.lasted else (state.attempt, state.restarts)
    state = replace(
        state,
        last=replace(last, to_restart=False),
        start_at=_again_at(state, attempt, now),
        attempt=attempt + 1,
        restarts=restarts + 1,
    )
    return _plan(policy, state, now)


def _again_at(state: State, attempt: int, now: float) -> float:
    """Return when the command is started again: not before a takeover delay, in which only a warm
    one can have ended, is over."""
    return max(now + _backoff(attempt), state.start_at or 0.0)


def _backoff(attempt: int) -> float:
    return doubling(attempt, base=RESTART_BACKOFF_BASE, cap=RESTART_BACKOFF_CAP)


def _abdicate(policy: Policy, state: State, last: Last, now: float) -> Decision:
    """Release leadership, and hold off for longer each time. If the election can't do that, exit:
    the container runtime may restart the container elsewhere."""
    why = "command unhealthy" if last.unhealthy else "the command keeps exiting"
    if not policy.can_release:
        stuck = (
            ("reason", f"{why}, and leadership can't be released with this kind of election"),
            ("remedy", "leadership did not move; leaderexec exits, so that it is restarted"),
        )
        ends = _exit(policy, state, EXIT_UNHEALTHY, now)
        return _in_order(Note("error", "can't abdicate", stuck), ends)
    count = 0 if last.lasted else state.abdications
    hold_off = holding_off(count, policy.hold_off)
    fields = (
        ("reason", why),
        ("hold_off_seconds", hold_off),
        ("remedy", "another replica may lead now; if none does, this one tries again afterwards"),
    )
    state = replace(
        state,
        last=replace(last, to_restart=False),
        step_down=hold_off,
        abdications=count + 1,
        term_over=True,
        start_at=None,
    )
    return _in_order(Note("warning", "abdicating", fields), _plan(policy, state, now))


def _in_order(first: Action, decision: Decision) -> Decision:
    state, actions = decision
    return state, (first, *actions)


def _lost_for_good(policy: Policy, state: State, now: float) -> Decision | None:
    """Was leadership lost after something had run, with --on-lost exit? Then exit with 124, or 137
    if it had to be killed."""
    if not (policy.exit_when_lost and state.term_over and state.last is not None):
        return None
    return _exit(policy, state, EXIT_KILLED if state.last.killed else EXIT_LOST, now)


def _hook_failed(policy: Policy, state: State, now: float) -> Decision | None:
    """Did a hook fail, with --hook-failure abort? Then exit with 125."""
    if not policy.hook_failure_aborts or state.hook_failure is None:
        return None
    state = _because(state, Cause.HOOK_ENDED, state.hook_failure)
    return _exit(policy, state, EXIT_FAILURE, now)


def _lets_go(policy: Policy, state: State, now: float) -> Decision | None:
    """Are we to step down? Then release leadership, unless a process has survived."""
    if state.step_down is None or state.survivors:
        return None
    done = Release(state.step_down)
    state = replace(state, step_down=None, belief=let_go(state.belief, policy.identity))
    return _in_order(done, _plan(policy, state, now))


def _warms_up(policy: Policy, state: State, now: float) -> Decision | None:
    """With --warm, does no command wait to be told that this replica leads? Then start one, after a
    backoff if the last one has exited on its own; if it can't be run, exit with its code."""
    if policy.warm is None or state.run is not None or state.survivors:
        return None
    cooled = state.cooled or Cooled()
    if cooled.code is not None and cooled.code in EXIT_CANNOT_RUN:
        return _exit(policy, state, cooled.code, now)
    in_backoff = state.attempt and not state.term_over
    again_at = state.start_at if in_backoff else cooled.again_at
    gives_up = state.give_up_at is not None and now >= state.give_up_at
    if gives_up or (again_at is not None and now < again_at):
        return None
    start = Start(Job.WARM, state.term, state.belief.leader or "", state.belief.since)
    state = replace(
        state,
        run=Run(Job.WARM, now),
        cooled=replace(cooled, code=None, again_at=None),
        healthy_since=None,
        unhealthy_since=None,
    )
    return _in_order(start, _plan(policy, state, now))


def _stands_by(policy: Policy, state: State, now: float) -> Decision | None:
    """Does another replica lead, or is no leader known? Then stand by; but if this one has never
    led, no longer than for --wait."""
    if leads(policy, state.belief):
        return None
    if policy.wait is not None and state.term == 0:
        give_up_at = now + policy.wait if state.give_up_at is None else state.give_up_at
        if now >= give_up_at:
            state = _because(state, Cause.WAITED, "did not become leader within --wait")
            return _exit(policy, state, policy.wait_exit_code, now)
        state = replace(state, give_up_at=give_up_at)
    if state.last is not None and state.role is not Role.BACKOFF:
        state = _because(state, Cause.STOPPED, "command stopped")
    return _without_term(replace(state, role=Role.STANDBY, start_at=None)), ()


def _is_blocked(_policy: Policy, state: State, now: float) -> Decision | None:
    """Is a process of an earlier run known to live? Then wait until it exits."""
    if not state.survivors:
        return None
    if state.term_over:
        state = replace(_without_term(state), give_up_at=None)
    # A backoff continues in the meantime.
    waits = state.start_at is not None and now < state.start_at
    return replace(state, role=Role.BLOCKED, start_at=state.start_at if waits else None), ()


def _begins_term(policy: Policy, state: State, now: float) -> Decision | None:
    """Was leadership newly won? Then a term begins, with the takeover delay."""
    if not state.term_over:
        return None
    state = replace(
        _without_term(state),
        term=state.term + 1,
        term_over=False,
        cooled=None,
        give_up_at=None,
        start_at=now + policy.takeover_delay,
    )
    return _plan(policy, _because(state, Cause.WON, "won leadership"), now)


def _is_free_sooner(policy: Policy, state: State, now: float) -> Decision | None:
    """Is it shown that no former leader's command runs, or when the last one ends? Then wait no
    longer than that."""
    rule, said = policy.contact.lease, state.belief.confirmation
    if rule is None or not rule.hastens or said is None:
        return None
    if state.attempt or state.start_at is None or now >= state.start_at:
        return None
    free_at = said.free_at(policy.takeover_delay)
    if free_at is None or free_at >= state.start_at:
        return None
    start_at = max(now, free_at)
    saved = round(state.start_at - start_at, 3)
    planned = _plan(policy, replace(state, start_at=start_at), now)
    if saved < _WORTH_SAYING and not said.former_ended:
        # The delay counts from when the Lease was asked for, not from when the answer was taken in.
        return planned
    ended = "the former leader's Pod has ended" if said.former_ended else "the Lease is as it was"
    told = Note("info", "takeover delay shortened", (("reason", ended), ("by_seconds", saved)))
    return _in_order(told, planned)


def _waits(_policy: Policy, state: State, now: float) -> Decision | None:
    """Is the takeover delay, or the backoff, not over? Then wait."""
    if state.start_at is None or now >= state.start_at:
        return None
    return replace(state, role=Role.BACKOFF if state.attempt else Role.TAKEOVER), ()


def _prepares(policy: Policy, state: State, now: float) -> Decision | None:
    """Is there an --on-start that has not just run? Then run it."""
    warm = waiting(state.run)
    if policy.on_start_timeout is None or state.prepared or (warm is not None and not warm.ready):
        return None
    state, starts = _start(policy, state, Job.ON_START, now)
    if warm is not None:
        until = now + policy.on_start_timeout
        state = replace(state, run=replace(warm, preparing=True, deadline=until, ready_by=None))
    return state, starts


def _starts(policy: Policy, state: State, now: float) -> Decision | None:
    """Otherwise: tell the warm command that it leads, once it is ready; without --warm, start the
    command."""
    warm = waiting(state.run)
    if warm is None:
        return _start(policy, state, Job.COMMAND, now)
    if not warm.ready:
        return _awaits_ready(policy, state, warm, now)
    state, (start,) = _start(policy, state, Job.COMMAND, now)
    led = replace(warm, job=Job.COMMAND, started_at=now, ready_by=None)
    return replace(state, run=led), (Lead(start),)


def _awaits_ready(policy: Policy, state: State, warm: Run, now: float) -> Decision:
    """Wait until the warm command is ready; for too long means that it is unhealthy: nothing would
    be done for as long as this replica leads."""
    state = replace(state, role=Role.WARMING, start_at=None)
    if warm.ready_by is None:
        ready_by = now + (policy.warm or 0.0)
        return replace(state, run=replace(warm, ready_by=ready_by)), ()
    if now < warm.ready_by:
        return state, ()
    reason = "command unhealthy: it leads, and did not send READY=1 within --health-start-period"
    state = replace(_because(state, Cause.UNHEALTHY, reason), unhealthy_since=now)
    return _stop(policy, state, policy.stop_signal, policy.grace_lost, now)


Question = Callable[[Policy, State, float], Decision | None]

QUESTIONS: tuple[Question, ...] = (
    _owes_on_stop,
    _is_done,
    _is_to_end,
    _ended_by_itself,
    _lost_for_good,
    _hook_failed,
    _lets_go,
    _warms_up,
    _stands_by,
    _is_blocked,
    _begins_term,
    _is_free_sooner,
    _waits,
    _prepares,
    _starts,
)


def _kept_by(state: State) -> float | None:
    """Return until when it is tried to keep a success: an order to stop shortens that."""
    if state.keep_by is None or state.end_by is None:
        return state.keep_by
    return min(state.keep_by, state.end_by)


def _why_too_late(state: State, now: float) -> str | None:
    until = _kept_by(state)
    if until is None or now < until:
        return None
    return (
        "the grace period is over"
        if until == state.end_by
        else f"it was tried for {KEEP_WITHIN:g}s"
    )


def _end_wanted(state: State) -> bool:
    return state.order is not None or state.hung_up


def _has_succeeded(policy: Policy, last: Last | None) -> bool:
    """Return whether the command exited on its own, with a code that counts as success."""
    if last is None or not last.to_restart or last.unhealthy:
        return False
    return last.code in policy.success_codes


def _is_unfit(policy: Policy, state: State, last: Last) -> bool:
    """Return whether the command should rather run on another replica."""
    if last.unhealthy and policy.unhealthy is Unhealthy.ABDICATE:
        return True
    in_a_row = 1 + (0 if last.lasted else state.restarts)
    often = policy.abdicate_after is not None and in_a_row >= policy.abdicate_after
    return often and _is_to_restart(policy, last)


def _is_to_restart(policy: Policy, last: Last) -> bool:
    """Return whether the command should be restarted, regardless of how often it has been."""
    if last.unhealthy:
        return policy.unhealthy is not Unhealthy.EXIT
    succeeded = last.code in policy.success_codes
    return policy.restart is Restart.ALWAYS or (
        policy.restart is Restart.ON_FAILURE and not succeeded
    )


def _restarts(policy: Policy, state: State, last: Last) -> bool:
    if not _is_to_restart(policy, last):
        return False
    return policy.restart_limit is None or last.lasted or state.restarts < policy.restart_limit


def _start(policy: Policy, state: State, job: Job, now: float) -> tuple[State, tuple[Start]]:
    timeouts = {Job.ON_START: policy.on_start_timeout, Job.ON_STOP: policy.on_stop_timeout}
    timeout = timeouts.get(job)
    belief = state.belief
    cleans_up = job is Job.ON_STOP
    last_code = None if state.last is None else state.last.code
    state = replace(
        state,
        run=Run(job, now, deadline=None if timeout is None else now + timeout),
        # A backoff that was planned while processes survived outlasts the --on-stop after them.
        start_at=state.start_at if cleans_up else None,
        owes_on_stop=policy.on_stop_timeout is not None,
        fence=state.fence if cleans_up else belief.fence,
        slot=state.slot if cleans_up else belief.slot,
        code=state.code if cleans_up else last_code,
    )
    if job is Job.COMMAND:
        state = replace(state, healthy_since=None, unhealthy_since=None)
    if not cleans_up:
        again = state.attempt > 0
        reason = state.reason if again else "won leadership"
        state = _because(state, Cause.RESTART if again else Cause.WON, reason)
    if not (cleans_up and policy.hook_failure_aborts):
        state = replace(state, hook_failure=None)
    code = None if job is Job.COMMAND else state.code
    leader = belief.leader or ""
    start = Start(job, state.term, leader, belief.since, state.fence, code, state.slot)
    return state, (start,)


def _without_term(state: State) -> State:
    """Forget what belongs to a past term."""
    return replace(state, last=None, attempt=0, restarts=0, prepared=False, hook_failure=None)


def _because(state: State, cause: Cause, reason: str) -> State:
    return replace(state, cause=cause, reason=reason)


def _exit(policy: Policy, state: State, code: int, now: float) -> Decision:
    if state.run is not None:
        # A warm command that waits is stopped first; then this is planned again.
        return _stop(policy, state, policy.stop_signal, policy.grace, now)
    ended = replace(state, exit_code=code, start_at=None)
    return ended, (Exit(code, release=not state.survivors),)
