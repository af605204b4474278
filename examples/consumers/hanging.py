"""Process the files of a directory, one after the other; a leader that hangs loses the lead.

    leaderexec --unhealthy abdicate --health-file /tmp/alive -- python hanging.py queue /tmp/alive

The loop that does the work writes the health file itself, so that the file proves that it works:
a thread that responds to a probe would live on while the work hangs. No job may take longer than
--health-interval, 10s by default.

A job is renamed before it is processed, and removed afterwards. The job that a leader was
processing when it was stopped stays behind under that name, and is not retried: it may be what
makes every leader hang.
"""

import os
import sys
import time
from pathlib import Path


def work(job: Path) -> None:
    """Do the work; a job may ask to wait for a response that never comes."""
    if job.read_text().strip() == "hang":
        receiving, _sending = os.pipe()
        os.read(receiving, 1)
    print(f"done: {job.stem}", flush=True)


def main(queue: Path, alive: Path) -> None:
    """Work until told to stop."""
    while True:
        alive.write_text("")
        waiting = sorted(queue.glob("*.job"))
        if not waiting:
            time.sleep(0.1)
            continue
        taken = waiting[0].rename(waiting[0].with_suffix(".taken"))
        work(taken)
        taken.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
