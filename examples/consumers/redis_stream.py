"""The only consumer of a Redis stream, so that its entries are handled in order.

    leaderexec --takeover-delay 11s -- python redis_stream.py

Entries are acknowledged after they were handled. A new leader uses the old one's name in the
consumer group, so it starts with what that one had read but not acknowledged: every entry is
handled at least once, and in order. The --takeover-delay (the peers' --grace-lost plus one second)
keeps the two from sharing the name when leadership moves.
"""

import os
import signal
from types import FrameType
from typing import Any

import redis

STREAM = os.environ.get("STREAM", "orders")
GROUP = "singleton"
# Not the pod's name: the next leader must find the entries that this one leaves behind.
CONSUMER = "leader"

_stopping = False


def stop(_number: int, _frame: FrameType | None) -> None:
    """Let the current entry be finished; leaderexec's grace period is the limit."""
    global _stopping  # noqa: PLW0603 - a signal handler has no other way
    _stopping = True


def handle(fields: dict[str, str]) -> None:
    """Do the work. If the process dies here, the next leader gets the entry again."""
    print(f"handled {fields}", flush=True)


def consume(client: redis.Redis) -> None:
    """Handle entries until ordered to stop."""
    try:
        client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    except redis.ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise
    # First the entries that were read but not acknowledged (from "0"), then new ones (">").
    start = "0"
    while not _stopping:
        # A signal does not interrupt a blocked read: its timeout limits how late a stop is noticed.
        answer: Any = client.xreadgroup(GROUP, CONSUMER, {STREAM: start}, count=1, block=1000)
        entries = [entry for _, found in answer for entry in found]
        if not entries:
            start = ">"
        for entry, fields in entries:
            # An entry trimmed off the stream before it was acknowledged has no fields left.
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
