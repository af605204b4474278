"""All histories of a small world to a depth; `make search` goes deeper, and .ci/run to 8."""

from collections.abc import Callable

import pytest
from core import search
from core.oracle import Account, BrokenError
from core.search import CASES, Case

from leaderexec.core import actions, confirmation, events, lifecycle, run
from leaderexec.core.belief import Belief
from leaderexec.core.lifecycle import Decision, Last, Policy, State
from leaderexec.core.record import replace

DEPTH = 7
HOOKS = "hooks"
DEFAULTS = "the defaults, and step-downs"
WAITS = "--wait 30s --takeover-delay 2s --restart always"
ONCE = "--once --restart on-failure --takeover-delay 2s"
ONCE_HOOK = "--once --restart always --abdicate-after 1 --on-lost exit, a hook, and step-downs"
ABORTS = "hooks that abort, --on-lost exit --restart always --restart-limit 1"


# Pure computation: some seconds, or as long as a busy machine needs for it.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_history_keeps_every_promise(case: Case) -> None:
    """No start after a stop was decided, never two commands, no dead end, exact exit codes."""
    depth = search.depth_for(case, DEPTH)
    found = search.search(case, depth)
    assert len(found.new) == depth - 1


@pytest.mark.apart
@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_moments_that_count_as_one_have_the_same_future(case: Case) -> None:
    """The search skips only what it has already seen: letter by letter, the same comes next."""
    first = search.Moment(State(), Account(), 1000.0)
    known = {search.same_future(first): first}
    compared = set()
    edge = [first]
    for _ in range(search.depth_for(case, 4)):
        following = []
        for moment in edge:
            for after in search.what_follows(case, moment).values():
                if after.account.exit_code is not None:
                    continue
                if (key := search.same_future(after)) not in known:
                    known[key] = after
                    following.append(after)
                elif key not in compared:
                    compared.add(key)
                    assert _keys(case, after) == _keys(case, known[key])
        edge = following
    assert len(compared) > 50


def _keys(case: Case, moment: search.Moment) -> dict[search.Letter, object]:
    return {
        letter: (search.same_future(after), after.account.exit_code)
        for letter, after in search.what_follows(case, moment).items()
    }


# Faults, each of which the search has to detect.

Fault = Callable[[pytest.MonkeyPatch], None]


def without(question: str) -> Fault:
    """Return the fault of a plan without one of its questions."""

    def forget(patch: pytest.MonkeyPatch) -> None:
        left = tuple(one for one in lifecycle.QUESTIONS if one.__name__ != question)
        assert len(left) == len(lifecycle.QUESTIONS) - 1
        patch.setattr(lifecycle, "QUESTIONS", left)

    return forget


def changed(name: str, other: object) -> Fault:
    """Return the fault of a lifecycle with another function under this name."""
    return lambda patch: patch.setattr(lifecycle, name, other)


def forgets_the_code(patch: pytest.MonkeyPatch) -> None:
    """Exit with 0 for every command that was stopped."""
    original = lifecycle._exit
    patch.setattr(
        lifecycle, "_exit", lambda policy, state, _code, now: original(policy, state, 0, now)
    )


def forgets_the_kill(patch: pytest.MonkeyPatch) -> None:
    """Take a stop that needed KILL for a clean one."""
    patch.setattr(lifecycle, "EXIT_KILLED", lifecycle.EXIT_LOST)


def plans_at_once(patch: pytest.MonkeyPatch) -> None:
    """Plan without waiting for the inbox to be empty."""
    original = lifecycle.decide

    def decide(policy: Policy, state: State, event: events.Event, now: float) -> Decision:
        state, first = original(policy, state, event, now)
        state, more = original(policy, state, events.Tick(), now)
        return state, first + more

    patch.setattr(lifecycle, "decide", decide)


def forgets_what_runs(patch: pytest.MonkeyPatch) -> None:
    """Plan as if nothing ran."""
    original = lifecycle.decide

    def decide(policy: Policy, state: State, event: events.Event, now: float) -> Decision:
        if isinstance(event, events.Tick) and state.run is not None:
            state = replace(state, run=None)
        return original(policy, state, event, now)

    patch.setattr(lifecycle, "decide", decide)


