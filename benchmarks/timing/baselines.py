"""What the same machine needs at the same time for a fork, a spawn, and a signal's own flight."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

BARE = "fork and exec, from a bare Python"
GROWN = "fork and exec, from a grown Python"
SPAWN = "posix_spawn, from a grown Python"
FLIGHT = "kill(2) to the handler"
BASELINES = (BARE, GROWN, SPAWN, FLIGHT)


class Baseline:
    """A Python process that measures one of BASELINES again and again, with the stamp program."""

    def __init__(self, way: str, stamp: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, way, stamp],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def sample(self) -> int:
        """Return one sample, in ns."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def start(stamp: str, way: str) -> int:
    """Return how long a start takes, to the program's first instruction, in ns."""
    read, write = os.pipe()
    began = time.monotonic_ns()
    if way == SPAWN:
        outputs = [(os.POSIX_SPAWN_DUP2, write, 1)]
        pid = os.posix_spawn(stamp, [stamp, "once"], os.environ, file_actions=outputs)
    elif (pid := os.fork()) == 0:
        os.dup2(write, 1)
        os.execv(stamp, [stamp, "once"])
    ran = int(os.read(read, 64))
    os.waitpid(pid, 0)
    os.close(read)
    os.close(write)
    return ran - began


def flight(stamp: str) -> int:
    """Return how long a signal takes to the handler of a program that waits for it, in ns."""
    with subprocess.Popen([stamp], stdout=subprocess.PIPE) as waiting:
        assert waiting.stdout is not None
        waiting.stdout.readline()
        wait_until_asleep(waiting.pid)
        began = time.monotonic_ns()
        os.kill(waiting.pid, signal.SIGTERM)
        return int(waiting.stdout.readline()) - began


def wait_until_asleep(pid: int) -> None:
    """Wait until a process waits for something."""
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
        time.sleep(0.0005)


def main(way: str, stamp: str) -> None:
    """Print one sample for each line of standard input."""
    if way in (GROWN, SPAWN):
        import requests  # noqa: F401 - to be large
        import structlog  # noqa: F401
    for _ in sys.stdin:
        print(flight(stamp) if way == FLIGHT else start(stamp, way), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
