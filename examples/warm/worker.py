"""A worker that takes long to start, and waits warm: it leads within milliseconds.

    leaderexec --warm --lock-file /tmp/my.lock -- python worker.py 2

Before gate.wait() it only prepares itself; nothing that others could see. The number is how many
seconds that takes, in place of imports, models and caches.
"""

import signal
import sys
import time

from leaderexec import gate


def stop(_number: int, _frame: object) -> None:
    """End; what is begun would be finished here."""
    sys.exit(0)


def main(seconds: float) -> None:
    """Prepare, wait, work."""
    signal.signal(signal.SIGTERM, stop)
    time.sleep(seconds)
    print("prepared", flush=True)
    lead = gate.wait()
    print(f"working in term {lead.term}, fence {lead.fence}", flush=True)
    while True:
        time.sleep(1)


if __name__ == "__main__":
    main(float(sys.argv[1]))
