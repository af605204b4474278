"""A file that only the newest leader can write: `write` refuses an older fence.

    LEADEREXEC_FENCE=7 python file_store.py PATH TEXT

The same on an object store: keep the fence in the object's metadata, read it with the object's
ETag, and write with If-Match: that ETag. If the write is refused (412), start over.
"""

import fcntl
import os
import sys
from pathlib import Path


class Fenced(Exception):
    """A newer leader has written."""


def write(path: Path, text: str, fence: int) -> None:
    """Replace the file's text. Raises Fenced if a greater fence was used before."""
    guard = os.open(path.with_name(f"{path.name}.fence"), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        # Held until the text is in place, so that fence and text change together.
        fcntl.flock(guard, fcntl.LOCK_EX)
        newest = int(os.read(guard, 64) or 0)
        if fence < newest:
            raise Fenced(f"the fence is {fence}, and {newest} has written: another replica leads")
        if fence > newest:
            # Over the old one, which has no more digits: a crash must not leave an empty file, by
            # which an older leader would be let in.
            os.pwrite(guard, str(fence).encode(), 0)
            os.fsync(guard)
        fresh = path.with_name(f"{path.name}.new")
        fresh.write_text(text)
        fresh.replace(path)
    finally:
        os.close(guard)


if __name__ == "__main__":
    try:
        write(Path(sys.argv[1]), sys.argv[2], int(os.environ["LEADEREXEC_FENCE"]))
    except Fenced as error:
        sys.exit(str(error))
