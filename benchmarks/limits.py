"""From an announcement to the command, and from a loss to its SIGTERM: every one of many moves,
beside what the same machine needs at the same time for a fork, a spawn, and a signal's own flight.

    python benchmarks/limits.py --program .venv-bench/bin/leaderexec --moves 2500 SAMPLES.json
    python benchmarks/limits.py --table SAMPLES.json [SAMPLES.json ...]

A few moves are made on one core, then on two, idle, then beside two processes that only compute,
and so on in turn, with the baselines between a start and its stop: whatever else the machine does
hits all of them alike. With --stages the interpreter of --program runs `stages.py`, which also
says where the time goes. All times are in ns of CLOCK_MONOTONIC.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from wire import Wire

HERE = Path(__file__).parent
ME, RIVAL = "app-a", "app-b"
LAUNCHER = "launcher."
CONDITIONS = tuple((cores, loaded) for cores in (1, 2) for loaded in (False, True))
START, STOP = "event to exec", "loss to SIGTERM"
BARE, GROWN = "fork and exec, from a bare Python", "fork and exec, from a grown Python"
SPAWN, FLIGHT = "posix_spawn, from a grown Python", "kill(2) to the handler"
IN_A_ROW = 25
PERCENTILES = (50, 90, 99, 99.9)

# By condition and by what was measured.
Samples = dict[str, dict[str, list[int]]]
# Under which condition a move was made, to which effect, when it was announced, and when noticed.
Notice = tuple[str, str, int, int]


class Starter:
    """A Python process that starts the stamp program in one way, over and over."""

    def __init__(self, way: str, stamp: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--starter", way, stamp],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def sample(self) -> int:
        """Return one sample."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self.process.communicate()


def serve_samples(way: str, stamp: str) -> None:
    """Be the process of a Starter: print one sample for each line."""
    if way in (GROWN, SPAWN):
        import requests  # noqa: F401 - to be large
        import structlog  # noqa: F401
    for _ in sys.stdin:
        print(flight(stamp) if way == FLIGHT else start(stamp, way), flush=True)


def start(stamp: str, way: str) -> int:
    """Return how long a start takes, to the program's first instruction."""
    read, write = os.pipe()
    began = time.monotonic_ns()
    if way == SPAWN:
        outputs = [(os.POSIX_SPAWN_DUP2, write, 1)]
        pid = os.posix_spawn(stamp, [stamp, "once"], os.environ, file_actions=outputs)
    elif (pid := os.fork()) == 0:
        os.dup2(write, 1)
        os.execv(stamp, [stamp, "once"])
    ran = int(os.read(read, 64))
    os.waitpid(pid, 0)
    os.close(read)
    os.close(write)
    return ran - began


def flight(stamp: str) -> int:
    """Return how long a signal takes to a handler in a program that waits for it."""
    with subprocess.Popen([stamp], stdout=subprocess.PIPE) as waiting:
        assert waiting.stdout is not None
        waiting.stdout.readline()
        wait_until_asleep(waiting.pid)
        began = time.monotonic_ns()
        os.kill(waiting.pid, signal.SIGTERM)
        return int(waiting.stdout.readline()) - began


