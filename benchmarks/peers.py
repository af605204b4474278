"""What people use today, next to leaderexec: for how long no work is done when the holder is killed
or stopped, and what happens to its command.

    PYTHONPATH=.:tests python benchmarks/peers.py

Two replicas of each wrapper compete, at the wrapper's own defaults, on one machine. The holder is
ended by SIGKILL, or by TERM as a platform does it; its command needs a second to stop. The command's
own log shows for how long both commands ran.
"""

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from etcd_cluster import Etcd
from postgresql import PostgreSQL
from redis_server import Redis

BIN = Path(sys.executable).parent
# Twice as long as every wrapper's own timeout.
PATIENCE = 60.0
# How long an old command is watched next to the new one.
WATCHED = 5.0
WORKER = """
import os, signal, sys, time
log = open(sys.argv[1], "ab", buffering=0)
def note(what):
    log.write(f"{time.monotonic():.3f} {os.getpid()} {what}\\n".encode())
def end(*_):
    until = time.monotonic() + 1
    while time.monotonic() < until:
        note("ends")
        time.sleep(0.05)
    sys.exit()
signal.signal(signal.SIGTERM, end)
while True:
    note("works")
    time.sleep(0.05)
"""
# What many teams write themselves.
ADVISORY_LOCK = """
import signal, subprocess, sys, time
import psycopg
connection = psycopg.connect(sys.argv[1], autocommit=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
while not connection.execute("SELECT pg_try_advisory_lock(4711)").fetchone()[0]:
    time.sleep(1)
command = subprocess.Popen(sys.argv[2:])
signal.signal(signal.SIGTERM, lambda *_: command.terminate())
while command.poll() is None:
    connection.execute("SELECT 1")
    time.sleep(1)
sys.exit(command.returncode)
"""


class Peer(NamedTuple):
    """A wrapper: its name, its lock, and how it starts a command."""

    name: str
    words: Callable[[str], list[str]]
    environ: Mapping[str, str] = {}
    # Each replica's own arguments.
    own: Callable[[str], list[str]] = lambda _: []


class Move(NamedTuple):
    """The result of one move, in seconds; None for what did not happen."""

    rest: float | None
    both_ran: float
    old_lives: bool


class Pair:
    """Two replicas of one wrapper, and their commands' log."""

    def __init__(self, peer: Peer, folder: Path, lock: str) -> None:
        self._peer = peer
        self._log = folder / f"{lock}.log"
        self._log.touch()
        self._lock = lock
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start a replica, in its own process group."""
        clean = {key: text for key, text in os.environ.items() if not key.startswith("LEADEREXEC")}
        words = [*self._peer.words(self._lock), *self._peer.own(name)]
        started = subprocess.Popen(
            [*words, sys.executable, "-ESsc", WORKER, str(self._log)],
            env={**clean, **self._peer.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._started.append(started)
        return started

    def lines(self) -> Iterator[tuple[float, int]]:
        """Yield the times and pids of the commands' lines."""
        for line in self._log.read_text().splitlines():
            words = line.split()
            yield float(words[0]), int(words[1])

    def command(self, beside: int | None = None) -> tuple[float, int] | None:
        """Wait for a command other than `beside`; return its first moment and its pid."""
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            for at, pid in self.lines():
                if pid != beside:
                    return at, pid
            time.sleep(0.02)
        return None

    def move(self, number: int) -> Move:
        """Signal the holder, and watch what follows."""
        holder = self.start("a")
        first = self.command()
        assert first is not None, f"{self._peer.name} starts nothing"
        self.start("b")
        # The standby has to be waiting already, and the phase of its polls must not matter.
        time.sleep(3 + time.time() % 1)
        began = time.monotonic()
        holder.send_signal(number)
        second = self.command(beside=first[1])
        if second is not None:
            time.sleep(WATCHED)
        lives = Path(f"/proc/{first[1]}/cmdline").exists() and bool(
            Path(f"/proc/{first[1]}/cmdline").read_bytes()
        )
        last = max(at for at, pid in self.lines() if pid == first[1])
        if second is None:
            return Move(None, 0.0, lives)
        return Move(second[0] - began, max(0.0, last - second[0]), lives)

    def close(self) -> None:
        """Kill what was started, descendants included."""
        pids = {pid for _, pid in self.lines()}
        for one in self._started:
            with suppress(ProcessLookupError):
                os.killpg(one.pid, signal.SIGKILL)
            one.wait()
        for pid in pids:
            with suppress(ProcessLookupError, FileNotFoundError):
                if str(self._log).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)


