"""How long the service is without a worker, by kind of failover: medians of the gap between the
old worker's end and the new one's start, and of the time from the cause to the new start."""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from examples.demo import read_log
from leaderexec_elector.running import RunningElector

PROGRAM = Path(sys.executable).with_name("leaderexec")
WORKER = Path(__file__).parents[1] / "examples" / "worker.py"
CONTACT_TIMEOUT = 1.0


class Pair:
    """Two replicas and their workers' log."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.journal = folder / "journal"
        self.journal.touch()
        self._settings = settings | {"WORKER_LOG": str(self.journal)}
        self.replicas = {name: self.start(name) for name in ("app-a", "app-b")}

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start a replica."""
        clean = {key: text for key, text in os.environ.items() if not key.startswith("LEADEREXEC")}
        return subprocess.Popen(
            [PROGRAM, "--identity", name, "--", sys.executable, WORKER],
            env=clean | {"LEADEREXEC_TAKEOVER_DELAY": "0s"} | self._settings,
            stderr=subprocess.DEVNULL,
        )

    def wait_for_start(self, since: float) -> float:
        """Return when a worker started after that moment."""
        while True:
            for line in read_log(self.journal):
                if line.event == "start" and line.at > since:
                    return line.at
            time.sleep(0.01)

    def running(self) -> str:
        """Return whose worker wrote last."""
        return read_log(self.journal)[-1].name

    def close(self) -> None:
        """Stop both."""
        for replica in self.replicas.values():
            replica.terminate()
        for replica in self.replicas.values():
            replica.wait()


def boottime() -> float:
    """Return the time on the clock of the workers' log."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def report(kind: str, samples: list[float]) -> None:
    """Print one row."""
    print(
        f"| {kind} | {statistics.median(samples) * 1000:.0f} ms | {max(samples) * 1000:.0f} ms"
        f" | {len(samples)} |",
        flush=True,
    )


def measure(count: int, pair: Pair, cause: Callable[[], None]) -> list[float]:
    """Cause this many failovers; return the seconds from each cause to the new worker's start."""
    pair.wait_for_start(0)
    samples = []
    for _ in range(count):
        time.sleep(0.3)
        began = boottime()
        cause()
        samples.append(pair.wait_for_start(began) - began)
    return samples


def announced(count: int, folder: Path) -> None:
    """Leadership moves by announcement, without a takeover delay."""
    with RunningElector("app-a", "app-b") as elector:
        pair = Pair(folder, {"ELECTOR_GET_URL": elector.url})

        def move() -> None:
            elector.lead("app-b" if elector.state().leader == "app-a" else "app-a")

        report("announced move", measure(count, pair, move))
        pair.close()


def killed(count: int, folder: Path) -> None:
    """The leader gets SIGKILL; the kernel signals its command and passes the lock on."""
    pair = Pair(folder, {"LEADEREXEC_LOCK_FILE": str(folder / "lock")})

    def kill() -> None:
        name = pair.running()
        pair.replicas[name].send_signal(signal.SIGKILL)
        pair.replicas[name].wait()
        pair.replicas[name] = pair.start(name)

    taken = []

    def kill_and_look() -> None:
        kill()
        ended = last_end(pair)
        while (since := lock_taken(folder / "lock")) < ended:
            time.sleep(0.005)
        taken.append(since - ended)

    report("leader SIGKILLed, lock file", measure(count, pair, kill_and_look))
    report("of that: its command's last line to the lock taken", taken)
    pair.close()


def last_end(pair: Pair) -> float:
    """Wait for the end of the worker that wrote last; return its time."""
    while (last := read_log(pair.journal)[-1]).event != "end":
        time.sleep(0.005)
    return last.at


def lock_taken(lock: Path) -> float:
    """Return when the holder took the lock, on the clock of the workers' log."""
    try:
        since = datetime.fromisoformat(json.loads(lock.read_text())["since"]).timestamp()
    except ValueError:
        return 0.0
    return since - time.time() + boottime()


def contact_lost(count: int, folder: Path) -> None:
    """The elector hangs; the command is stopped, and runs again as soon as it answers."""
    with RunningElector("app-a", "app-b") as elector:
        pair = Pair(
            folder,
            {
                "ELECTOR_GET_URL": elector.url,
                "LEADEREXEC_POLL_INTERVAL": "200ms",
                "LEADEREXEC_CONTACT_TIMEOUT": f"{CONTACT_TIMEOUT}s",
            },
        )
        pair.wait_for_start(0)
        stops, starts = [], []
        for _ in range(count):
            time.sleep(0.3)
            began = boottime()
            elector.fault("silence")
            while not any(
                line.event == "end" and line.at > began for line in read_log(pair.journal)
            ):
                time.sleep(0.01)
            stops.append(read_log(pair.journal)[-1].at - began)
            back = boottime()
            elector.clear()
            starts.append(pair.wait_for_start(back) - back)
        report(f"contact lost to stopped (timeout {CONTACT_TIMEOUT:g}s)", stops)
        report("contact regained to started (poll every 200ms)", starts)
        pair.close()


def main() -> None:
    """Measure each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10)
    arguments = parser.parse_args()
    print(
        "| from the cause to the new worker's first line | median | worst | n |\n|---|---|---|---|"
    )
    for kind in (announced, killed, contact_lost):
        with tempfile.TemporaryDirectory() as folder:
            kind(arguments.count, Path(folder))


if __name__ == "__main__":
    main()
