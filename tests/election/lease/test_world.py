"""Whatever is late, lost, asleep, killed or deleted: never two leaders, and in the end one."""

from functools import partial

import pytest
from election.lease.world import DEADLINE, DURATION, Faults, World
from election.simulated import GRACE_LOST, overlaps
from hypothesis import given, settings
from hypothesis import strategies as st

# Pure computation takes as long as a busy machine needs for it.
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
    """Schedule an incident."""
    what, when, whom, length = incident
    player = world.players[whom % len(world.players)]

    def restart() -> None:
        # The player that is in its place by then.
        name = player.us.identity
        [one for one in world.players if one.us.identity == name][-1].restart()

    if what == "delete":
        world.at(when, world.lease.delete_settled)
    elif what in ("deaf", "hearing"):
        world.at(when, lambda: setattr(player.course, "watching", what == "hearing"))
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


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    seed=SEEDS,
    names=st.sampled_from(["ab", "abc"]),
    faults=FAULTS,
    incidents=st.lists(INCIDENT, max_size=8),
)
def test_never_two_at_once_and_every_fence_is_greater(
    seed: int, names: str, faults: Faults, incidents: list[tuple[str, float, int, float]]
) -> None:
    """This includes the time that the old command has to stop."""
    world = struck(seed, names, faults, incidents)
    world.run(150)
    assert not overlaps(world)


@settings(max_examples=75, deadline=None, derandomize=True)
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
    """Within two durations, plus whatever was still on its way, once everything has recovered."""
    world = struck(seed, "abc", faults, incidents)
    world.run(160)
    world.faults = Faults()
    world.run(160 + 60 + 2 * DURATION + DEADLINE)
    assert [player.leads() for player in world.players if player.lives].count(True) == 1
    assert not overlaps(world)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    seed=SEEDS,
    names=st.sampled_from(["ab", "abc"]),
    faults=FAULTS,
    incidents=st.lists(INCIDENT, max_size=8),
    when=st.floats(20, 120),
    cleans_up_for=st.just(0.0) | st.floats(0, 60),
)
def test_a_success_is_recorded_only_if_no_other_replica_has_led_since(
    seed: int,
    names: str,
    faults: Faults,
    incidents: list[tuple[str, float, int, float]],
    when: float,
    cleans_up_for: float,
) -> None:
    """In the end every surviving replica knows for certain."""
    world = struck(seed, names, faults, incidents)
    for player in world.players:
        world.at(when, partial(player.succeed, cleans_up_for))
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


def test_a_creation_that_arrives_late_takes_leadership_from_no_replica() -> None:
    """It was sent while there was no Lease, and arrives after another was held and deleted."""
    world = World(5927932, "abc", Faults(lost=0.05, longest=60.0, slow=0.1))
    world.at(34.0, world.lease.delete)
    world.run(160)
    assert not overlaps(world)


def test_while_all_is_well_the_first_term_goes_on() -> None:
    """One term, one fence, one leader."""
    world = World(1, "abc", Faults())
    world.run(3600)
    assert not overlaps(world)
    (reign,) = world.reigns
    # No replica had created the Lease: its duration was waited for.
    assert DURATION <= reign.begin < DURATION + 4
    assert reign.end == 3600


@pytest.mark.parametrize("seed", range(20))
def test_a_killed_leader_is_replaced_once_its_lease_has_expired(seed: int) -> None:
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
    """In a new term, with a greater fence, and without disturbing any other replica."""
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
    """As soon as the watch shows it."""
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
    """A check of the tests above: 15 s do not cover a deadline and a grace of 10 s each."""
    monkeypatch.setattr("election.lease.world.DURATION", 15)
    world = World(3, "ab", Faults())
    world.run(60)
    (leader,) = [player for player in world.players if player.leads()]
    world.at(60, lambda: leader.sleep(0.001))
    # It can no longer reach the API server: its responses are lost, the other's are not.
    leader.course.send = lambda _: None  # type: ignore[method-assign, assignment]
    world.run(100)
    assert GRACE_LOST > 15 - DEADLINE
    assert overlaps(world)
