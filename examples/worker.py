"""A singleton worker: it knows nothing of leaders, and only has to exit on TERM.

With WORKER_LOG set it appends its starts and ends to that file, with which the demo proves that
two workers never ran at once.
"""

import os
import signal
import sys
import time
from types import FrameType


def note(event: str) -> None:
    """Append a line to the log: when (seconds since boot), who, and what."""
    path = os.environ.get("WORKER_LOG")
    if path:
        name = os.environ.get("LEADEREXEC_REPLICA", "?")
        line = f"{time.clock_gettime(time.CLOCK_BOOTTIME):.6f} {name} {os.getpid()} {event}\n"
        # One write to a file opened for appending: lines of several workers never mix.
        with open(path, "ab", buffering=0) as log:
            log.write(line.encode())


def stop(_number: int, _frame: FrameType | None) -> None:
    """Finish the work in hand, then end."""
    note("end")
    sys.exit(0)


def main() -> None:
    """Work until ordered to stop."""
    stubborn = os.environ.get("WORKER_IGNORES_TERM") == os.environ.get("LEADEREXEC_TERM", "?")
    signal.signal(signal.SIGTERM, signal.SIG_IGN if stubborn else stop)
    note("start")
    while True:
        note("work")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
