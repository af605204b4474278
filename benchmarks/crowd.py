r"""Many standbys of one leader on one server: what they cost it, and how soon one takes over.

    PYTHONPATH=.:tests python benchmarks/crowd.py --program .venv-bench/bin/leaderexec \
        --kinds etcd redis --standbys 100
    PYTHONPATH=.:tests python benchmarks/crowd.py --kinds redis --standbys 1000 --together 40
    PYTHONPATH=.:tests python benchmarks/crowd.py --kinds etcd --standbys 1000 --together 40 \
        -- --lease-duration 60s --renew-deadline 35s --retry-period 10s

Each standby is a leaderexec with a command; with --together they are the sources of so many of them
in one process each, which send what they would send. A takeover lasts from the order to stop, or
from the SIGKILL, to the first line of the next command, or to the report of the source. With
--together a killed leader takes the other standbys of its process along, and they are replaced.
"""

import argparse
import os
import queue
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from crowding.engines import Engine, running

STANDBYS = Path(__file__).with_name("crowding") / "standbys.py"
PATIENCE = 120.0
SETTLE = 15.0
# Between moves: more than a source that has released leadership holds off.
APART = 12.0
AT_ONCE = 5
Led = tuple[float, str, "Group"]


class Group:
    """A process with one or several standbys."""

    def __init__(
        self, command: list[str], led: "queue.SimpleQueue[Led]", runtime: str, *, several: bool
    ) -> None:
        clean = {key: text for key, text in os.environ.items() if not key.startswith("LEADEREXEC")}
        self._several = several
        self._led = led
        self.ready = threading.Event()
        self.process = subprocess.Popen(
            command,
            env={**clean, "XDG_RUNTIME_DIR": runtime},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("standby-"):
                self._led.put((time.monotonic(), line.strip(), self))
            if line == "ready\n" or '"leadership confirmed"' in line:
                self.ready.set()

    def release(self) -> None:
        """Have the leader in it release leadership."""
        if self._several:
            assert self.process.stdin is not None
            self.process.stdin.write("release\n")
            self.process.stdin.flush()
        else:
            self.process.send_signal(signal.SIGTERM)

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()


class Crowd:
    """All replicas of one election."""

    def __init__(
        self, engine: Engine, program: str, together: int, runtime: str, options: list[str]
    ) -> None:
        self._engine = engine
        self._words = [*engine.words, *options]
        self._program = program
        self._together = together
        self._runtime = runtime
        self._count = 0
        self._led: queue.SimpleQueue[Led] = queue.SimpleQueue()
        self.groups: list[Group] = []

    def add(self) -> Group:
        """Start another process."""
        first, self._count = self._count, self._count + max(1, self._together)
        words = self._words
        if self._together:
            several = [str(first), str(self._together)]
            command = [sys.executable, str(STANDBYS), *several, *words]
        else:
            says = 'echo "$LEADEREXEC_REPLICA"; exec sleep 1000'
            name = ["--identity", f"standby-{first}", "--log-format", "json"]
            command = [self._program, *words, *name, "--", "sh", "-c", says]
        group = Group(command, self._led, self._runtime, several=bool(self._together))
        self.groups.append(group)
        return group

    def leader(self) -> tuple[float, Group]:
        """Wait until one leads; return since when."""
        since, _, group = self._led.get(timeout=PATIENCE)
        return since, group

    def fill(self, standbys: int) -> None:
        """Start as many as are missing, a few at a time, and wait until all know the leader."""
        while len(self.groups) * max(1, self._together) <= standbys:
            added = [self.add() for _ in range(AT_ONCE)]
            for group in added:
                assert group.ready.wait(PATIENCE)

    def move(self, act: Callable[[Group], None], leader: Group) -> tuple[float, Group]:
        """Do this to the leader; return how long it takes until another leads, and which."""
        while not self._led.empty():
            self._led.get()
        began = time.monotonic()
        act(leader)
        since, group = self.leader()
        return since - began, group

    def name(self) -> float:
        """Have the server name another leader; return how long it takes until that one knows."""
        name = f"standby-{random.randrange(self._count)}"
        began = time.monotonic()
        self._engine.lead(name)
        return self.leader()[0] - began

    def end(self) -> None:
        """Kill all of it."""
        for group in self.groups:
            group.end()

    def replace_ended(self) -> None:
        """Replace processes that have exited, or are about to."""
        for group in [one for one in self.groups if one.process.poll() is not None]:
            self.groups.remove(group)
            assert self.add().ready.wait(PATIENCE)


def seconds(samples: list[float]) -> str:
    """Return median, worst and number."""
    return (
        f"{statistics.median(samples):.3f} s ({max(samples):.3f}, {len(samples)})"
        if samples
        else ""
    )


def measure(kind: str, arguments: argparse.Namespace, folder: Path) -> None:
    """Print a row."""
    with ExitStack() as stack:
        size = arguments.standbys + 2 * max(1, arguments.together)
        engine = stack.enter_context(running(kind, folder, size, arguments.apiserver))
        crowd = Crowd(
            *(engine, arguments.program, arguments.together, str(folder), arguments.options)
        )
        stack.callback(crowd.end)
        crowd.add()
        if engine.names_leaders:
            engine.lead("standby-0")
        _, leader = crowd.leader()
        crowd.fill(arguments.standbys)
        time.sleep(SETTLE)
        before = engine.load()
        time.sleep(arguments.seconds)
        after = engine.load()
        released, killed = [], []
        if engine.names_leaders:
            for _ in range(arguments.releases):
                released.append(crowd.name())
                time.sleep(1)
        else:
            for _ in range(arguments.releases):
                took, leader = crowd.move(Group.release, leader)
                released.append(took)
                time.sleep(APART if arguments.together else 2)
                crowd.replace_ended()
            for _ in range(arguments.deaths):
                took, leader = crowd.move(lambda group: group.process.kill(), leader)
                killed.append(took)
                time.sleep(2)
                crowd.replace_ended()
        per_minute = 60 / arguments.seconds
        print(
            f"| `{kind}` | {arguments.standbys} | {(after.busy - before.busy) * per_minute:.1f} s |"
            f" {(after.requests - before.requests) * per_minute:,.0f} | {after.connections} |"
            f" {seconds(released)} | {seconds(killed)} |",
            flush=True,
        )


def main() -> None:
    """Measure each kind in turn."""
    kinds = ("etcd", "redis", "postgres", "lease", "elector")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--program", default=str(Path(sys.executable).with_name("leaderexec")))
    parser.add_argument(
        "--kinds", nargs="+", choices=kinds, default=["etcd", "redis", "postgres", "elector"]
    )
    parser.add_argument("--standbys", type=int, default=100)
    parser.add_argument("--together", type=int, default=0, help="in one process; 0: real ones")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--releases", type=int, default=10)
    parser.add_argument("--deaths", type=int, default=3)
    parser.add_argument("--apiserver", default=os.environ.get("KUBE_APISERVER", ""))
    parser.add_argument("options", nargs="*", help="of each replica, after --")
    arguments = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(
        "| | standbys | the server's CPU a minute | requests a minute | connections |"
        " after a release: median (worst, n) | after a death |\n|---|---|---|---|---|---|---|"
    )
    for kind in arguments.kinds:
        with tempfile.TemporaryDirectory(prefix="crowd", ignore_cleanup_errors=True) as folder:
            measure(kind, arguments, Path(folder))


if __name__ == "__main__":
    main()
