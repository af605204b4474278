"""Judges a night by what it left: the workers' journal, the store's list of writes, and how the
processes ended. Pure.

What was done to the replicas is only looked up where a promise has an exception, and the exceptions
are those that the program itself declares at its start (`worst_overlap_seconds`).
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from examples.demo import Line

# The name in a deed that was done to all.
ANYONE = "*"
# What may end a replica, and with which codes: by its own order, as killed, as its command ended.
# The worker may not be so far that it takes TERM as an order, or be frozen, and killed.
_STOPPED = {0, 128 + 9, 128 + 15}
_CODES = {
    "stop": _STOPPED,
    "update": _STOPPED,
    "close": _STOPPED,
    "kill-wrapper": {137},
    "kill-command": {137},
    "fork-refused": {125},
    "out-of-memory": {137},
}


class Write(NamedTuple):
    """A write that the store took."""

    fence: int
    name: str
    pid: int


class Deed(NamedTuple):
    """What was done to a replica, and until when."""

    what: str
    name: str
    at: float
    until: float


class Life(NamedTuple):
    """One process of a replica, and how it ended."""

    name: str
    start: float
    end: float
    code: int


class Calm(NamedTuple):
    """When the last fault of a step was over, and how many times slower than alone a process was
    afterwards: the processes that wanted a CPU, for each of them."""

    at: float
    slower: float = 1.0


class Sample(NamedTuple):
    """What a replica used at a quiet moment; `role`: leading, standing by after it had led, or
    before."""

    name: str
    start: float
    at: float
    role: str
    memory: int
    descriptors: int


class Promise(NamedTuple):
    """What this source promises. `overlaps`: the deeds after which two may be at work, and for how
    many seconds after their end. `leads_within`: how soon some replica leads again."""

    overlaps: Mapping[str, float]
    leads_within: float


class History(NamedTuple):
    """All that is judged. `left`: processes that were still there at the end; `bugs`: what
    leaderexec itself took for one of its own."""

    lines: Sequence[Line]
    writes: Sequence[Write]
    deeds: Sequence[Deed]
    lives: Sequence[Life]
    samples: Sequence[Sample]
    calm: Sequence[Calm]
    end: float
    left: Sequence[str]
    bugs: Sequence[str] = ()


class _Run(NamedTuple):
    """One command's life, by its lines."""

    name: str
    pid: int
    lines: tuple[Line, ...]

    @property
    def start(self) -> float:
        return self.lines[0].at


def is_work(line: Line) -> bool:
    """Tell whether a command is at work, whatever the store says of it."""
    return line.event in ("work", "refused")


def judged(history: History, promise: Promise) -> list[str]:
    """Return what broke a promise; nothing if all were kept."""
    runs = _runs(history.lines)
    return [
        *_two_at_once(runs, history.deeds, promise),
        *_older_writes(history.writes),
        *_refused_newest(runs, history.deeds),
        *_leaderless(history, runs, promise),
        *_unexplained(history),
        *(f"left running: {what}" for what in history.left),
        *(f"a bug of its own: {what}" for what in history.bugs),
        *_growing(history.samples),
    ]


def told(history: History) -> str:
    """Say how much was judged."""
    return (
        f"{len(_runs(history.lines))} commands ran, {len(history.writes)} writes were accepted and"
        f" {sum(line.event == 'refused' for line in history.lines)} refused;"
        f" {len(history.lives)} processes of leaderexec ended; {len(history.samples)} samples"
    )


def _runs(lines: Iterable[Line]) -> list[_Run]:
    """Group the lines by command. A pid is one of its replica's own namespace, and comes again."""
    open_runs: dict[tuple[str, int], list[Line]] = {}
    found: list[list[Line]] = []
    for line in lines:
        if line.event == "start" or (line.name, line.pid) not in open_runs:
            open_runs[line.name, line.pid] = []
            found.append(open_runs[line.name, line.pid])
        open_runs[line.name, line.pid].append(line)
    runs = (_Run(run[0].name, run[0].pid, tuple(run)) for run in found)
    return sorted(runs, key=lambda run: run.start)