def _is_launcher(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().startswith(LAUNCHER)
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_asleep(pid: int) -> None:
    """Wait until a process waits for something."""
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
        time.sleep(0.0005)


class Wrapped:
    """A leaderexec around the stamp program, and its elector."""

    def __init__(self, program: str, stamp: str, stages: Path | None, label: str) -> None:
        self.label = label
        self.noticed: list[Notice] = []
        self.wire = Wire(RIVAL)
        kept = {
            name: text
            for name, text in os.environ.items()
            if not name.startswith(("ELECTOR_", "LEADEREXEC_", "PYTHON"))
        }
        python = str(Path(program).with_name("python"))
        self.process = subprocess.Popen(
            (
                *([program] if stages is None else [python, HERE / "stages.py", stages]),
                *("--get-url", self.wire.url, "--identity", ME, "--poll-interval", "off"),
                *("--takeover-delay", "0s", "--", stamp),
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=kept,
        )
        self.wire.wait_subscribed(1)

    def announce(self, leader: str) -> tuple[int, int]:
        """Announce a leader; return when, and when the command said that it noticed."""
        assert self.process.stdout is not None
        announced = self.wire.announce(leader)
        return announced, int(self.process.stdout.readline())

    def wait_until_ready(self) -> None:
        """Wait until the next process was forked ahead of time, and all is asleep."""
        while not all(map(_is_launcher, self._children())):
            time.sleep(0.0005)
        for child in (*self._children(), self.process.pid):
            wait_until_asleep(int(child))

    def _children(self) -> list[str]:
        pid = self.process.pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split() or [""]

    def close(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.communicate()


@contextmanager
def burners() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two processes that only compute, stopped for now."""
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


def measure(
    programs: Sequence[str], stamp: str, moves: int, stages: Path | None
) -> tuple[Samples, list[list[Notice]]]:
    """Make this many moves under each condition; return the samples, and when each move was
    announced and noticed."""
    samples: Samples = defaultdict(lambda: defaultdict(list))
    cores = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        starters = {way: Starter(way, stamp) for way in (BARE, GROWN, SPAWN, FLIGHT)}
        for starter in starters.values():
            stack.callback(starter.close)
        all_wrapped = []
        for number, program in enumerate(programs):
            file = None if stages is None else stages / str(number)
            all_wrapped.append(Wrapped(program, stamp, file, "" if number == 0 else f" ({program})"))
            stack.callback(all_wrapped[-1].close)
        burning = stack.enter_context(burners())
        for wrapped in all_wrapped:
            wrapped.wait_until_ready()
        for done in range(0, moves, IN_A_ROW):
            for count, loaded in CONDITIONS:
                for thread in threads(os.getpid()):
                    os.sched_setaffinity(thread, cores[:count])
                for one in burning:
                    one.send_signal(signal.SIGCONT if loaded else signal.SIGSTOP)
                condition = f"{count} {'cores' if count > 1 else 'core'}"
                condition += ", loaded" if loaded else ", idle"
                found = samples[condition]
                for _ in range(min(IN_A_ROW, moves - done)):
                    for wrapped in all_wrapped:
                        announced, at = wrapped.announce(ME)
                        wrapped.noticed.append((condition, START, announced, at))
                        found[START + wrapped.label].append(at - announced)
                    for way, starter in starters.items():
                        found[way].append(starter.sample())
                    for wrapped in all_wrapped:
                        announced, at = wrapped.announce(RIVAL)
                        wrapped.noticed.append((condition, STOP, announced, at))
                        found[STOP + wrapped.label].append(at - announced)
                        wrapped.wait_until_ready()
    return samples, [wrapped.noticed for wrapped in all_wrapped]


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return a percentile of sorted values."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def print_table(samples: Samples) -> None:
    """Print the percentiles, and medians relative to those of the same run."""
    heads = " | ".join(f"{percent:g} %" for percent in PERCENTILES)
    print(f"| | | {heads} | most | n | of posix_spawn |")
    print("|---|---|" + "---|" * (len(PERCENTILES) + 3))
    for condition, found in samples.items():
        spawn = statistics.median(found[SPAWN])
        for what in sorted(found):
            ordered = sorted(found[what])
            cells = [f"{percentile(ordered, percent) / 1e6:.2f}" for percent in PERCENTILES]
            ratio = statistics.median(ordered) / spawn
            print(
                f"| {condition} | {what} | {' | '.join(cells)} | {ordered[-1] / 1e6:.1f} |"
                f" {len(ordered)} | {ratio:.2f} x |"
            )


def print_stages(noticed: Sequence[tuple[str, str, int, int]], noted: Sequence[tuple[str, int]]) -> None:
    """Print the median of each stage of the moves, in microseconds."""
    ends = ("received", "parsed", "taken", "decided", "written")
    medians: dict[tuple[str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    at = 0
    for condition, what, announced, ended in noticed:
        while noted[at][1] < announced:
            at += 1
        before, step = announced, at
        for end in ends:
            while noted[step][0] != end:
                step += 1
            # Of several decisions, the last one before the act.
            if end == "decided":
                while "written" not in (noted[step + 1][0],):
                    step += 1
            medians[condition, what][end].append(noted[step][1] - before)
            before = noted[step][1]
        medians[condition, what]["effect"].append(ended - before)
        medians[condition, what]["all"].append(ended - announced)
    print("\n| us | | " + " | ".join((*ends, "effect", "all")) + " |")
    print("|---|---|" + "---|" * (len(ends) + 2))
    for (condition, what), found in medians.items():
        cells = [f"{statistics.median(found[end]) / 1e3:.0f}" for end in (*ends, "effect", "all")]
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
    """Measure, or print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--program",
        action="append",
        help="several are measured in alternation",
    )
    parser.add_argument("--moves", type=int, default=250, help="under each of the conditions")
    parser.add_argument("--table", action="store_true", help="only print what the files hold")
    parser.add_argument("--stages", action="store_true", help="say where the time goes, too")
    parser.add_argument("--starter", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("files", type=Path, nargs="*")
    arguments = parser.parse_args()
    if arguments.starter:
        serve_samples(*arguments.starter)
        return
    if arguments.table:
        print_table(merged(arguments.files))
        return
    with tempfile.TemporaryDirectory() as folder:
        stamp = str(Path(folder) / "stamp")
        subprocess.run(["cc", "-static", "-O1", "-o", stamp, HERE / "stamp.c"], check=True)
        stages = Path(folder) if arguments.stages else None
        programs = arguments.program or [str(Path(sys.executable).with_name("leaderexec"))]
        samples, noticed = measure(programs, stamp, arguments.moves, stages)
        print_table(samples)
        if stages is not None:
            for number, ours in enumerate(noticed):
                print_stages(ours, json.loads((stages / str(number)).read_text(encoding="ascii")))
        for file in arguments.files:
            file.write_text(json.dumps(samples), encoding="ascii")


if __name__ == "__main__":
    main()
