"""The plan of `make nemesis`: drawn from a seed, printed, and read."""

import itertools

import pytest
from haunting import plan
from haunting.plan import ENGINE, SORTS, Step

NONE: frozenset[str] = frozenset()


def steps(source: str, count: int, seed: int = 1, without: frozenset[str] = NONE) -> list[Step]:
    """Return the first steps."""
    return list(itertools.islice(plan.drawn(seed, source, 9.0, without), count))


def test_a_seed_always_gives_the_same_plan() -> None:
    """And another seed another one."""
    assert steps("etcd", 50) == steps("etcd", 50)
    assert steps("etcd", 50) != steps("etcd", 50, seed=2)


@pytest.mark.parametrize("source", plan.SOURCES)
def test_every_fault_that_means_something_comes_and_no_other(source: str) -> None:
    """Each source has its own."""
    came = {fault.what for step in steps(source, 1000) for fault in step.faults}
    assert came == {name for name, sort in SORTS.items() if source in sort.sources}


def test_what_the_machine_can_not_do_does_not_come() -> None:
    """There may be no control groups."""
    came = {
        fault.what
        for step in steps("redis", 1000, without=frozenset({"fork-refused"}))
        for fault in step.faults
    }
    assert "fork-refused" not in came
    assert "freeze-both" in came


def test_two_come_at_once_and_never_two_at_the_engine() -> None:
    """A frozen engine can't be told to stop."""
    two = [step for step in steps("etcd", 1000) if len(step.faults) > 1]
    assert 200 < len(two) < 500
    assert all([fault.who for fault in step.faults].count(ENGINE) < 2 for step in two)
    assert any([fault.who for fault in step.faults].count(ENGINE) for step in two)


def test_a_plan_is_read_as_it_is_printed() -> None:
    """So that a step can be done again."""
    printed = steps("lease", 20)
    read = plan.read("; ".join(map(str, printed)))
    assert [step.faults for step in read] == [step.faults for step in printed]


@pytest.mark.parametrize("text", ["flood a 1", "drop f 1", "drop a", "drop a soon"])
def test_what_is_no_fault_is_refused(text: str) -> None:
    """An unknown one, an unknown replica, no time."""
    with pytest.raises(ValueError, match=r"fault|unpack|float"):
        plan.read(text)