def _two_at_once(runs: Sequence[_Run], deeds: Sequence[Deed], promise: Promise) -> Iterator[str]:
    """Lines don't count from when something was done that excuses them, such as to freeze their
    leader, until the command must have been stopped."""
    excused = [
        (deed.name, deed.at, deed.until + promise.overlaps[deed.what])
        for deed in deeds
        if deed.what in promise.overlaps
    ]
    spans = []
    for run in runs:
        counted = [
            line.at
            for line in run.lines
            if not any(
                name in (line.name, ANYONE) and at <= line.at <= until
                for name, at, until in excused
            )
        ]
        if counted:
            spans.append((counted[0], counted[-1], run))
    spans.sort(key=lambda span: span[0])
    for (start, end, run), (later, _, other) in itertools.combinations(spans, 2):
        if start <= later < end:
            yield (
                f"two at once: {other.name} (pid {other.pid}) worked at {later:.3f}, and"
                f" {run.name} (pid {run.pid}) until {end:.3f}, {end - later:.3f}s longer"
            )


def _older_writes(writes: Sequence[Write]) -> Iterator[str]:
    """Fences never decrease, and belong to one command each. 0: there is none."""
    owners: dict[int, Write] = {}
    for before, write in itertools.pairwise(writes):
        if write.fence < before.fence:
            yield f"an older write was accepted: {write} after {before}"
    for write in writes:
        if write.fence and owners.setdefault(write.fence, write) != write:
            yield f"two commands have one fence: {owners[write.fence]} and {write}"


def _refused_newest(runs: Sequence[_Run], deeds: Sequence[Deed]) -> Iterator[str]:
    """A store refuses only who has a successor; without a disk for it there may be no fence. A line
    has the time at which its write began; one that was frozen amid it has written before the next."""
    for run, after in itertools.zip_longest(runs, runs[1:]):
        full = any(
            deed.what == "disk-full" and deed.at <= run.start <= deed.until for deed in deeds
        )
        for line, following in itertools.zip_longest(run.lines, run.lines[1:]):
            written_by = line.at if following is None else following.at
            if line.event == "refused" and (after is None or written_by < after.start) and not full:
                yield f"the newest command's write was refused: {line}"
                break


def _leaderless(history: History, runs: Sequence[_Run], promise: Promise) -> Iterator[str]:
    """What a command leaves behind when it ends does not lead."""
    works = [
        line.at
        for run in runs
        for line in itertools.takewhile(lambda line: line.event != "end", run.lines)
        if is_work(line)
    ]
    for calm, slower in history.calm:
        limit = calm + promise.leads_within * slower
        if limit <= history.end and not any(calm < at <= limit for at in works):
            yield f"nobody led within {limit - calm:.0f}s after {calm:.3f}"


def _unexplained(history: History) -> Iterator[str]:
    """A code is explained by what was done to that process, or to its command."""
    for life in history.lives:
        done = [
            deed
            for deed in history.deeds
            if deed.name == life.name and deed.at <= life.end and deed.until >= life.start
        ]
        codes = set().union(*(_CODES.get(deed.what, set()) for deed in done))
        if life.code not in codes:
            yield (
                f"{life.name} ended with {life.code} at {life.end:.3f}, after"
                f" {', '.join(deed.what for deed in done) or 'nothing'}"
            )


def _growing(samples: Sequence[Sample], memory: int = 4_000_000, count: int = 4) -> Iterator[str]:
    """Compare a process in one role with itself, at the end and after it had warmed up."""
    by_life: dict[tuple[str, float, str], list[Sample]] = {}
    for sample in samples:
        by_life.setdefault((sample.name, sample.start, sample.role), []).append(sample)
    for (name, _, role), ones in by_life.items():
        first, last = ones[0], ones[-1]
        if last.memory - first.memory > memory:
            yield (
                f"{name} ({role}) grew from {first.memory / 1e6:.1f} to {last.memory / 1e6:.1f} MB"
                f" in {last.at - first.at:.0f}s"
            )
        if last.descriptors - first.descriptors > count:
            yield (
                f"{name} ({role}) had {first.descriptors} descriptors, and"
                f" {last.descriptors} {last.at - first.at:.0f}s later"
            )
