"""The one consumer of a Redis stream, so that its entries are handled in order.

    leaderexec --takeover-delay 11s -- python redis_stream.py

Entries are acknowledged after they were handled. A new leader takes the old one's name in the
consumer group, so it begins with what that one had read and not acknowledged: every entry is
handled at least once, and in order. The --takeover-delay (the peers' --grace-lost and a second)
keeps the two from sharing the name when leadership moves.
"""

import os
import signal
from types import FrameType
from typing import Any

import redis

STREAM = os.environ.get("STREAM", "orders")
GROUP = "singleton"
# Not the pod's name: the next leader must find what this one leaves behind.
CONSUMER = "leader"

_stopping = False


def stop(_number: int, _frame: FrameType | None) -> None:
    """Let the entry in hand be finished; leaderexec's grace is the limit."""
    global _stopping  # noqa: PLW0603 - a signal handler has no other way to tell
    _stopping = True


def handle(fields: dict[str, str]) -> None:
    """Do the work. Should the process die in here, the next leader gets the entry again."""
    print(f"handled {fields}", flush=True)


def consume(client: redis.Redis) -> None:
    """Handle entries until ordered to stop."""
    try:
        client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    except redis.ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise
    # First what was read and not acknowledged (from "0"), then what is new (">").
    start = "0"
    while not _stopping:
        # A blocked read is not ended by a signal: its timeout is how late a stop may be noticed.
        answer: Any = client.xreadgroup(GROUP, CONSUMER, {STREAM: start}, count=1, block=1000)
        entries = [entry for _, found in answer for entry in found]
        if not entries:
            start = ">"
        for entry, fields in entries:
            # An entry that was trimmed off the stream before it was acknowledged has none left.
            if fields:
                handle(fields)
            client.xack(STREAM, GROUP, entry)


def main() -> None:
    """Connect, and consume."""
    signal.signal(signal.SIGTERM, stop)
    url = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
    with redis.Redis.from_url(url, decode_responses=True, protocol=2) as client:
        consume(client)
    print("ended, nothing in hand", flush=True)


if __name__ == "__main__":
    main()
