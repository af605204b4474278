"""What `make soak SECONDS=3600` makes of samples that are made by hand, and that real ones can be
taken."""

import xml.etree.ElementTree as ET
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from soaking import drawing
from soaking.flatness import courses, growing, table
from soaking.sampling import Sample
from soaking.scenes import Moving
from support import LEADEREXEC, wait_for

FLAT = Sample(
    scene="idle",
    name="a",
    at=0.0,
    resident=20_000_000,
    proportional=12_000_000,
    private=11_000_000,
    descriptors=10,
    threads=4,
    children=1,
    busy=0.0,
    logged=0,
    moves=0,
)
SECONDS = 3600


def hour(**course: Callable[[float], float]) -> list[Sample]:
    """Return an hour of samples; `course`: what changes with the share of time that is over."""
    times = [10.0 * number for number in range(SECONDS // 10)]
    return [
        FLAT._replace(at=at, **{name: value(at / SECONDS) for name, value in course.items()})  # type: ignore[arg-type]
        for at in times
    ]


def test_what_stays_the_same_is_flat() -> None:
    """Even if it has warmed up first, and adds up at the same rate."""
    found = hour(
        private=lambda over: 11_000_000 if over > 0.2 else 8_000_000,
        busy=lambda over: 1000 * over,
        logged=lambda over: 1_000_000 * over,
    )
    assert growing(courses(found)) == []


def test_what_adds_up_is_compared_by_the_moves() -> None:
    """On a busy machine fewer are made."""
    found = hour(
        busy=lambda over: 40_000 * over**2,
        logged=lambda over: 1_000_000 * over**2,
        moves=lambda over: int(3600 * over**2),
    )
    assert growing(courses(found)) == []


def test_a_single_sample_within_a_move_does_not_matter() -> None:
    """A command that is just being started has descriptors, and shares memory."""
    found = hour(descriptors=lambda over: 30 if int(over * 360) % 7 == 0 else 10)
    assert growing(courses(found)) == []


@pytest.mark.parametrize(
    ("name", "course", "words"),
    [
        ("private", lambda over: 11e6 + 1e6 * over, "private grew from 11.37 to 11.87 MB"),
        ("resident", lambda over: 20e6 + 2e6 * over, "resident grew from 20.75 to 21.75 MB"),
        ("proportional", lambda over: 12e6 + 2e6 * over, "proportional grew"),
        ("descriptors", lambda over: 10 + int(8 * over), "descriptors grew from"),
        ("threads", lambda over: 4 + int(8 * over), "threads grew"),
        ("children", lambda over: 1 + int(8 * over), "children grew"),
        ("busy", lambda over: 10_000 * over**3, "CPU grew from"),
        ("logged", lambda over: 10_000_000 * over**3, "log grew from"),
    ],
)
def test_what_grows_is_found(name: str, course: Callable[[float], float], words: str) -> None:
    """With from where to where, and what is allowed."""
    (said,) = growing(courses(hour(**{name: course})))
    assert said.startswith("idle, a: ")
    assert words in said
    assert "more than the allowed" in said


def test_each_process_is_compared_with_itself() -> None:
    """A process of the same name in another scene is another one."""
    other = [one._replace(scene="moves", descriptors=40) for one in hour()]
    found = courses(hour() + other)
    assert growing(found) == []
    assert table(found).splitlines()[2:] == [
        "| idle: a | 11.00 | 12.00 | 20.00 | 10 | 4 | 1 | 0.00 | 0.00 |",
        "| moves: a | 11.00 | 12.00 | 20.00 | 40 | 4 | 1 | 0.00 | 0.00 |",
    ]


def test_the_picture_has_a_line_for_each_process_and_measure() -> None:
    """And its text is escaped."""
    found = courses(hour() + [one._replace(name="<b>") for one in hour()])
    root = ET.fromstring(drawing.svg(found))  # noqa: S314 - our own
    lines = [one for one in root if one.tag.endswith("polyline")]
    assert len(lines) == 2 * len(drawing.SHOWN)
    assert "<b>" in [one.text for one in root]


def with_memory_of_their_own(samples: list[Sample]) -> list[Sample]:
    """Return the samples, unless one was taken as the process forked, and shared all of it."""
    return samples if all(one.private for one in samples) else []


@pytest.mark.timeout(600)
def test_replicas_are_moved_sampled_and_stopped(tmp_path: Path) -> None:
    """None ends before, and nothing is left behind."""
    with ExitStack() as stack:
        scene = Moving(str(LEADEREXEC), tmp_path, stack, seed=1)
        scene.step()
        assert scene.ended() == []
        samples = wait_for(lambda: with_memory_of_their_own(scene.sample(1.0)), "memory")
        assert len(samples) == 9
        for one in samples:
            assert one.resident >= one.proportional >= one.private > 0
            assert one.descriptors > 0
            assert one.threads > 0
        assert scene.close() == []
        # Warnings are those of a busy machine.
        assert {one.split(":")[0] for one in scene.drain.events} <= {"info", "warning"}
