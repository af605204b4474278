"""From an announcement to the command, and from a loss to its SIGTERM: each of many moves, beside
what the same machine needs at the same time for a fork, a spawn, and a signal's own flight.

    python benchmarks/limits.py --program .venv-bench/bin/leaderexec --moves 2500 SAMPLES.json
    python benchmarks/limits.py --draw docs/limits.svg SAMPLES.json [SAMPLES.json ...]

A few moves are made on one core, then on two, idle, then beside two processes that only compute,
and so on in turn, with the baselines between each start and its stop: whatever else the machine
does hits all of them alike. Several programs are compared in the same way. With --stages the Python
beside each program runs `timing/stages.py`, and it is printed where the time goes.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from timing.baselines import BASELINES, SPAWN, Baseline
from timing.curves import drawn
from timing.moving_wrapper import START, STOP, Wrapped
from timing.stages import STAGES, Noted, lengths

HERE = Path(__file__).parent
CONDITIONS = {
    "1 core, idle": (1, False),
    "1 core, loaded": (1, True),
    "2 cores, idle": (2, False),
    "2 cores, loaded": (2, True),
}
TITLE = "The share of starts and stops that took at most so long, beside that of a fork and a spawn"
IN_A_ROW = 25
PERCENTILES = (50, 90, 99, 99.9)

# By condition and by what was measured, in ns.
Samples = dict[str, dict[str, list[int]]]
# The same, but when each was announced, and when noticed.
Moves = dict[tuple[str, str], list[tuple[int, int]]]


class Measured:
    """The programs and the baselines, and what was measured of them."""

    def __init__(
        self, programs: Sequence[str], stamp: str, stages: Path | None, stack: ExitStack
    ) -> None:
        """With `stages`: a folder for what is noted of each program."""
        self.samples: Samples = defaultdict(lambda: defaultdict(list))
        self.moves: list[Moves] = [defaultdict(list) for _ in programs]
        self._labels = ["", *[f", {program}" for program in programs[1:]]]
        self._baselines = {way: Baseline(way, stamp) for way in BASELINES}
        self._wrapped = [
            Wrapped(program, stamp, None if stages is None else stages / str(number))
            for number, program in enumerate(programs)
        ]
        for baseline in self._baselines.values():
            stack.callback(baseline.close)
        for wrapped in self._wrapped:
            stack.callback(wrapped.close)
            wrapped.wait_until_ready()

    def round(self, condition: str) -> None:
        """Start and stop each program once, with each baseline in between."""
        found = self.samples[condition]
        self._move(condition, START)
        for way, baseline in self._baselines.items():
            found[way].append(baseline.sample())
        self._move(condition, STOP)
        for wrapped in self._wrapped:
            wrapped.wait_until_ready()

    def _move(self, condition: str, what: str) -> None:
        for wrapped, moves, label in zip(self._wrapped, self.moves, self._labels, strict=True):
            announced, noticed = wrapped.move(what)
            moves[condition, what].append((announced, noticed))
            self.samples[condition][what + label].append(noticed - announced)


@contextmanager
def burners() -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Two processes that only compute, once they are continued."""
    both = [subprocess.Popen([sys.executable, "-Sc", "while True: pass"]) for _ in range(2)]
    try:
        for one in both:
            one.send_signal(signal.SIGSTOP)
        yield both
    finally:
        for one in both:
            one.kill()
            one.wait()


def threads(pid: int) -> Iterator[int]:
    """Yield the threads of a process, and of those that it has started."""
    for name in os.listdir(f"/proc/{pid}/task"):
        yield int(name)
        for child in Path(f"/proc/{pid}/task/{name}/children").read_text().split():
            yield from threads(int(child))


def measure(measured: Measured, count: int) -> None:
    """Make this many moves under each condition."""
    cores = sorted(os.sched_getaffinity(0))
    with burners() as burning:
        for done in range(0, count, IN_A_ROW):
            for condition, (few, loaded) in CONDITIONS.items():
                for thread in threads(os.getpid()):
                    os.sched_setaffinity(thread, cores[:few])
                for one in burning:
                    one.send_signal(signal.SIGCONT if loaded else signal.SIGSTOP)
                for _ in range(min(IN_A_ROW, count - done)):
                    measured.round(condition)
    for thread in threads(os.getpid()):
        os.sched_setaffinity(thread, cores)