def sleeps_over(field: str) -> Fault:
    """Return the fault of requesting no Tick at a time that the state has."""
    original = lifecycle.next_deadline

    def next_deadline(policy: Policy, state: State) -> float | None:
        return original(policy, replace(state, **{field: None}))

    return changed("next_deadline", next_deadline)


def asks_for_the_hook_first(patch: pytest.MonkeyPatch) -> None:
    """Let a failed hook override the command's exit code."""
    order = [one for one in lifecycle.QUESTIONS if one is not lifecycle._hook_failed]
    order.insert(1, lifecycle._hook_failed)
    patch.setattr(lifecycle, "QUESTIONS", tuple(order))


def never_gives_up(patch: pytest.MonkeyPatch) -> None:
    """Wait forever for survivors of KILL."""
    patch.setattr(run, "KILL_PATIENCE", float("inf"))


def believes_the_elector_alone(patch: pytest.MonkeyPatch) -> None:
    """Take the API server's answers for mere advice."""
    patch.setattr(confirmation, "_judged", confirmation._advised)


def believes_an_old_lease(patch: pytest.MonkeyPatch) -> None:
    """Take a Lease that was just seen for one that has been known for long."""
    original = confirmation._seen

    def seen(belief: Belief, found: events.LeaseSeen) -> confirmation.Confirmation | None:
        said = original(belief, found)
        if said is None or said.lease is None:
            return said
        return replace(said, lease=replace(said.lease, at=0.0))

    patch.setattr(confirmation, "_seen", seen)


def waits_for_nothing(patch: pytest.MonkeyPatch) -> None:
    """Write the line to a command that is not ready."""
    original = lifecycle._starts

    def starts(policy: Policy, state: State, now: float) -> Decision | None:
        if state.run is not None:
            state = replace(state, run=replace(state.run, ready=True))
        return original(policy, state, now)

    questions = tuple(starts if one is original else one for one in lifecycle.QUESTIONS)
    patch.setattr(lifecycle, "QUESTIONS", questions)


def waits_for_ever(
    _policy: Policy, state: State, _warm: run.Run, _now: float
) -> tuple[State, tuple[actions.Action, ...]]:
    """Lead without a working command."""
    return replace(state, start_at=None), ()


def exits_beside(
    _policy: Policy, state: State, code: int, _now: float
) -> tuple[State, tuple[actions.Action, ...]]:
    """Exit while a warm command waits."""
    return replace(state, exit_code=code), (actions.Exit(code),)


def no_stop(
    _policy: Policy, state: State, _number: int, _grace: float, _now: float
) -> tuple[State, tuple[actions.Action, ...]]:
    """Let the command keep running."""
    return state, ()


def ran_to_0(policy: Policy, last: Last | None) -> bool:
    """Take a command that was stopped, and exited with 0, for one that has succeeded."""
    return last is not None and last.code in policy.success_codes


def keeps_for_this_term(patch: pytest.MonkeyPatch) -> None:
    """Take a success of an earlier term for one of the term that is current when it is kept."""
    original = lifecycle._is_done

    def is_done(policy: Policy, state: State, now: float) -> Decision | None:
        return original(policy, replace(state, fence=state.belief.fence), now)

    questions = tuple(is_done if one is original else one for one in lifecycle.QUESTIONS)
    patch.setattr(lifecycle, "QUESTIONS", questions)


DECIDES = "--confirm-lease NAME"
ADVISES = "--confirm-lease auto --takeover-delay auto --restart always"
RESTARTS = "--restart on-failure --restart-limit 1"
WARM = "--warm --takeover-delay 2s, and step-downs"
WARM_ALWAYS = "--warm --restart always --on-lost exit --unhealthy exit, a hook"
WARM_WAITS = "--warm --takeover-delay 2s --unhealthy abdicate --restart on-failure --wait 30s"
LOST = "--on-lost exit --takeover-delay 2s"


