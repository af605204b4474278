"""Three replicas, fifty moves of leadership: never two workers, no term lost, nothing left."""

import random
import sys
from collections.abc import Callable
from pathlib import Path

from support import Wrapper, wait_for

from examples.demo import overlaps, read_log, runs_of
from leaderexec_elector.running import RunningElector

Start = Callable[..., Wrapper]
NAMES = ("app-a", "app-b", "app-c")
MOVES = 50
WORKER = str(Path(__file__).parents[2] / "examples" / "worker.py")


def test_fifty_moves_at_random_intervals(leaderexec: Start, tmp_path: Path) -> None:
    """The takeover delay is longer than the peers' grace, so no two may ever overlap."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    journal = tmp_path / "journal"
    journal.touch()
    with RunningElector(*NAMES) as elector:
        wrappers = {
            name: leaderexec(
                "--sse-url",
                elector.sse_url,
                "--identity",
                name,
                "--grace-lost",
                "200ms",
                "--takeover-delay",
                "300ms",
                "--",
                sys.executable,
                WORKER,
                env={"WORKER_LOG": str(journal)},
            )
            for name in NAMES
        }
        elector.wait_subscribers(len(NAMES))
        name = NAMES[0]
        for _ in range(MOVES):
            name = chance.choice([other for other in NAMES if other != name])
            elector.lead(name)
            if chance.random() < 0.3:
                # Long enough for the worker to come up; otherwise the next move may come first.
                seen = len(read_log(journal))
                wait_for(lambda name=name, seen=seen: works(journal, name, seen), f"{name} to work")  # type: ignore[misc]
            else:
                pause = chance.uniform(0, 0.1)
                wait_until_later(pause)
        seen = len(read_log(journal))
        wait_for(lambda: works(journal, name, seen), f"{name} to work in the end")
        for wrapper in wrappers.values():
            wrapper.close()
    runs = runs_of(read_log(journal))
    assert overlaps(runs) == [], f"seed {seed}"
    started = sum(len(wrapper.events("command started")) for wrapper in wrappers.values())
    assert started >= len(runs) > MOVES / 10, f"seed {seed}"


def works(journal: Path, name: str, seen: int) -> bool:
    """Return whether this replica's worker has written since."""
    return any(line.name == name for line in read_log(journal)[seen:])


def wait_until_later(seconds: float) -> None:
    """Let a random time pass: the point of this test is that moves come at any moment."""
    import time

    until = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() >= until)
