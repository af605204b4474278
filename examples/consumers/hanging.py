"""Work on the files of a folder, one after the other; a leader that hangs loses the lead.

    leaderexec --unhealthy abdicate --health-file /tmp/alive -- python hanging.py queue /tmp/alive

The loop that does the work writes the file that is looked at, so that nothing else can vouch for
it: a thread that answers a probe lives on while the work stands still. No job may take longer than
--health-interval, which is 10s unless it is given.

A job is renamed before it is worked on, and removed after that. What a leader was working on when
it was stopped stays behind under that name, and is not tried again: it may be what makes every
leader hang.
"""

import os
import sys
import time
from pathlib import Path


def work(job: Path) -> None:
    """Do the work; one that says so waits for an answer that never comes."""
    if job.read_text().strip() == "hang":
        receiving, _sending = os.pipe()
        os.read(receiving, 1)
    print(f"done: {job.stem}", flush=True)


def main(queue: Path, alive: Path) -> None:
    """Work until told to end."""
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
