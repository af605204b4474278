"""The one consumer of a Redis stream, in the order of the stream.

    leaderexec --takeover-delay 11s -- python redis_stream.py orders

Where each entry is to be handled once and in order, two consumers at a time are one too many. The
position is kept in Redis with each entry, so that the next leader goes on where this one ended; an
entry that was handled but not noted down is handled again (at least once).

Needs redis-py, and REDIS_URL.
"""

import os
import signal
import sys
import threading
from typing import Any

BLOCK_MILLISECONDS = 500


def consume(redis: Any, stream: str, stop: threading.Event) -> int:
    """Handle entries until told to stop; return how many there were."""
    position_key = f"{stream}:position"
    position = redis.get(position_key) or b"0"
    count = 0
    while not stop.is_set():
        for _, entries in redis.xread({stream: position}, count=10, block=BLOCK_MILLISECONDS) or ():
            for entry, fields in entries:
                handle(entry, fields)
                redis.set(position_key, entry)
                position, count = entry, count + 1
                if stop.is_set():
                    return count
    return count


def handle(entry: bytes, fields: dict[bytes, bytes]) -> None:
    """Do the work: here, tell it."""
    print(
        entry.decode(),
        {name.decode(): value.decode() for name, value in fields.items()},
        flush=True,
    )


def main() -> None:
    """Consume until SIGTERM, which leaderexec sends when leadership is lost."""
    import redis  # type: ignore[import-not-found,unused-ignore]

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    consume(redis.Redis.from_url(os.environ["REDIS_URL"]), sys.argv[1], stop)


if __name__ == "__main__":
    main()
