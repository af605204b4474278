"""A long time, and what every process of it used: a leader and a standby with nothing to do, and six
replicas between which leadership moves every second, at the same time.

    make soak SECONDS=3600

Every 10 seconds each process's memory, descriptors, threads, children, CPU time and log are sampled.
The exit code is 0 only if none of these has grown (`soaking.flatness`), and everything has ended as it
should. A file of samples can be judged and drawn again: --judge FILE --picture FILE.
"""

import argparse
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from soaking import drawing
from soaking.flatness import courses, growing, table
from soaking.sampling import Sample
from soaking.scenes import Idle, Moving, Scene

_STEP = 1.0
# So that no sample falls into a move.
_AFTER_A_STEP = 0.7


def soak(scenes: Sequence[Scene], seconds: float, every: float, samples: IO[str]) -> list[str]:
    """Let this much time pass; write samples, and return what went wrong."""
    began = time.monotonic()
    load = []
    stepped = sampled = 0
    wrong: list[str] = []
    while not wrong and (at := time.monotonic() - began) < seconds:
        if at >= stepped * _STEP:
            # A busy machine may take longer than a step for one: then some are left out.
            stepped = int(at / _STEP) + 1
            for scene in scenes:
                scene.step()
            at = time.monotonic() - began
        if at >= sampled * every + _AFTER_A_STEP * _STEP:
            sampled = int(at / every) + 1
            wrong = [problem for scene in scenes for problem in scene.ended()]
            for scene in scenes if not wrong else ():
                for one in scene.sample(at):
                    samples.write(json.dumps(one) + "\n")
            samples.flush()
            load.append(os.getloadavg()[0])
        time.sleep(0.02)
    for scene in scenes:
        wrong += scene.close()
        print(f"{scene.name}: {scene.told()}")
        for event, count in sorted(scene.drain.events.items()):
            print(f"  {count:6} x {event}")
    print(f"load of the machine, median: {statistics.median(load):.1f} on {os.cpu_count()} cores")
    return wrong


def judge(path: Path, picture: Path | None) -> list[str]:
    """Print the table of a file of samples, and draw it; return what has grown."""
    with path.open() as lines:
        found = courses(Sample(*json.loads(line)) for line in lines)
    print(table(found))
    if picture is not None:
        picture.write_text(drawing.svg(found))
    return growing(found)


def main() -> int:
    """Run and judge, or judge only; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default=str(Path(sys.executable).with_name("leaderexec")))
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--every", type=float, default=10, help="seconds between two samples")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--samples", type=Path, default=Path("build/soak.jsonl"))
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--judge", type=Path, metavar="FILE", help="these samples, without a run")
    given = parser.parse_args()
    wrong: list[str] = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if given.judge is None:
        print(f"soaking for {given.seconds:g}s with --seed {given.seed}", flush=True)
        given.samples.parent.mkdir(exist_ok=True)
        with (
            tempfile.TemporaryDirectory(prefix="soak") as folder,
            given.samples.open("w") as samples,
            ExitStack() as stack,
        ):
            scenes = [
                Idle(given.program, Path(folder), stack),
                Moving(given.program, Path(folder), stack, given.seed),
            ]
            wrong = soak(scenes, given.seconds, given.every, samples)
    wrong += judge(given.judge or given.samples, given.picture)
    for problem in wrong:
        print(f"WRONG: {problem}")
    print("FAILED" if wrong else "flat")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
