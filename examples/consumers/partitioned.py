"""Process the files of a directory by several replicas at once, each with its own part of them.

    leaderexec --lock-file /tmp/my.lock --slots 3 -- python partitioned.py queue

The first word of a file's name, such as a customer's, decides whose it is: its checksum modulo the
number of slots. (Python's own hash() of a text differs in each process.) So a customer's files,
alice.1.job and alice.2.job, are processed in order, by one replica at a time.
"""

import sys
import time
from pathlib import Path
from zlib import crc32

from leaderexec import fence, slot, slot_count


def is_ours(job: Path) -> bool:
    """Return whether this replica's slot has this part of the work."""
    return crc32(job.name.partition(".")[0].encode()) % slot_count() == slot()


def work(job: Path) -> None:
    """Do the work. A store would be given the slot and the fence with each write."""
    print(f"done: {job.stem} in slot {slot()}, fence {fence()}", flush=True)
    job.unlink()


def main(queue: Path) -> None:
    """Work until told to stop."""
    print(f"slot {slot()} of {slot_count()}", flush=True)
    while True:
        ours = sorted(filter(is_ours, queue.glob("*.job")))
        for job in ours:
            work(job)
        if not ours:
            time.sleep(0.1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
