"""Whatever is cut off, asleep or killed, whatever the server does: never two commands at once."""

import pytest
from election.postgres.world import TIMES, World
from election.simulated import GRACE_LOST, overlaps
from hypothesis import example, given, settings
from hypothesis import strategies as st

# Pure computation takes as long as a busy machine needs for it.
pytestmark = pytest.mark.timeout(600)

INCIDENT = st.tuples(
    st.sampled_from(
        ["cut_off", "cut_off", "sleep", "kill", "release", "end_holder", "restart", "promote"]
    ),
    st.floats(0, 120),
    st.integers(0, 2),
    st.floats(0.1, 40),
)


def happen(world: World, incident: tuple[str, float, int, float]) -> None:
    """Schedule an incident."""
    what, when, whom, length = incident
    player = world.players[whom % len(world.players)]
    if what in ("end_holder", "restart", "promote"):
        world.at(when, getattr(world, what))
    elif what in ("cut_off", "sleep"):
        world.at(when, lambda: getattr(player, what)(length))
    else:
        world.at(when, getattr(player, what))


@pytest.mark.parametrize("names", ["ab", "abc"])
@pytest.mark.parametrize("longest", [0.1, 3.0, 12.0])
@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32),
    incidents=st.lists(INCIDENT, max_size=8),
)
@example(
    seed=0,
    incidents=[("cut_off", 0.0, 1, 2.0), ("end_holder", 2.0, 0, 1.0), ("cut_off", 2.0, 2, 2.0)],
)
def test_never_two_at_once_and_every_fence_is_greater(
    seed: int, names: str, longest: float, incidents: list[tuple[str, float, int, float]]
) -> None:
    """This includes the time that the old command has to stop."""
    world = World(seed, names, longest)
    for incident in incidents:
        happen(world, incident)
    world.run(180)
    assert not overlaps(world)


@settings(max_examples=75, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32),
    incidents=st.lists(
        INCIDENT.filter(lambda incident: incident[0] not in ("kill", "release")), max_size=6
    ),
)
def test_in_the_end_one_leads(seed: int, incidents: list[tuple[str, float, int, float]]) -> None:
    """Once everything has recovered: a silent session ends, and the longest wait passes."""
    world = World(seed, "abc", 0.1)
    for incident in incidents:
        happen(world, incident)
    world.run(165 + 3 * (TIMES.session_timeout + TIMES.renew_deadline + TIMES.gone_after))
    assert [player.leads() for player in world.players].count(True) == 1
    assert not overlaps(world)


@pytest.mark.parametrize("seed", range(20))
def test_a_killed_leader_is_replaced_once_its_command_is_gone(seed: int) -> None:
    """Not before, and one attempt later at most."""
    world = World(seed, "ab", 0.01)
    world.run(60)
    (leader,) = [player for player in world.players if player.leads()]
    world.at(60.5, leader.kill)
    world.run(90)
    assert not overlaps(world)
    first, second = sorted(world.reigns, key=lambda reign: reign.begin)
    assert first.end == 60.5
    assert TIMES.gone_after <= second.begin - first.end <= TIMES.gone_after + 2.6


@pytest.mark.parametrize("seed", range(20))
def test_a_leader_that_releases_the_lock_is_replaced_at_once(seed: int) -> None:
    """As soon as the notification arrives."""
    world = World(seed, "ab", 0.01)
    world.run(60)
    (leader,) = [player for player in world.players if player.leads()]
    world.at(60.5, leader.release)
    world.run(70)
    assert not overlaps(world)
    first, second = sorted(world.reigns, key=lambda reign: reign.begin)
    assert second.begin - first.end < 0.1


def test_while_all_is_well_the_first_term_goes_on() -> None:
    """One term, one fence, one leader, from the start."""
    world = World(1, "abc", 0.01)
    world.run(3600)
    assert not overlaps(world)
    (reign,) = world.reigns
    assert reign.begin < 3
    assert reign.end == 3600


def test_the_search_would_notice_a_wait_that_is_too_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check of the tests above: without the wait a killed leader's command overlaps with the
    next."""
    monkeypatch.setattr("election.postgres.world.TIMES", TIMES._replace(gone_after=1.0))
    world = World(3, "ab", 0.01)
    world.run(60)
    (leader,) = [player for player in world.players if player.leads()]
    world.at(60.5, leader.kill)
    world.run(90)
    assert GRACE_LOST > 1.0
    assert overlaps(world)
