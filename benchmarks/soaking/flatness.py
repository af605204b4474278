"""Judges whether what processes used stayed the same. Pure.

The second quarter of the time is compared with the last one: the first is left for warming up. Of what
is there at a time it is the median that counts, so that samples which fall into a start or a stop don't
matter; of what adds up, the mean.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from soaking.sampling import Sample

Key = tuple[str, str]


class Measure(NamedTuple):
    """A column: what is measured, in which unit, how many of a sample's own unit that is, and whether
    it adds up: then what was added per move is compared, or per minute where nothing moves. The last
    quarter may exceed the second by `more`, and in addition by the share `times` of it."""

    name: str
    unit: str
    field: str
    scale: float
    adds_up: bool
    more: float
    times: float = 0.0


# Pages are private or shared as other processes start and end, and a busy machine makes the same work
# take longer.
MEASURES = (
    Measure("private", "MB", "private", 1e6, adds_up=False, more=0.25),
    Measure("proportional", "MB", "proportional", 1e6, adds_up=False, more=0.5),
    Measure("resident", "MB", "resident", 1e6, adds_up=False, more=0.5),
    Measure("descriptors", "", "descriptors", 1, adds_up=False, more=1),
    Measure("threads", "", "threads", 1, adds_up=False, more=1),
    Measure("children", "", "children", 1, adds_up=False, more=1),
    Measure("CPU", "ms", "busy", 1, adds_up=True, more=5, times=1.0),
    Measure("log", "kB", "logged", 1e3, adds_up=True, more=0.1, times=0.5),
)


class Course(NamedTuple):
    """One measure of one process over time."""

    measure: Measure
    samples: Sequence[Sample]

    def between(self, begin: float, end: float) -> float:
        """Return the median, or the rate, of these seconds. Raises StatisticsError if they have too
        few samples."""
        ones = [one for one in self.samples if begin <= one.at <= end]
        values = [float(getattr(one, self.measure.field)) / self.measure.scale for one in ones]
        if not self.measure.adds_up:
            return statistics.median(values)
        if len(ones) < 2:  # noqa: PLR2004
            raise statistics.StatisticsError("a rate needs two samples")
        moves = ones[-1].moves - ones[0].moves
        return (values[-1] - values[0]) / (moves or (ones[-1].at - ones[0].at) / 60)

    def quarter(self, number: int) -> float:
        """Return that of a quarter of the time, from 0."""
        first, last = self.samples[0].at, self.samples[-1].at
        length = (last - first) / 4
        return self.between(first + number * length, first + (number + 1) * length)

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
        key: {one.name: Course(one, ones) for one in MEASURES} for key, ones in by_process.items()
    }


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
    """Return both quarters as a table in Markdown; what adds up is per move, or where nothing moves
    per minute."""
    heads = [f"{one.name}, {one.unit}".rstrip(", ") for one in MEASURES]
    lines = [f"| | {' | '.join(heads)} |", f"|---{'|---' * len(heads)}|"]
    for (scene, name), measures in found.items():
        cells = [_cell(measures[one.name]) for one in MEASURES]
        lines.append(f"| {scene}: {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(course: Course) -> str:
    digits = 0 if course.measure.unit == "" else 2
    before, after = (f"{course.quarter(number):.{digits}f}" for number in (1, 3))
    return before if before == after else f"{before} → {after}"
