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
    with path.with_name(f"{path.name}.fence").open("a+") as guard:
        # Held until the text is in place, so that fence and text change together.
        fcntl.flock(guard, fcntl.LOCK_EX)
        guard.seek(0)
        newest = int(guard.read() or 0)
        if fence < newest:
            raise Fenced(f"the fence is {fence}, and {newest} has written: another replica leads")
        if fence > newest:
            guard.truncate(0)
            guard.write(str(fence))
            guard.flush()
            os.fsync(guard.fileno())
        fresh = path.with_name(f"{path.name}.new")
        fresh.write_text(text)
        fresh.replace(path)


if __name__ == "__main__":
    try:
        write(Path(sys.argv[1]), sys.argv[2], int(os.environ["LEADEREXEC_FENCE"]))
    except Fenced as error:
        sys.exit(str(error))
