"""The state diagram, from the transition table.

Every state is gone to that a few events in any order lead to, under every policy that changes the
picture, and what the table's handlers do there is drawn: the arrows are what the code does.
"""

import signal
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from leaderexec.core import events, machine
from leaderexec.core.belief import ContactPolicy
from leaderexec.core.machine import Happening, Phase, Policy, Restart, State

ME, RIVAL = "me", "rival"
END = "[*]"
_STEP = 1000.0

_WORDS = {
    Happening.WON: "won",
    Happening.LOST: "lost",
    Happening.TOLD: "told to end",
    Happening.DUE: "deadline",
    Happening.START_FAILED: "no process",
    Happening.EXITED: "command ended",
    Happening.HOOK_ENDED: "hook ended",
    Happening.TREE_GONE: "tree gone",
}

Edges = dict[tuple[str, str], set[Happening]]


def edges() -> Edges:
    """Return the happenings that lead from one phase to another, or to the end."""
    found: Edges = defaultdict(set)
    table = machine.TABLE
    machine.TABLE = {
        phase: {one: _drawing(phase, one, handler, found) for one, handler in row.items()}
        for phase, row in table.items()
    }
    try:
        for policy in _policies():
            _explore(policy)
    finally:
        machine.TABLE = table
    return found


def _policies() -> Iterator[Policy]:
    for restart, lost, hook, aborts in product(
        (Restart.NEVER, Restart.ALWAYS), (False, True), (None, 5.0), (False, True)
    ):
        yield Policy(
            identity=ME,
            contact=ContactPolicy(timeout=None),
            restart=restart,
            exit_when_lost=lost,
            on_start_timeout=hook,
            on_stop_timeout=hook,
            hook_failure_aborts=aborts,
        )


def _events(now: float) -> list[events.Event]:
    return [
        events.Announced(ME, now),
        events.Announced(RIVAL, now),
        events.Signalled(signal.SIGTERM),
        events.Tick(),
        events.StartFailed("EAGAIN"),
        events.Exited(1),
        events.TreeGone(),
        events.HookEnded(0),
        events.HookEnded(1),
    ]


def _explore(policy: Policy) -> None:
    seen: set[tuple[object, ...]] = set()
    waiting = [State()]
    now = _STEP
    while waiting:
        state = waiting.pop()
        for event in _events(now):
            if not _possible(state, event):
                continue
            now += _STEP
            after = machine.decide(policy, state, event, now)[0]
            key = _gist(after)
            if after.exit_code is None and key not in seen:
                seen.add(key)
                waiting.append(after)


def _possible(state: State, event: events.Event) -> bool:
    """Leave out what the kernel never tells in this phase."""
    hook = state.phase in (Phase.PREPARING, Phase.CLEANING)
    match event:
        case events.StartFailed():
            return state.phase is Phase.UP or hook
        case events.Exited():
            return state.alive
        case events.HookEnded():
            return hook
        case events.TreeGone():
            return state.phase in (Phase.TERMINATING, Phase.KILLING) and not state.alive
    return True


def _drawing(
    phase: Phase, happening: Happening, handler: machine.Handler, found: Edges
) -> machine.Handler:
    def draw(policy: Policy, state: State, event: events.Event, now: float) -> machine.Decision:
        after, actions = handler(policy, state, event, now)
        to = END if after.exit_code is not None else after.phase.name
        if to != phase.name:
            found[phase.name, to].add(happening)
        return after, actions

    return draw


def _gist(state: State) -> tuple[object, ...]:
    """What two states must have in common to be one for the picture."""
    timeless = replace(state, belief=replace(state.belief, since=0, contact_at=0, announced_at=0))
    return (
        *(timeless.phase, timeless.belief.leader, timeless.belief.confirmed, timeless.told),
        *(timeless.start_at is None, timeless.kill_at is None, timeless.alive, timeless.hook),
        *(timeless.ended_by_itself, timeless.term_over, timeless.prepared, timeless.result),
        *(timeless.hook_failure, min(timeless.attempt, 1), min(timeless.kills, 1)),
    )


def mermaid() -> str:
    """Return the diagram for mermaid."""
    lines = ["```mermaid", "stateDiagram-v2", f"    {END} --> DOWN"]
    for (before, after), happenings in sorted(edges().items()):
        words = ", ".join(_WORDS[one] for one in Happening if one in happenings)
        lines.append(f"    {before} --> {after} : {words}")
    return "\n".join([*lines, "```"]) + "\n"