def peers(folder: Path, stack: ExitStack) -> list[Peer]:
    """Return the wrappers, each with its server."""
    etcd = stack.enter_context(Etcd(folder / "etcd"))
    redis = stack.enter_context(Redis(folder / "redis"))
    database = stack.enter_context(PostgreSQL())
    ours = str(BIN / "leaderexec")

    def leaderexec(kind: str, *words: str) -> Peer:
        def with_lock(lock: str) -> list[str]:
            return [ours, *(word.replace("LOCK", lock) for word in words)]

        return Peer(f"leaderexec, {kind}", with_lock, own=lambda name: ["--identity", name, "--"])

    return [
        Peer("`flock`", lambda lock: ["flock", str(folder / lock)]),
        Peer("`flock -o`", lambda lock: ["flock", "-o", str(folder / lock)]),
        leaderexec("`file`", "--lock-file", str(folder / "LOCK")),
        Peer(
            "`etcdctl lock`",
            lambda lock: ["etcdctl", "--endpoints", etcd.urls, "lock", lock, "--"],
            {"ETCDCTL_API": "3"},
        ),
        leaderexec("`etcd`", "--etcd", etcd.urls, "--etcd-key", "LOCK"),
        Peer(
            "`single-beat`",
            lambda lock: ["env", f"SINGLE_BEAT_IDENTIFIER={lock}", str(BIN / "single-beat")],
            {"SINGLE_BEAT_REDIS_SERVER": redis.url},
        ),
        leaderexec("`redis`", "--redis", redis.url, "--redis-key", "LOCK"),
        Peer(
            "15 lines with `pg_try_advisory_lock`",
            lambda _: [sys.executable, "-c", ADVISORY_LOCK, database.url],
        ),
        leaderexec("`postgres`", "--postgres", database.url, "--postgres-name", "LOCK"),
    ]


def row(peer: Peer, moves: Mapping[int, list[Move]]) -> str:
    """Format the result."""
    cells = [peer.name]
    for found in (moves[signal.SIGKILL], moves[signal.SIGTERM]):
        rests = [one.rest for one in found if one.rest is not None]
        after = f"{statistics.median(rests):.1f} s ({max(rests):.1f})" if rests else ""
        if len(rests) < len(found):
            after += f" not within {PATIENCE:g} s in {len(found) - len(rests)} of {len(found)}"
        beside = sum(one.both_ran > 0 for one in found)
        lives = sum(one.old_lives for one in found)
        said = [f"runs beside the new one ({beside} of {len(found)})"] if beside else []
        said += [f"is never stopped ({lives} of {len(found)})"] if lives else []
        cells += [after.strip(), ", ".join(said) or "is gone before"]
    return f"| {' | '.join(cells)} |"


def measure(peer: Peer, folder: Path, count: int, rows: dict[str, str]) -> None:
    """Move one wrapper's lock this many times by each cause."""
    moves: dict[int, list[Move]] = {signal.SIGKILL: [], signal.SIGTERM: []}
    for number, found in moves.items():
        for turn in range(count):
            # The hand-made wrapper has one lock; what a kill leaves behind must not hold the next.
            pair = Pair(peer, folder, f"{abs(hash(peer.name))}-{number}-{turn}")
            try:
                found.append(pair.move(number))
            finally:
                pair.close()
    rows[peer.name] = row(peer, moves)


def main() -> None:
    """Measure all of them side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5)
    arguments = parser.parse_args()
    for program in ("flock", "etcdctl", str(BIN / "single-beat")):
        if shutil.which(program) is None:
            sys.exit(f"{program} is missing: util-linux, etcd-client, pip install single-beat")
    with tempfile.TemporaryDirectory(prefix="peers") as name, ExitStack() as stack:
        folder = Path(name)
        compared = peers(folder, stack)
        rows: dict[str, str] = {}
        threads = [
            threading.Thread(target=measure, args=(peer, folder, arguments.count, rows))
            for peer in compared
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    print(
        f"medians (worst) of {arguments.count}\n\n"
        "| | holder killed: the next command starts after | and the old one |"
        " holder ended by TERM: after | and the old one |\n|---|---|---|---|---|"
    )
    for peer in compared:
        print(rows.get(peer.name, f"| {peer.name} | failed, see above | | | |"))


if __name__ == "__main__":
    main()
