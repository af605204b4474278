"""Cold against warm: from an announced move to the first work of a program that takes long to start,
and the memory of a standby.

    python benchmarks/warm.py [--count 10] [--seconds 2]

A Python program that takes this many seconds, and a JVM if there is one, each started once it
leads and with --warm. Without a takeover delay, which is the same for both.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import psutil
from support import Wrapper, wait_for

from leaderexec_elector.running import RunningElector

ME, OTHER = "app-a", "other"
PYTHON = """
import sys, time
from leaderexec import gate
time.sleep(float(sys.argv[1]))
gate.wait()
print(time.clock_gettime_ns(time.CLOCK_MONOTONIC), flush=True)
time.sleep(1000)
"""
# Loads what a small service would, so that there is something to gain. It prints the clock
# that Python reads as well: System.nanoTime() is CLOCK_MONOTONIC.
JAVA = """
import java.nio.file.*;
public class Worker {
    public static void main(String[] arguments) throws Exception {
        var client = java.net.http.HttpClient.newHttpClient();
        var words = java.util.stream.IntStream.range(0, 200_000).boxed()
            .collect(java.util.stream.Collectors.groupingBy(one -> one % 7));
        String gate = System.getenv("LEADEREXEC_GATE");
        if (gate != null) {
            new ProcessBuilder("leaderexec", "--say-ready").inheritIO().start().waitFor();
            if (!Files.readString(Path.of("/dev/fd", gate)).endsWith("\\n")) System.exit(0);
        }
        System.out.println(System.nanoTime());
        System.out.flush();
        Thread.sleep(1_000_000 + words.size() + client.hashCode() % 2);
    }
}
"""


class Program(NamedTuple):
    """What is started, and its name."""

    name: str
    command: tuple[str, ...]


def programs(folder: Path, seconds: float) -> list[Program]:
    """Return the programs that can run on this machine."""
    found = [
        Program(f"Python, {seconds:g} s of start-up", (sys.executable, "-c", PYTHON, str(seconds)))
    ]
    javac, java = shutil.which("javac"), shutil.which("java")
    if javac is not None and java is not None:
        (folder / "Worker.java").write_text(JAVA)
        subprocess.run([javac, "-d", folder, folder / "Worker.java"], check=True)
        found.append(Program("JVM, a small service", (java, "-cp", str(folder), "Worker")))
    return found


class Found(NamedTuple):
    """For each move, the seconds from the announcement to the work, and the resident memory of
    leaderexec and its tree before it, in MB."""

    seconds: list[float]
    resident: list[float]


def resident(pid: int) -> float:
    """Return the resident memory of a process and its descendants, in MB."""
    parent = psutil.Process(pid)
    return sum(one.memory_info().rss for one in (parent, *parent.children(recursive=True))) / 1e6


def measure(program: Program, count: int, *, warm: bool) -> Found:
    """Move leadership here so often."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("LEADEREXEC")}
    clean["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{clean['PATH']}"
    found = Found([], [])
    with RunningElector(OTHER, ME) as elector:
        wrapper = Wrapper(
            [
                *("--log-format", "json", "--identity", ME, "--sse-url", elector.sse_url),
                *("--takeover-delay", "0s", "--poll-interval", "off"),
                *(("--warm",) if warm else ()),
                *("--", *program.command),
            ],
            clean,
        )
        elector.wait_subscribers(1)
        for number in range(1, count + 1):
            if warm:
                wrapper.log("command ready", count=number)
            found.resident.append(resident(wrapper.pid))
            before = len(wrapper.out)
            announced = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            elector.lead(ME)
            wait_for(lambda: len(wrapper.out) > before, "the work")  # noqa: B023 - waits here
            found.seconds.append((int(wrapper.out[-1]) - announced) / 1e9)
            elector.lead(OTHER)
            wrapper.log("transition", count=number, to="standby")
        wrapper.close()
    return found


def main() -> None:
    """Measure each program, cold and warm, and print the rows of the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=2.0)
    given = parser.parse_args()
    print(
        "| from an announced move to the first work | cold, median (worst) | warm | n"
        " | resident on standby, cold | warm |"
    )
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for program in programs(Path(folder), given.seconds):
            both = [measure(program, given.count, warm=warm) for warm in (False, True)]
            moves = [
                f"{statistics.median(one.seconds) * 1000:.0f} ms ({max(one.seconds) * 1000:.0f})"
                for one in both
            ]
            memory = [f"{statistics.median(one.resident):.0f} MB" for one in both]
            cells = [program.name, *moves, str(given.count), *memory]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
