"""Three replicas, one worker: leadership moved, a worker that won't stop, a leader killed.

Runs the installed programs: leaderexec-elector, and three replicas of leaderexec with worker.py.
Exits within 30 seconds; the exit code is 0 only if two workers never ran at once and every
leader's worker did run.
"""

import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

BIN = Path(sys.executable).parent
WORKER = Path(__file__).with_name("worker.py")
NAMES = ("app-a", "app-b", "app-c")
GRACE_LOST = 1.0
# The time for the peers' KILL comes on top of their grace period.
TAKEOVER_DELAY = GRACE_LOST + 0.2
PATIENCE = 30.0


class Line(NamedTuple):
    """A line of the workers' log."""

    at: float
    name: str
    pid: int
    event: str


class Run(NamedTuple):
    """One worker's life, from its log: a killed worker's last line is its last sign of life."""

    name: str
    start: float
    end: float


def read_log(path: Path) -> list[Line]:
    """Read what the workers have written."""
    lines = (line.split() for line in path.read_text().splitlines())
    return [Line(float(at), name, int(pid), event) for at, name, pid, event in lines]


def runs_of(lines: Sequence[Line]) -> list[Run]:
    """Group the lines by worker."""
    runs: dict[int, Run] = {}
    for line in lines:
        start = runs[line.pid].start if line.pid in runs else line.at
        runs[line.pid] = Run(line.name, start, line.at)
    return sorted(runs.values(), key=lambda run: run.start)


def overlaps(runs: Sequence[Run]) -> list[str]:
    """Return where a worker started while another one was still working."""
    return [
        f"{later.name} started {earlier.end - later.start:.3f}s before {earlier.name} had ended"
        for earlier, later in itertools.pairwise(runs)
        if later.start < earlier.end
    ]


