"""Judges whether what processes used stayed the same. Pure.

The second quarter of the time is compared with the last one: the first is left for warming up. Of what
is there at a time it is the median that counts, so that samples which fall into a start or a stop don't
matter; of what adds up, the mean.
"""

import itertools
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from soaking.sampling import Sample

Key = tuple[str, str]


class Measure(NamedTuple):
    """A column: what is measured, in which unit, how many of a sample's own unit that is, and whether
    it counts up, so that what was added per minute is compared. The last quarter may exceed the
    second by `more`, and in addition by the share `times` of it."""

    name: str
    unit: str
    field: str
    scale: float
    counts: bool
    more: float
    times: float = 0.0


# Pages are private or shared as other processes start and end, and a busy machine makes the same work
# take longer.
MEASURES = (
    Measure("private", "MB", "private", 1e6, counts=False, more=0.25),
    Measure("proportional", "MB", "proportional", 1e6, counts=False, more=0.5),
    Measure("resident", "MB", "resident", 1e6, counts=False, more=0.5),
    Measure("descriptors", "", "descriptors", 1, counts=False, more=1),
    Measure("threads", "", "threads", 1, counts=False, more=1),
    Measure("children", "", "children", 1, counts=False, more=1),
    Measure("CPU", "ms/min", "busy", 1, counts=True, more=20, times=1.0),
    Measure("log", "kB/min", "logged", 1e3, counts=True, more=1, times=0.5),
)


class Course(NamedTuple):
    """One measure of one process: (seconds, value) pairs."""

    measure: Measure
    points: Sequence[tuple[float, float]]

    def quarter(self, number: int) -> float:
        """Return the median, or the mean, of a quarter of the time, from 0. Raises StatisticsError
        if it has no sample."""
        middle = statistics.mean if self.measure.counts else statistics.median
        first, last = self.points[0][0], self.points[-1][0]
        length = (last - first) / 4
        begin = first + number * length
        end = begin + length + (1e-9 if number == 3 else 0)  # noqa: PLR2004 - the last one
        return middle(value for at, value in self.points if begin <= at < end)

    @property
    def allowed(self) -> float:
        """What the last quarter may come to."""
        second = self.quarter(1)
        return second + self.measure.more + self.measure.times * second


def courses(samples: Iterable[Sample]) -> dict[Key, dict[str, Course]]:
    """Return the course of every measure, for each process."""
    by_process: dict[Key, list[Sample]] = {}
    for sample in samples:
        by_process.setdefault((sample.scene, sample.name), []).append(sample)
    return {
        key: {one.name: Course(one, list(_points(one, ones))) for one in MEASURES}
        for key, ones in by_process.items()
    }


def _points(measure: Measure, samples: Sequence[Sample]) -> Iterator[tuple[float, float]]:
    values = [(one.at, getattr(one, measure.field) / measure.scale) for one in samples]
    if not measure.counts:
        yield from values
        return
    for (before, was), (at, now) in itertools.pairwise(values):
        yield at, (now - was) * 60 / (at - before)


def growing(found: Mapping[Key, Mapping[str, Course]]) -> list[str]:
    """Say what has grown; nothing if all is flat."""
    return [
        f"{scene}, {name}: {measure} grew from {course.quarter(1):.2f} to {course.quarter(3):.2f}"
        f" {course.measure.unit}, more than the allowed {course.allowed:.2f}".replace("  ", " ")
        for (scene, name), measures in found.items()
        for measure, course in measures.items()
        if course.quarter(3) > course.allowed
    ]


def table(found: Mapping[Key, Mapping[str, Course]]) -> str:
    """Return both quarters as a table in Markdown."""
    heads = [f"{one.name}, {one.unit}".rstrip(", ") for one in MEASURES]
    lines = [f"| | {' | '.join(heads)} |", f"|---{'|---' * len(heads)}|"]
    for (scene, name), measures in found.items():
        cells = [_cell(measures[one.name]) for one in MEASURES]
        lines.append(f"| {scene}: {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(course: Course) -> str:
    digits = 2 if course.measure.unit == "MB" else 0
    before, after = (f"{course.quarter(number):.{digits}f}" for number in (1, 3))
    return before if before == after else f"{before} → {after}"