@pytest.mark.apart
@pytest.mark.parametrize(
    ("fault", "name", "words"),
    [
        (without("_lets_go"), DEFAULTS, "leadership is not released"),
        (
            changed("let_go", lambda belief, _identity: belief),
            DEFAULTS,
            "command is started, but this was to come: stand by",
        ),
        (without("_is_blocked"), DEFAULTS, "command is started, but this was to come: stand by"),
        (without("_stands_by"), DEFAULTS, "command is started, but this was to come: stand by"),
        (without("_is_to_end"), DEFAULTS, "nothing is planned, but this was to come: Exit"),
        (without("_ended_by_itself"), DEFAULTS, "command is started, but"),
        (without("_lost_for_good"), LOST, r"this was to come: Exit\(code=137"),
        (without("_waits"), LOST, "command is started too early"),
        (without("_waits"), RESTARTS, "command is started too early"),
        (without("_is_done"), ONCE, r"nothing is planned, but this was to come: Exit\(code=0"),
        (sleeps_over("keep_by"), ONCE, "a record without an end"),
        (changed("_has_succeeded", lambda *_: False), ONCE, "have the election keep the success"),
        (changed("_has_succeeded", ran_to_0), ONCE, "what is no success is kept"),
        (keeps_for_this_term, ONCE_HOOK, "a success is kept for another term"),
        (
            changed("_kept_by", lambda state: state.keep_by),
            ONCE,
            r"this was to come: Exit\(code=125",
        ),
        (without("_is_free_sooner"), ADVISES, "nothing is planned, but .* Job.COMMAND"),
        (without("_waits"), ADVISES, "command is started too early"),
        (believes_the_elector_alone, DECIDES, "a belief that never expires"),
        (believes_an_old_lease, ADVISES, "command is started too early"),
        (without("_begins_term"), DEFAULTS, "a start in another term"),
        (without("_owes_on_stop"), HOOKS, "but this was to come: Job.ON_STOP"),
        (without("_prepares"), HOOKS, "command is started, but this was to come: Job.ON_START"),
        (without("_hook_failed"), ABORTS, r"this was to come: Exit\(code=125"),
        (asks_for_the_hook_first, ABORTS, "an exit with 125"),
        (forgets_the_code, DEFAULTS, "an exit with 0, but"),
        (forgets_the_kill, LOST, r"an exit with 124, but .* Exit\(code=137"),
        (plans_at_once, DEFAULTS, "while the inbox is not empty"),
        (forgets_what_runs, DEFAULTS, "while something runs"),
        (sleeps_over("start_at"), RESTARTS, "a start that nothing wakes up for"),
        (sleeps_over("give_up_at"), WAITS, "a wait without an end"),
        (never_gives_up, DEFAULTS, "survivors of KILL are not given up"),
        (changed("_stop", no_stop), DEFAULTS, "what runs is not stopped at once"),
        (
            changed("_time_to_stop", lambda _policy, _grace: float("inf")),
            DEFAULTS,
            "without a deadline",
        ),
        (changed("_time_to_stop", lambda _policy, grace: grace), HOOKS, "without a deadline"),
        (changed("_end_wanted", lambda state: state.order is not None), DEFAULTS, r"code=129"),
        (changed("_restarts", lambda *_: True), RESTARTS, r"Exit\(code=0"),
        (changed("_is_new_term", lambda *_: False), DEFAULTS, "what runs is not stopped at once"),
        (changed("expire", lambda belief, *_: belief), DEFAULTS, "this was to come: stand by"),
        (without("_warms_up"), WARM, "but this was to come: Job.WARM"),
        (without("_waits"), WARM, "command is started too early"),
        (without("_stands_by"), WARM, "a warm command that nothing restarts"),
        (waits_for_nothing, WARM, "a line is written, but this was to come: wait"),
        (changed("_awaits_ready", waits_for_ever), WARM_ALWAYS, "nothing wakes up for"),
        (changed("_exit", exits_beside), WARM_WAITS, "but this was to come: stop the warm"),
        (changed("_again_at", lambda _state, _attempt, now: now), WARM_WAITS, "warm"),
        (changed("_cooled", lambda state, *_, **__: state), WARM, "Job|this was to come: stand"),
        (changed("_waits_on", lambda state: state), WARM_ALWAYS, "deadline that has passed"),
    ],
)
def test_the_search_detects_a_fault_in_the_core(
    fault: Fault, name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds one of the shortest histories that show it."""
    fault(monkeypatch)
    with pytest.raises(BrokenError, match=words):
        search.search(CASES[name], DEPTH)
