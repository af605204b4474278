"""How long the service is without a worker when leadership moves by PostgreSQL, at the defaults:
from the cause to the new worker's first line, and from the old worker's last."""

import argparse
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from failover import Pair, boottime
from postgresql import PostgreSQL

from examples.demo import overlaps, read_log, runs_of


def replaced(pair: Pair, number: int) -> None:
    """Signal the leader, and start another replica of that name."""
    name = pair.running()
    pair.replicas[name].send_signal(number)
    pair.replicas[name].wait()
    pair.replicas[name] = pair.start(name)


def measure(kind: str, count: int, pair: Pair, cause: Callable[[], None]) -> None:
    """Cause this many moves, and print a row."""
    pair.wait_for_start(0)
    samples = []
    for _ in range(count):
        # A standby has to be waiting already, at a random moment of its retry period.
        time.sleep(2.5 + time.time() % 1)
        began = boottime()
        cause()
        samples.append(pair.wait_for_start(began) - began)
    gaps = [
        after.start - before.end
        for before, after in zip(
            runs_of(read_log(pair.journal)), runs_of(read_log(pair.journal))[1:], strict=False
        )
    ]
    found = overlaps(runs_of(read_log(pair.journal)))
    print(
        f"| {kind} | {statistics.median(samples):.3f} s | {max(samples):.3f} s"
        f" | {statistics.median(gaps):.3f} s | {len(found)} | {len(samples)} |",
        flush=True,
    )


def main() -> None:
    """Measure each form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20)
    arguments = parser.parse_args()
    print(
        "| from the cause to the new worker's first line | median | worst | median from the old"
        " worker's last line | overlaps | n |\n|---|---|---|---|---|---|"
    )
    with PostgreSQL() as server:
        for form in ("advisory", "row"):
            for cause, number in (
                ("ordered to end", signal.SIGTERM),
                ("SIGKILL", signal.SIGKILL),
            ):
                settings = {
                    "LEADEREXEC_POSTGRES": server.url,
                    "LEADEREXEC_POSTGRES_NAME": f"{form}-{cause}",
                    "LEADEREXEC_POSTGRES_LOCK": form,
                    "LEADEREXEC_TAKEOVER_DELAY": "auto",
                }
                with tempfile.TemporaryDirectory() as folder:
                    pair = Pair(Path(folder), settings)
                    try:
                        measure(
                            f"{form}, {cause}",
                            arguments.count,
                            pair,
                            partial(replaced, pair, number),
                        )
                    finally:
                        pair.close()


if __name__ == "__main__":
    main()