class Screen:
    """The picture: redrawn on a terminal, one line per change elsewhere."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._colors = self._live and not os.environ.get("NO_COLOR")
        self._began = time.monotonic()
        self._drawn = 0
        self._last = ""

    def show(self, act: str, leader: str, states: dict[str, str]) -> None:
        """Show who leads and whose worker runs."""
        elapsed = time.monotonic() - self._began
        if not self._live:
            line = f"{act}: {leader} leads; " + ", ".join(
                f"{name} {state}" for name, state in states.items()
            )
            if line != self._last:
                print(f"{elapsed:5.1f}s  {line}", flush=True)
                self._last = line
            return
        rows = [
            f"leaderexec demo   {elapsed:4.1f}s",
            f"now: {act}",
            "",
            *(self._row(name, name == leader, state) for name, state in states.items()),
            "",
        ]
        up = f"\x1b[{self._drawn}F" if self._drawn else ""
        sys.stdout.write(up + "".join(f"\x1b[2K{row}\n" for row in rows))
        sys.stdout.flush()
        self._drawn = len(rows)

    def _row(self, name: str, leads: bool, state: str) -> str:  # noqa: FBT001
        crown = "leader " if leads else "       "
        text = f"  {name}   {crown}   {state}"
        color = {"worker runs": "32", "killed": "31", "stopping": "33"}.get(state, "90")
        return f"\x1b[{color}m{text}\x1b[0m" if self._colors else text


class Demo:
    """The processes of the demo and what they do."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "workers.log"
        self._log.touch()
        self._screen = Screen()
        self._leader = NAMES[0]
        self._elector = subprocess.Popen(
            [BIN / "leaderexec-elector", "--listen", "127.0.0.1:0", "--no-keyboard", *NAMES],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        assert self._elector.stdout is not None  # noqa: S101
        self._url = self._elector.stdout.readline().split()[3]
        self._replicas = {name: self._start(name, folder) for name in NAMES}

    def _start(self, name: str, folder: Path) -> subprocess.Popen[bytes]:
        clean = {key: text for key, text in os.environ.items() if not key.startswith("ELECTOR_")}
        settings = {
            "ELECTOR_GET_URL": self._url,
            "LEADEREXEC_IDENTITY": name,
            "LEADEREXEC_GRACE_LOST": f"{GRACE_LOST:g}s",
            "LEADEREXEC_TAKEOVER_DELAY": f"{TAKEOVER_DELAY:g}s",
            "WORKER_LOG": str(self._log),
            # The second time that app-b leads, its worker ignores TERM.
            "WORKER_IGNORES_TERM": "2" if name == "app-b" else "",
        }
        with open(folder / f"{name}.log", "wb") as log:
            return subprocess.Popen(
                [BIN / "leaderexec", "--", sys.executable, WORKER], env=clean | settings, stderr=log
            )

    def play(self) -> list[str]:
        """Play all acts; return the failures."""
        wrong: list[str] = []
        for act, name, before in (
            ("three replicas start", "app-a", None),
            ("leadership moves to app-b", "app-b", None),
            ("leadership moves to app-c", "app-c", None),
            ("leadership moves back to app-b", "app-b", None),
            ("app-b's worker ignores TERM: KILL after the grace", "app-a", None),
            ("the leading replica is SIGKILLed; app-c takes over", "app-c", self._kill_leader),
        ):
            if before is not None:
                before()
            self._move(name)
            began = time.clock_gettime(time.CLOCK_BOOTTIME)
            if not self._wait(lambda name=name, began=began: self._works(name, began), act):  # type: ignore[misc]
                wrong.append(f"{act}: {name}'s worker did not run within {PATIENCE:g}s")
            self._linger(1.0, act)
        runs = runs_of(read_log(self._log))
        print(f"{len(runs)} workers ran:")
        for earlier, later in zip([None, *runs], runs, strict=False):
            gap = f"{later.start - earlier.end:5.2f}s after {earlier.name}" if earlier else ""
            print(f"  {later.name} ran {later.end - later.start:5.2f}s  {gap}")
        return wrong + overlaps(runs)

    def close(self) -> None:
        """Stop everything, cleanly if possible."""
        processes: list[subprocess.Popen[Any]] = [*self._replicas.values(), self._elector]
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._elector.stdout is not None:
            self._elector.stdout.close()

    def _move(self, name: str) -> None:
        self._leader = name
        request = urllib.request.Request(f"{self._url}dev/leader/{name}", method="POST")  # noqa: S310
        with urllib.request.urlopen(request, timeout=PATIENCE):  # noqa: S310 - our own elector
            pass

    def _kill_leader(self) -> None:
        replica = self._replicas[self._leader]
        replica.send_signal(signal.SIGKILL)
        replica.wait()

    def _works(self, name: str, since: float) -> bool:
        return any(line.name == name and line.at > since for line in read_log(self._log))

    def _states(self) -> dict[str, str]:
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        last: dict[str, Line] = {line.name: line for line in read_log(self._log)}
        states = {}
        for name, replica in self._replicas.items():
            line = last.get(name)
            works = line is not None and line.event != "end" and now - line.at < 0.5  # noqa: PLR2004
            if replica.poll() is not None:
                states[name] = "killed"
            elif works:
                states[name] = "worker runs" if name == self._leader else "stopping"
            else:
                states[name] = "taking over" if name == self._leader else "standby"
        return states

    def _wait(self, condition: Callable[[], bool], act: str) -> bool:
        give_up = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > give_up:
                return False
            self._linger(0.05, act)
        return True

    def _linger(self, seconds: float, act: str) -> None:
        until = time.monotonic() + seconds
        while True:
            self._screen.show(act, self._leader, self._states())
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.1))


def main() -> int:
    """Run the demo; return its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        demo = Demo(Path(folder))
        try:
            wrong = demo.play()
        except KeyboardInterrupt:
            return 130
        finally:
            demo.close()
    for problem in wrong:
        print(f"WRONG: {problem}")
    if not wrong:
        print("Never two workers at once, and every leader's worker ran.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
