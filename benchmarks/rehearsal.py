"""A bad night, rehearsed: five replicas, one elector, random faults from a printed seed.

Leadership moves and flaps, wrappers are killed (and restarted, as a container runtime would),
workers crash, and the elector fails in every way it can. Afterwards the workers' own log on disk
must show that no two of them overlapped, and after each fault the leader's worker must have
returned. Only then is the exit code 0.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from examples.demo import overlaps, read_log, runs_of
from leaderexec_elector.running import RunningElector

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ("app-a", "app-b", "app-c", "app-d", "app-e")
WORKER = Path(__file__).parents[1] / "examples" / "worker.py"
# If replicas lose contact at different moments, an old leader can notice its loss as late
# as its contact timeout, and then takes its grace: a successor must wait for the sum.
CONTACT_TIMEOUT, GRACE_LOST, MARGIN = 1.2, 0.5, 0.5
TAKEOVER_DELAY = CONTACT_TIMEOUT + GRACE_LOST + MARGIN
# Reconnecting may take up to 5 s, and a restarted wrapper needs to start; a busy machine needs more.
COMES_BACK_WITHIN = 20.0

FAULTS: tuple[tuple[str, dict[str, object]], ...] = (
    ("refuse", {}),
    ("reset", {}),
    ("half-open", {}),
    ("silence", {}),
    ("slow", {"delay": "1ms"}),
    ("garbage", {"kind": "text"}),
    ("garbage", {"kind": "utf8"}),
    ("garbage", {"kind": "name-null"}),
    ("oversized", {"kind": "event", "count": 3}),
    ("oversized", {"kind": "get"}),
    ("redirect", {}),
    ("500", {}),
    ("content-type", {}),
    ("drop-subscriber", {}),
    ("restart", {"for_": "700ms", "empty": "300ms"}),
    ("empty", {}),
    ("truncate", {}),
    ("mixed-newlines", {}),
    ("not-chunked", {}),
    ("split", {}),
)


class Night:
    """The processes, and what happens to them."""

    def __init__(self, elector: RunningElector, folder: Path, chance: random.Random) -> None:
        self.elector = elector
        self.folder = folder
        self.chance = chance
        self.journal = folder / "journal"
        self.journal.touch()
        self.replicas = {name: self.start(name) for name in NAMES}
        self.leader = NAMES[0]
        self.happened: dict[str, int] = {}
        self.slowest = 0.0

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start a replica."""
        clean = {key: text for key, text in os.environ.items() if not key.startswith("LEADEREXEC")}
        settings = {
            "ELECTOR_GET_URL": self.elector.url,
            "LEADEREXEC_IDENTITY": name,
            "LEADEREXEC_POLL_INTERVAL": "300ms",
            "LEADEREXEC_CONTACT_TIMEOUT": f"{CONTACT_TIMEOUT}s",
            "LEADEREXEC_GRACE_LOST": f"{GRACE_LOST}s",
            "LEADEREXEC_TAKEOVER_DELAY": f"{TAKEOVER_DELAY}s",
            "WORKER_LOG": str(self.journal),
        }
        program = Path(sys.executable).with_name("leaderexec")
        with open(self.folder / f"{name}.log", "ab") as log:
            return subprocess.Popen(
                [program, "--", sys.executable, WORKER], env=clean | settings, stderr=log
            )

    def happen(self) -> str:
        """Let one random thing happen; return what it was."""
        choices: tuple[tuple[Callable[[], str], int], ...] = (
            (self.move, 4),
            (self.flap, 2),
            (self.kill_wrapper, 2),
            (self.crash_worker, 2),
            (self.fault, 8),
        )
        actions, weights = zip(*choices, strict=True)
        what: str = self.chance.choices(actions, weights)[0]()
        self.happened[what] = self.happened.get(what, 0) + 1
        return what

    def move(self) -> str:
        """Move leadership."""
        self.leader = self.chance.choice(NAMES)
        self.elector.lead(self.leader)
        return "move"

    def flap(self) -> str:
        """Announce wrong leaders for some milliseconds."""
        names = "/".join(self.chance.sample(NAMES, 3))
        self.leader = self.chance.choice(NAMES)
        self.elector.fault("flap", names=names, gap="10ms", final=self.leader)
        return "flap"

    def kill_wrapper(self) -> str:
        """SIGKILL a wrapper, sometimes the leader's."""
        name = self.chance.choice([self.leader, *NAMES])
        self.replicas[name].kill()
        self.replicas[name].wait()
        return "wrapper killed"

    def crash_worker(self) -> str:
        """SIGKILL the running worker."""
        lines = read_log(self.journal)
        if lines:
            try:
                command = Path(f"/proc/{lines[-1].pid}/cmdline").read_bytes()
                if WORKER.name.encode() in command:
                    os.kill(lines[-1].pid, 9)
            except OSError:
                pass
        return "worker crashed"

    def fault(self) -> str:
        """Let the elector fail for a while, perhaps longer than the contact timeout, and move
        leadership meanwhile."""
        name, settings = self.chance.choice(FAULTS)
        self.elector.fault(name, **settings)
        self.linger(self.chance.uniform(0.1, 2.5))
        if self.chance.choice([True, False]):
            self.move()
            self.linger(self.chance.uniform(0, 1))
        self.elector.clear()
        return name

    def linger(self, seconds: float) -> None:
        """Let time pass, and restart what has exited, as the container runtime would."""
        until = time.monotonic() + seconds
        while True:
            for name, replica in self.replicas.items():
                if replica.poll() is not None:
                    self.replicas[name] = self.start(name)
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.05))

    def comes_back(self) -> bool:
        """Wait for a sign of life of the leader's worker; return whether there was one in time."""
        began = time.monotonic()
        since = time.clock_gettime(time.CLOCK_BOOTTIME)
        while time.monotonic() - began < COMES_BACK_WITHIN:
            self.linger(0.1)
            if any(line.name == self.leader and line.at > since for line in read_log(self.journal)):
                self.slowest = max(self.slowest, time.monotonic() - began)
                return True
        return False

    def close(self) -> None:
        """Stop all replicas."""
        for replica in self.replicas.values():
            replica.terminate()
        for replica in self.replicas.values():
            replica.wait(40)


def main() -> int:
    """Rehearse; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    arguments = parser.parse_args()
    print(f"rehearsing for {arguments.seconds:g}s with --seed {arguments.seed}", flush=True)
    wrong: list[str] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        RunningElector(*NAMES) as elector,
    ):
        night = Night(elector, Path(folder), random.Random(arguments.seed))
        try:
            end = time.monotonic() + arguments.seconds
            while time.monotonic() < end and not wrong:
                happened = [night.happen() for _ in range(night.chance.randint(1, 3))]
                if not night.comes_back():
                    wrong.append(f"{night.leader}'s worker did not come back after {happened}")
        finally:
            night.close()
        runs = runs_of(read_log(night.journal))
        wrong += overlaps(runs)
        if wrong:
            for name in NAMES:
                print(f"--- {name}", (Path(folder) / f"{name}.log").read_text()[-6000:])
    for what, count in sorted(night.happened.items()):
        print(f"  {count:3} x {what}")
    print(f"{len(runs)} workers ran; the slowest came back after {night.slowest:.1f}s")
    for problem in wrong:
        print(f"WRONG: {problem}")
    print("FAILED" if wrong else "no two at once, and the leader's worker always came back")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