def print_table(samples: Samples) -> None:
    """Print percentiles in ms, and medians relative to that of posix_spawn in the same run."""
    heads = " | ".join(f"{percent:g} %" for percent in PERCENTILES)
    print(f"| | | {heads} | worst | n | of posix_spawn |")
    print("|---|---|" + "---|" * (len(PERCENTILES) + 3))
    for condition, found in samples.items():
        spawn = statistics.median(found[SPAWN])
        ours = [what for what in found if what not in BASELINES]
        for what in (*ours, *BASELINES):
            ordered = sorted(found[what])
            at = [min(len(ordered) - 1, int(len(ordered) * each / 100)) for each in PERCENTILES]
            cells = [f"{ordered[place] / 1e6:.2f}" for place in at]
            ratio = statistics.median(ordered) / spawn
            print(
                f"| {condition} | {what} | {' | '.join(cells)} | {ordered[-1] / 1e6:.1f} |"
                f" {len(ordered)} | {ratio:.2f} x |"
            )


def print_stages(moves: Moves, noted: Noted) -> None:
    """Print the median of each stage, in microseconds."""
    heads = (*STAGES, "effect", "all of it")
    print(f"\n| median, us | | {' | '.join(heads)} |")
    print("|---|---|" + "---|" * len(heads))
    for (condition, what), pairs in moves.items():
        rows = []
        for announced, noticed in pairs:
            begin = bisect_left(noted, announced, key=lambda one: one[1])
            stages = lengths(noted[begin : begin + 200], announced)
            rows.append((*stages, noticed - announced - sum(stages), noticed - announced))
        cells = [f"{statistics.median(column) / 1e3:.0f}" for column in zip(*rows, strict=True)]
        print(f"| {condition} | {what} | {' | '.join(cells)} |")


def merged(files: Sequence[Path]) -> Samples:
    """Return the samples of several runs as one."""
    samples: Samples = defaultdict(lambda: defaultdict(list))
    for file in files:
        for condition, found in json.loads(file.read_text(encoding="ascii")).items():
            for what, ns in found.items():
                samples[condition][what] += ns
    return samples


def main() -> None:
    """Measure, or show what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", action="append", help="repeated: compare several")
    parser.add_argument("--moves", type=int, default=250, help="under each condition")
    parser.add_argument("--stages", action="store_true", help="say where the time goes, too")
    parser.add_argument("--draw", type=Path, metavar="SVG", help="measure nothing: draw the files")
    parser.add_argument("samples", type=Path, nargs="*", help="files of samples")
    arguments = parser.parse_args()
    if arguments.draw:
        samples = merged(arguments.samples)
        print_table(samples)
        names = (START, STOP, *BASELINES)
        ordered = {
            condition: {name: found[name] for name in names} for condition, found in samples.items()
        }
        arguments.draw.write_text(drawn(TITLE, ordered, BASELINES), encoding="ascii")
        return
    programs = arguments.program or [str(Path(sys.executable).with_name("leaderexec"))]
    with tempfile.TemporaryDirectory() as folder:
        stamp = str(Path(folder) / "stamp")
        subprocess.run(["cc", "-static", "-O1", "-o", stamp, HERE / "stamp.c"], check=True)
        stages = Path(folder) if arguments.stages else None
        with ExitStack() as stack:
            measured = Measured(programs, stamp, stages, stack)
            measure(measured, arguments.moves)
        print_table(measured.samples)
        if stages is not None:
            for number, moves in enumerate(measured.moves):
                noted = json.loads((stages / str(number)).read_text(encoding="ascii"))
                print_stages(moves, noted)
        for file in arguments.samples:
            file.write_text(json.dumps(measured.samples), encoding="ascii")


if __name__ == "__main__":
    main()
