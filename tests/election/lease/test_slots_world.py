"""Whatever is late, lost, asleep, killed or deleted: never two in a slot, and never one in two."""

import pytest
from election.lease.slots_world import Replica, SlotsWorld
from election.lease.world import DEADLINE, DURATION, PERIOD, Faults
from election.simulated import overlaps
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
    doubted=st.sampled_from([0.0, 0.0, 0.3]),
)
INCIDENT = st.tuples(
    st.sampled_from(["sleep", "kill", "restart", "release", "delete", "deaf", "hearing"]),
    st.floats(0, 120),
    st.integers(0, 5),
    st.floats(0.1, 40),
)
Incident = tuple[str, float, int, float]


def happen(world: SlotsWorld, incident: Incident) -> None:
    """Arrange an incident."""
    what, when, number, length = incident
    course = number % len(world.leases)
    name = world.replicas[number % len(world.replicas)].us.identity

    def replica() -> Replica:
        # Whoever has its place by then.
        return [one for one in world.replicas if one.us.identity == name][-1]

    def strike() -> None:
        if what in ("deaf", "hearing"):
            replica().courses[course].watching = what == "hearing"
        elif what == "sleep":
            replica().sleep(length)
        else:
            getattr(replica(), what)()

    world.at(when, world.leases[course].delete_settled if what == "delete" else strike)


def struck(
    seed: int, names: str, slots: int, faults: Faults, incidents: list[Incident]
) -> SlotsWorld:
    """Return a world in which these will happen."""
    world = SlotsWorld(seed, names, slots, faults)
    for incident in incidents:
        happen(world, incident)
    return world


def faults_of(world: SlotsWorld) -> list[str]:
    """Return who led in a slot before the last one's command was gone."""
    return [found for slot in range(len(world.leases)) for found in overlaps(world, slot)]


def leading(world: SlotsWorld) -> list[int | None]:
    """Return the slots of those that lead now."""
    return [one.slot for one in world.replicas if one.lives and one.leads()]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    seed=SEEDS,
    names=st.sampled_from(["ab", "abc", "abcd"]),
    slots=st.integers(1, 3),
    faults=FAULTS,
    incidents=st.lists(INCIDENT, max_size=8),
)
def test_never_two_in_one_slot_and_every_fence_of_a_slot_is_greater(
    seed: int, names: str, slots: int, faults: Faults, incidents: list[Incident]
) -> None:
    """The old command's time to stop is counted."""
    world = struck(seed, names, slots, faults, incidents)
    world.run(150)
    assert not faults_of(world)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=SEEDS,
    names=st.sampled_from(["ab", "abc", "abcd"]),
    slots=st.integers(1, 3),
    faults=FAULTS,
    incidents=st.lists(INCIDENT, max_size=8),
)
def test_in_the_end_as_many_lead_as_there_are_slots_or_replicas(
    seed: int, names: str, slots: int, faults: Faults, incidents: list[Incident]
) -> None:
    """Each in another slot, and no Lease names a replica that works in another slot: also where a
    write was answered so late that it had two."""
    world = struck(seed, names, slots, faults, incidents)
    world.run(160)
    world.faults = Faults()
    world.run(160 + 60 + 3 * DURATION + DEADLINE)
    alive = [one for one in world.replicas if one.lives]
    slots_held = leading(world)
    assert len(slots_held) == len(set(slots_held)) == min(slots, len(alive))
    assert all(len(held) <= 1 for held in world.holders().values())
    assert not faults_of(world)


@pytest.mark.parametrize("seed", range(20))
def test_a_released_slot_is_taken_at_once_and_the_others_go_on(seed: int) -> None:
    """By the one on standby, with the same number and a greater fence."""
    world = SlotsWorld(seed, "abc", 2, Faults())
    world.run(60)
    assert sorted(leading(world), key=str) == [0, 1]
    leader = next(one for one in world.replicas if one.leads())
    world.at(60.5, leader.release)
    world.run(70)
    assert not faults_of(world)
    first, second = [reign for reign in world.reigns if reign.slot == leader.slot]
    assert first.end == 60.5
    assert second.begin - first.end < 0.2
    assert second.fence > first.fence
    (other,) = [reign for reign in world.reigns if reign.slot != leader.slot]
    assert other.end == 70


@pytest.mark.parametrize("seed", range(20))
def test_without_watches_a_released_slot_is_taken_within_a_retry_period(seed: int) -> None:
    """Where the account may not watch, it is polled."""
    world = SlotsWorld(seed, "abc", 2, Faults())
    for replica in world.replicas:
        for course in replica.courses:
            course.watching = False
    world.run(60)
    leader = next(one for one in world.replicas if one.leads())
    world.at(60.5, leader.release)
    world.run(70)
    assert not faults_of(world)
    first, second = [reign for reign in world.reigns if reign.slot == leader.slot]
    assert second.begin - first.end < PERIOD + 0.2


@pytest.mark.parametrize("seed", range(20))
def test_a_killed_holder_is_followed_when_its_lease_has_run_out(seed: int) -> None:
    """Not before, and not much later."""
    world = SlotsWorld(seed, "abc", 2, Faults())
    world.run(60)
    leader = next(one for one in world.replicas if one.leads())
    world.at(60.5, leader.kill)
    world.run(120)
    assert not faults_of(world)
    first, second = [reign for reign in world.reigns if reign.slot == leader.slot]
    assert DURATION - 2.1 <= second.begin - first.end <= DURATION + 0.2


@pytest.mark.parametrize("seed", range(20))
def test_a_restarted_container_takes_its_own_slot_again_though_another_is_free(seed: int) -> None:
    """Otherwise the one it had would be nobody's until its Lease has run out."""
    world = SlotsWorld(seed, "ab", 3, Faults())
    world.run(60)
    leader = next(one for one in world.replicas if one.leads())
    world.at(60.5, leader.restart)
    world.run(70)
    assert not faults_of(world)
    first, second = [reign for reign in world.reigns if reign.who == leader.us.identity]
    assert first.slot == second.slot
    assert second.begin - first.end <= 4


def test_the_search_has_seen_writes_that_are_answered_too_late() -> None:
    """What the tests above are worth: a replica has found itself the holder of a second slot."""
    released = 0
    for seed in range(60):
        world = SlotsWorld(seed, "ab", 3, Faults(longest=20.0, slow=0.2))
        world.run(150)
        released += world.released
    assert released
