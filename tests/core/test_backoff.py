"""Delays grow up to a limit, and are spread."""

import pytest

from leaderexec.core.backoff import doubling, full_jitter


def test_doubling_starts_at_its_base_and_stops_at_its_limit() -> None:
    """A restarted command gets 0.5 s to 30 s."""
    delays = [doubling(attempt, base=0.5, cap=30) for attempt in range(8)]
    assert delays == [0.5, 1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize("attempt", [0, 3, 10_000_000])
@pytest.mark.parametrize("rand", [0.0, 0.5, 0.999])
def test_full_jitter_is_a_random_share_of_the_doubling_delay(attempt: int, rand: float) -> None:
    """However many attempts there were."""
    full = doubling(attempt, base=0.1, cap=5)
    assert full_jitter(attempt, base=0.1, cap=5, rand=rand) == pytest.approx(rand * full)
