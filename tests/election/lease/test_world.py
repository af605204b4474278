"""Whatever is late, lost, asleep, killed or deleted: never two at once, and in the end one."""

import pytest
from election.lease.world import DEADLINE, DURATION, Faults, World
from election.simulated import GRACE_LOST, overlaps
from hypothesis import given, settings
from hypothesis import strategies as st

# Pure computing takes as long as a busy machine lets it.
pytestmark = pytest.mark.timeout(600)

SEEDS = st.integers(0, 2**32)
FAULTS = st.builds(
    Faults,
    lost=st.sampled_from([0.0, 0.05, 0.3, 0.7]),
    longest=st.sampled_from([0.1, 3.0, 12.0, 60.0]),
    slow=st.sampled_from([0.0, 0.1, 0.5]),
)
INCIDENT = st.tuples(
    st.sampled_from(["sleep", "kill", "restart", "release", "delete", "deaf", "hearing"]),
    st.floats(0, 120),
    st.integers(0, 2),
    st.floats(0.1, 40),
)


def happen(world: World, incident: tuple[str, float, int, float]) -> None:
    """Arrange an incident."""
    what, when, whom, length = incident
    player = world.players[whom % len(world.players)]

    def restart() -> None:
        # Whoever has its place by then.
        name = player.us.identity
        [one for one in world.players if one.us.identity == name][-1].restart()

    if what == "delete":
        world.at(when, world.delete_settled)
    elif what in ("deaf", "hearing"):
        world.at(when, lambda: setattr(player, "watching", what == "hearing"))
    elif what == "sleep":
        world.at(when, lambda: player.sleep(length))
    elif what == "restart":
        world.at(when, restart)
    else:
        world.at(when, getattr(player, what))


def struck(
    seed: int, names: str, faults: Faults, incidents: list[tuple[str, float, int, float]]
) -> World:
    """Return a world in which these will happen."""
    world = World(seed, names, faults)
    for incident in incidents:
        happen(world, incident)
    return world


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    seed=SEEDS,
    names=st.sampled_from(["ab", "abc"]),
    faults=FAULTS,
    incidents=st.lists(INCIDENT, max_size=8),
)
def test_never_two_at_once_and_every_fence_is_greater(
    seed: int, names: str, faults: Faults, incidents: list[tuple[str, float, int, float]]
) -> None:
    """The old command's time to stop is counted."""
    world = struck(seed, names, faults, incidents)
    world.run(150)
    assert not overlaps(world)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    seed=SEEDS,
    faults=FAULTS,
    incidents=st.lists(
        INCIDENT.filter(lambda incident: incident[0] not in ("kill", "release")), max_size=6
    ),
)
def test_in_the_end_one_leads(
    seed: int, faults: Faults, incidents: list[tuple[str, float, int, float]]
) -> None:
    """Once all is recovered, within two durations and what was still on its way."""
    world = struck(seed, "abc", faults, incidents)
    world.run(160)
    world.faults = Faults()
    world.run(160 + 60 + 2 * DURATION + DEADLINE)
    assert [player.leads() for player in world.players if player.lives].count(True) == 1
    assert not overlaps(world)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    seed=SEEDS,
    names=st.sampled_from(["ab", "abc"]),
    faults=FAULTS,
    incidents=st.lists(INCIDENT, max_size=8),
    when=st.floats(20, 120),
)
def test_a_success_is_kept_only_where_nobody_else_has_led_since(
    seed: int,
    names: str,
    faults: Faults,
    incidents: list[tuple[str, float, int, float]],
    when: float,
) -> None:
    """And in the end it is certain for whoever still lives."""
    world = struck(seed, names, faults, incidents)
    for player in world.players:
        world.at(when, player.succeed)
    world.run(160)
    world.faults = Faults()
    world.run(160 + 60 + 2 * DURATION + DEADLINE)
    assert not overlaps(world)
    for who, succeeded, kept in world.kept:
        since = [one for one in world.reigns if one.who != who and succeeded < one.begin < kept]
        assert not since
    for player in world.players:
        if player.lives and player.succeeded_at is not None:
            assert player.campaign.is_done or player.campaign.not_kept


def test_a_creation_that_arrives_late_takes_over_from_nobody() -> None:
    """Sent while there was no Lease, it arrives when another has held one, and that was deleted."""
    world = World(5927932, "abc", Faults(lost=0.05, longest=60.0, slow=0.1))
    world.at(34.0, world.delete)
    world.run(160)
    assert not overlaps(world)


def test_while_all_is_well_the_first_term_goes_on() -> None:
    """One term, one fence, one leader."""
    world = World(1, "abc", Faults())
    world.run(3600)
    assert not overlaps(world)
    (reign,) = world.reigns
    # Nobody had created the Lease: it was waited for.
    assert DURATION <= reign.begin < DURATION + 4
    assert reign.end == 3600


@pytest.mark.parametrize("seed", range(20))
def test_a_killed_leader_is_followed_when_its_lease_has_run_out(seed: int) -> None:
    """Not before, and not much later."""
    world = World(seed, "ab", Faults())
    world.run(60)
    (leader,) = [player for player in world.players if player.leads()]
    world.at(60.5, leader.kill)
    world.run(120)
    assert not overlaps(world)
    first, second = sorted(world.reigns, key=lambda reign: reign.begin)
    assert first.end == 60.5
    assert DURATION - 2.1 <= second.begin - first.end <= DURATION + 0.1


@pytest.mark.parametrize("seed", range(20))
def test_a_restarted_container_takes_its_own_lease_at_once(seed: int) -> None:
    """It is another term, with a greater fence, and nobody else was disturbed."""
    world = World(seed, "ab", Faults())
    world.run(60)
    (leader,) = [player for player in world.players if player.leads()]
    world.at(60.5, leader.restart)
    world.run(120)
    assert not overlaps(world)
    first, second = sorted(world.reigns, key=lambda reign: reign.begin)
    assert (first.who, first.end) == (second.who, 60.5)
    assert second.fence > first.fence
    assert second.begin - first.end <= 4


@pytest.mark.parametrize("seed", range(20))
def test_a_released_lease_is_taken_at_once(seed: int) -> None:
    """As soon as the watch tells."""
    world = World(seed, "ab", Faults())
    world.run(60)
    (leader,) = [player for player in world.players if player.leads()]
    world.at(60.5, leader.release)
    world.run(70)
    assert not overlaps(world)
    first, second = sorted(world.reigns, key=lambda reign: reign.begin)
    assert first.end == 60.5
    assert second.begin - first.end < 0.1


def test_the_search_would_notice_a_lease_that_is_too_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests above are worth: 15 s do not hold a deadline and a grace of 10 s each."""
    monkeypatch.setattr("election.lease.world.DURATION", 15)
    world = World(3, "ab", Faults())
    world.run(60)
    (leader,) = [player for player in world.players if player.leads()]
    world.at(60, lambda: leader.sleep(0.001))
    # It can't reach the API server any more: its replies are lost, the other's are not.
    leader._send = lambda _: None  # type: ignore[method-assign, assignment]
    world.run(100)
    assert GRACE_LOST > 15 - DEADLINE
    assert overlaps(world)
