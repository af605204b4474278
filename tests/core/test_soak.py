"""Long random lives; `make soak` makes them longer, up to a million moves."""

from collections.abc import Callable

import pytest
from core import oracle, soak
from core.oracle import BrokenError
from core.search import CASES, Case

from leaderexec.core import events, lifecycle
from leaderexec.core.lifecycle import Decision, Policy, State
from leaderexec.core.record import replace
from leaderexec.status.counters import Counters

SEED = "1"
MOVES = 120


# Pure computation: some seconds, or as long as a busy machine needs for it.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_long_life_keeps_every_promise(case: Case) -> None:
    """However long it lasts: the oracle judges each step."""
    found = soak.soak(case, MOVES, 3600.0, SEED)
    assert found.moves >= MOVES
    assert found.starts > 0
    assert found.simulated >= 3600.0


@pytest.mark.timeout(600)
def test_what_is_kept_does_not_grow_with_the_number_of_moves() -> None:
    """Nor do the counters."""
    found = soak.soak(CASES["the defaults, and step-downs"], 25 * MOVES, 0.0, SEED)
    assert found.grew <= soak.MAY_GROW


def test_a_seed_repeats_a_life() -> None:
    """So that what is found can be found again."""
    found = [soak.soak(CASES["hooks"], 50, 0.0, SEED) for _ in range(2)]
    # CPU time, and what Python's dictionaries take, are not always the same.
    assert len({one._replace(took=0.0, size=0, grew=0) for one in found}) == 1


# Faults, each of which the soak has to detect.


def remembers_every_reason(patch: pytest.MonkeyPatch) -> None:
    """Keep the reason of every decision."""
    original = lifecycle.decide

    def decide(policy: Policy, state: State, event: events.Event, now: float) -> Decision:
        after, wanted = original(policy, state, event, now)
        return replace(after, reason=f"{state.reason} {after.role.value}"), wanted

    patch.setattr(lifecycle, "decide", decide)


def counts_by_term(patch: pytest.MonkeyPatch) -> None:
    """Keep a counter for each term."""
    original = Counters.transition

    def transition(self: Counters, told: object, change: object, now: float) -> None:
        original(self, told, change, now)  # type: ignore[arg-type]
        self.hook_failures[f"term {self._term}"] += 1

    patch.setattr(Counters, "transition", transition)


@pytest.mark.apart
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", [remembers_every_reason, counts_by_term])
def test_the_soak_detects_what_grows(
    fault: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the state, or in the counters."""
    fault(monkeypatch)
    found = soak.soak(CASES["the defaults, and step-downs"], 25 * MOVES, 0.0, SEED)
    assert found.grew > soak.MAY_GROW


@pytest.mark.apart
def test_the_soak_detects_a_leader_that_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says with which seed, and what happened last."""
    original = lifecycle.next_deadline

    def next_deadline(policy: Policy, state: State) -> float | None:
        return original(policy, replace(state, start_at=None))

    monkeypatch.setattr(lifecycle, "next_deadline", next_deadline)
    # The oracle would notice, too.
    monkeypatch.setattr(oracle, "judge_deadline", lambda *_, **__: None)
    case = CASES["--wait 30s --takeover-delay 2s --restart always"]
    contact = replace(case.policy.contact, timeout=None)
    case = Case(replace(case.policy, contact=contact, wait=None), case.more)
    with pytest.raises(BrokenError, match=r"nothing is planned, after .* seed '1', at last:\n"):
        soak.soak(case, MOVES, 0.0, SEED)
