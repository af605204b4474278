"""How long leadership takes to move, with the default times and a real server for each kind.

    python benchmarks/handover.py etcd|redis [--moves 20] [--at-once 5]

From the signal to the leader (TERM: an orderly stop; KILL) to the first line of the next command.
Several elections run at once on one server, each with two replicas.
"""

import argparse
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from etcd_cluster import Etcd
from redis_server import Redis
from support import Wrapper, wait_for

WORKER = ("--", "sh", "-c", "echo up; exec sleep 1000")
PATIENCE = 90.0


@contextmanager
def etcd(folder: Path) -> Iterator[Callable[[str], tuple[str, ...]]]:
    """Three members."""
    with Etcd(folder / "etcd", size=3) as server:
        yield lambda name: ("--etcd", server.urls, "--etcd-key", f"benchmark/{name}")


@contextmanager
def redis(folder: Path) -> Iterator[Callable[[str], tuple[str, ...]]]:
    """One server, which writes nothing to disk."""
    with Redis(folder / "redis") as server:

        def words(name: str) -> tuple[str, ...]:
            server.free(f"benchmark:{name}")
            return ("--redis", server.url, "--redis-key", f"benchmark:{name}")

        yield words


SERVERS = {"etcd": etcd, "redis": redis}


class Replica:
    """One leaderexec, and when its command was up."""

    def __init__(self, words: tuple[str, ...], environ: dict[str, str]) -> None:
        self.wrapper = Wrapper(["--log-format", "json", *words, *WORKER], environ)
        self.up_at: float | None = None
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        wait_for(lambda: "up" in self.wrapper.out or self.wrapper.process.poll() is not None,
                 patience=10 * PATIENCE)  # fmt: skip
        self.up_at = time.monotonic() if "up" in self.wrapper.out else None

    def up(self) -> float:
        """Wait until its command is up; return the time."""
        wait_for(lambda: self.up_at is not None, "the command to be up", PATIENCE)
        assert self.up_at is not None
        return self.up_at


def move(words: tuple[str, ...], number: int, environ: dict[str, str], moves: int) -> list[float]:
    """Stop the leader this many times; return the seconds of each move."""
    found = []
    leader = Replica((*words, "--identity", "first"), environ)
    leader.up()
    for count in range(moves):
        follower = Replica((*words, "--identity", f"follower-{count}"), environ)
        follower.wrapper.log("leadership confirmed")
        begun = time.monotonic()
        leader.wrapper.send(number)
        found.append(follower.up() - begun)
        leader.wrapper.process.wait()
        leader = follower
    leader.wrapper.close()
    return found


def moves(
    words: Callable[[str], tuple[str, ...]],
    number: signal.Signals,
    environ: dict[str, str],
    each: int,
    at_once: int,
) -> list[float]:
    """Do that in this many elections at once."""
    found: list[float] = []

    def one(name: str) -> None:
        found.extend(move(words(name), number, environ, each))

    threads = [
        threading.Thread(target=one, args=(f"{number.name}-{count}",)) for count in range(at_once)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def main() -> None:
    """Measure, and print a row for the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=SERVERS)
    parser.add_argument("--moves", type=int, default=20)
    parser.add_argument("--at-once", type=int, default=5)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="lx") as folder,
        SERVERS[given.kind](Path(folder)) as words,
    ):
        runtime = Path(folder) / "run"
        runtime.mkdir()
        environ = {**os.environ, "XDG_RUNTIME_DIR": str(runtime)}
        for number in (signal.SIGTERM, signal.SIGKILL):
            # Moves of milliseconds are measured undisturbed.
            at_once = 1 if number == signal.SIGTERM else given.at_once
            found = moves(words, number, environ, -(-given.moves // at_once), at_once)
            print(
                f"{given.kind} {number.name}: median {statistics.median(found):.3f} s,"
                f" {min(found):.3f} to {max(found):.3f}, n {len(found)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
