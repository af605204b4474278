"""A leaderexec around the stamp program, whose leadership is moved by a stand-in elector."""

import os
import subprocess
import time
from pathlib import Path

from timing.baselines import wait_until_asleep
from wire import Wire

START, STOP = "event to exec", "loss to SIGTERM"
_ME, _RIVAL = "app-a", "app-b"
_LAUNCHER = "launcher."
# An announcement that follows the last one at once has no head start.
_APART = 0.02
_STAGES = Path(__file__).with_name("stages.py")


class Wrapped:
    """It runs as users have it, or if `stages` is given, with a clock at each stage."""

    def __init__(self, program: str, stamp: str, stages: Path | None = None) -> None:
        self._wire = Wire(_RIVAL)
        kept = {
            name: text
            for name, text in os.environ.items()
            if not name.startswith(("ELECTOR_", "LEADEREXEC_", "PYTHON"))
        }
        python = str(Path(program).with_name("python"))
        self.process = subprocess.Popen(
            (
                *([program] if stages is None else [python, _STAGES, stages]),
                *("--get-url", self._wire.url, "--identity", _ME, "--poll-interval", "off"),
                # The time from the announcement is measured, not the delay in between.
                *("--takeover-delay", "0s", "--", stamp),
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=kept,
        )
        self._wire.wait_subscribed(1)

    def move(self, what: str) -> tuple[int, int]:
        """Announce this replica (START) or another (STOP); return when, and when the command has
        noticed, in ns."""
        assert self.process.stdout is not None
        announced = self._wire.announce(_ME if what == START else _RIVAL)
        return announced, int(self.process.stdout.readline())

    def wait_until_ready(self) -> None:
        """Wait until the next process was forked ahead of time, and all is asleep."""
        while not all(map(_is_launcher, self._children())):
            time.sleep(0.0005)
        for pid in (*map(int, self._children()), self.process.pid):
            wait_until_asleep(pid)
        time.sleep(_APART)

    def _children(self) -> list[str]:
        pid = self.process.pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split() or [""]

    def close(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.communicate()


def _is_launcher(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().startswith(_LAUNCHER)
    except (FileNotFoundError, ProcessLookupError):
        return False
