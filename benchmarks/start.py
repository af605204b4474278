"""Start-up and memory on every installed Python, next to a bare Python and tini: medians, and
whether the goals are met. Exits with 1 if one is missed.

It installs the program as users have it, compiled and not editable, into a new virtual
environment for each Python. Everything is measured in turns, so that a machine that becomes busier
or slower affects everything alike.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from latency import ME, RIVAL, clean_environment, milliseconds
from wire import Wire

HERE = Path(__file__).parent
ROOT = HERE.parent
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
BARE = "`python -c pass`"
# At most this many times as long as a bare Python of the same version.
ENDED, EXECUTED, SUBSCRIBED = "start to end", "start to the command's exec", "start to subscribed"
GOALS = {ENDED: 5.0, EXECUTED: 3.5, SUBSCRIBED: 8.0}
# Resident memory on standby, with the options that the goal is for; None: shown, without a goal.
MEMORY: dict[tuple[str, ...], float | None] = {
    (): 20.0,
    ("--log-format", "json"): 20.0,
    ("--log-format", "console"): None,
}
MEMORY_ROUNDS = 3
# By then it has polled, and has reached its full size.
SETTLED = 2.5
OFF = ("--election", "off", "--")


class Installed(NamedTuple):
    """The program in a virtual environment; `isolated` is its entry as in the images."""

    version: str
    python: str
    plain: str
    isolated: str


class Row(NamedTuple):
    """One measurement: each call of `sample` is one, in ms. `what` a goal is for."""

    python: str
    what: str
    how: str
    sample: Callable[[], float]


def find_python(version: str) -> str | None:
    """Return a Python of this version, if there is one."""
    finder = ROOT / ".ci" / "find-python"
    if not finder.exists():
        return shutil.which(f"python{version}")
    found = subprocess.run([finder, version], capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


def install(version: str, python: str, folder: Path) -> Installed:
    """Install leaderexec into a new virtual environment, by a current pip: an old one's scripts
    import `re`."""
    subprocess.run([python, "-m", "venv", "--upgrade-deps", folder], check=True)
    own = str(folder / "bin" / "python")
    pip = [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--compile"]
    subprocess.run([*pip, ROOT], check=True, env=with_bytecode())
    plain = folder / "bin" / "leaderexec"
    isolated = plain.with_name("leaderexec-isolated")
    first, _, rest = plain.read_text().partition("\n")
    isolated.write_text(f"{first} -I\n{rest}")
    isolated.chmod(0o755)
    return Installed(version, own, str(plain), str(isolated))


def with_bytecode() -> dict[str, str]:
    """Return our environment, in which Python may write compiled files."""
    return {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def whole(*command: str) -> float:
    """Time a command from start to end."""
    began = time.monotonic_ns()
    subprocess.run(
        command,
        env=clean_environment(),
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return milliseconds(time.monotonic_ns(), began)


def to_exec(*command: str) -> float:
    """Time from the start of an init to the first instruction of the command, which prints it."""
    began = time.monotonic_ns()
    done = subprocess.run(
        command,
        env=clean_environment(),
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    return milliseconds(int(done.stdout), began)


@contextmanager
def standby(
    wire: Wire, program: str, *options: str
) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """Run a replica that does not lead; yield its process, and how long it took to subscribe."""
    before = wire.subscriptions
    began = time.monotonic_ns()
    process = subprocess.Popen(
        [program, "--get-url", wire.url, "--identity", ME, *options, "--", "true"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=clean_environment(),
    )
    try:
        yield process, milliseconds(wire.wait_subscribed(before + 1), began)
    finally:
        process.terminate()
        process.wait()
        wire.hang_up()


def to_subscribed(wire: Wire, program: str) -> float:
    """Time from the start to the request for the stream."""
    with standby(wire, program) as (_, took):
        return took


def rows(installed: list[Installed], stamp: str) -> Iterator[Row]:
    """Yield what is measured."""
    if shutil.which("tini"):
        yield Row("", ENDED, "`tini -- true`", partial(whole, "tini", "--", "true"))
        yield Row("", EXECUTED, "tini", partial(to_exec, "tini", "--", stamp, "once"))
    for one in installed:
        yield Row(one.version, BARE, BARE, partial(whole, one.python, "-c", "pass"))
        for name, program in (("", one.plain), (", isolated (`python -I`)", one.isolated)):
            wire = Wire(RIVAL)
            yield Row(
                one.version,
                ENDED,
                f"`leaderexec --election off -- true`{name}",
                partial(whole, program, *OFF, "true"),
            )
            yield Row(
                one.version,
                EXECUTED,
                f"{EXECUTED}{name}",
                partial(to_exec, program, *OFF, stamp, "once"),
            )
            yield Row(
                one.version,
                SUBSCRIBED,
                f"{SUBSCRIBED}{name}",
                partial(to_subscribed, wire, program),
            )


def measure_times(measured: list[Row], count: int) -> list[str]:
    """Print the medians; return the goals that were missed."""
    # The first run compiles what has not been compiled yet, and reads everything from disk.
    for row in measured:
        row.sample()
    samples: list[list[float]] = [[] for _ in measured]
    for _ in range(count):
        for row, taken in zip(measured, samples, strict=True):
            taken.append(row.sample())
    medians = [statistics.median(taken) for taken in samples]
    pairs = list(zip(measured, medians, strict=True))
    bare = {row.python: median for row, median in pairs if row.what == BARE}
    tini = {row.what: median for row, median in pairs if not row.python}
    print("| Python | what | median | p95 | n | vs. a bare Python | goal | vs. tini |")
    print("|---|---|---|---|---|---|---|---|")
    missed = []
    for row, median, taken in zip(measured, medians, samples, strict=True):
        p95 = sorted(taken)[min(count - 1, int(count * 0.95))]
        goal = GOALS.get(row.what) if row.python else None
        ratio = median / bare[row.python] if row.python else None
        cells = [
            row.python or "-",
            row.how,
            f"{median:.1f} ms",
            f"{p95:.1f} ms",
            str(count),
            f"{ratio:.2f} x" if ratio is not None else "",
            f"{goal:g} x" if goal is not None else "",
            f"{median / tini[row.what]:.1f} x" if row.python and row.what in tini else "",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)
        if goal is not None and ratio is not None and ratio > goal:
            missed.append(
                f"Python {row.python}: {row.how}: {ratio:.2f} x a bare Python, more than {goal:g} x"
            )
    return missed


def measure_memory(installed: list[Installed]) -> list[str]:
    """Print the resident memory on standby; return the goals that were missed."""
    wire = Wire(RIVAL)
    taken: dict[tuple[str, tuple[str, ...]], list[float]] = {}
    for _ in range(MEMORY_ROUNDS):
        with ExitStack() as running:
            started = {}
            for one in installed:
                for options in MEMORY:
                    process, _ = running.enter_context(standby(wire, one.plain, *options))
                    started[one.version, options] = process.pid
            time.sleep(SETTLED)
            for key, pid in started.items():
                taken.setdefault(key, []).append(resident(pid))
    print()
    print("| Python | resident in standby | median | most | n | goal |")
    print("|---|---|---|---|---|---|")
    missed = []
    for (version, options), found in taken.items():
        median, goal = statistics.median(found), MEMORY[options]
        how = f"`{' '.join(options)}`" if options else "by default, off a terminal"
        wanted = f"{goal:g} MB" if goal is not None else ""
        print(
            f"| {version} | {how} | {median:.1f} MB | {max(found):.1f} MB | {len(found)} | {wanted} |"
        )
        if goal is not None and median > goal:
            missed.append(f"Python {version}: {how}: {median:.1f} MB, more than {goal:g} MB")
    return missed


def resident(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) / 1024


def main() -> int:
    """Measure everything; print the missed goals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=40, help="runs of each, after one to warm up")
    parser.add_argument("--python", action="append", metavar="VERSION", help=f"of {VERSIONS}")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        stamp = str(folder / "stamp")
        subprocess.run(["cc", "-static", "-O1", "-o", stamp, HERE / "stamp.c"], check=True)
        installed = []
        for version in arguments.python or VERSIONS:
            python = find_python(version)
            if python is None:
                print(f"no Python {version} here", file=sys.stderr)
                continue
            installed.append(install(version, python, folder / version))
        if not installed:
            print("none of these Pythons is here: nothing was measured", file=sys.stderr)
            return 1
        missed = measure_times(list(rows(installed, stamp)), arguments.n)
        missed += measure_memory(installed)
    print()
    for one in missed:
        print(f"missed: {one}")
    print("every goal is met" if not missed else f"{len(missed)} goals are missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
