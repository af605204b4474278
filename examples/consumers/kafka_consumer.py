"""The only consumer of a Kafka topic, so that the records of all partitions are handled in turn.
One that hangs loses the lead. Needs kafka-python.

    leaderexec --unhealthy abdicate --health-file /tmp/alive -- python kafka_consumer.py /tmp/alive

Kafka takes the partitions from a consumer that has not polled for max.poll.interval.ms, and gives
them to another one of its group; but here no other one runs. So the loop writes the health file
after each poll and each record. A poll or a record that takes longer than --health-interval (10s)
fails a check; after --health-threshold (3) failures in a row leaderexec stops the command and
releases leadership. (With an elector it exits with 123 instead: only the elector can move it.)

Offsets are committed after the records were handled: the next leader handles again what was not.
"""

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from kafka import KafkaConsumer  # type: ignore[import-not-found]

_stopping = False


def stop(_number: int, _frame: FrameType | None) -> None:
    """Let the records in hand be finished; leaderexec's grace period is the limit."""
    global _stopping  # noqa: PLW0603 - a signal handler has no other way
    _stopping = True


def handle(record: Any) -> None:
    """Do the work. If the process dies here, the next leader gets the record again."""
    print(f"handled {record.value.decode()}", flush=True)


def consume(consumer: Any, alive: Path) -> None:
    """Handle records until ordered to stop."""
    while not _stopping:
        found = consumer.poll(timeout_ms=1000, max_records=10)
        alive.write_text("")
        for records in found.values():
            for record in records:
                handle(record)
                alive.write_text("")
        if found:
            consumer.commit()


def main(alive: Path) -> None:
    """Connect, and consume."""
    signal.signal(signal.SIGTERM, stop)
    consumer = KafkaConsumer(
        os.environ.get("KAFKA_TOPIC", "orders"),
        bootstrap_servers=os.environ.get("KAFKA_BROKERS", "localhost:9092").split(","),
        group_id="singleton",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    consume(consumer, alive)
    # So that the next leader gets the partitions at once, not only after session.timeout.ms.
    consumer.close(autocommit=False)
    print("ended, all committed", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
