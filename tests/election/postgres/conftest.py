"""Servers for the tests of this folder, and the replicas that use them."""

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from postgresql import PostgreSQL, missing
from support import Wrapper, wait_for

from examples.demo import overlaps, read_log, runs_of

ROOT = Path(__file__).parents[3]
_NUMBERS = itertools.count()
# The server ends a silent session after 3 s; 1 + 1 s later the old command is gone.
SHORT = ("--renew-deadline", "2s", "--retry-period", "500ms", "--grace-lost", "1s")


@pytest.fixture(scope="module")
def shared() -> Iterator[PostgreSQL]:
    """A server that no test stops."""
    if (why := missing()) is not None:
        pytest.skip(why)
    with PostgreSQL() as server:
        yield server


@pytest.fixture
def server() -> Iterator[PostgreSQL]:
    """A server for one test."""
    if (why := missing()) is not None:
        pytest.skip(why)
    with PostgreSQL() as running:
        yield running


class Replicas:
    """Replicas of one election, whose workers log their work in one journal."""

    def __init__(self, start: Callable[..., Wrapper], journal: Path) -> None:
        self._start = start
        self.journal = journal
        self.election = f"demo-{next(_NUMBERS)}"
        journal.touch()

    def start(self, name: str, url: str, *more: str) -> Wrapper:
        """Start a replica."""
        words = ("--postgres", url, "--postgres-name", self.election, "--identity", name, *SHORT)
        worker = ("--", sys.executable, str(ROOT / "examples" / "worker.py"))
        return self._start(*words, *more, *worker, env={"WORKER_LOG": str(self.journal)})

    def lead(self, name: str, url: str, *more: str) -> tuple[Wrapper, int]:
        """Start a replica, and wait until its worker works; return its fence, too."""
        wrapper = self.start(name, url, *more)
        return wrapper, self.works(name, wrapper)

    def works(self, name: str, wrapper: Wrapper, term: int = 1) -> int:
        """Wait until its worker of that term works; return the fence."""
        started = wrapper.log("command started", term=term)
        wait_for(lambda: any(line.pid == started["pid"] for line in read_log(self.journal)), name)
        assert isinstance(started["fence"], int)
        return started["fence"]

    def stand_by(self, name: str, url: str, *more: str) -> Wrapper:
        """Start a replica while another leads."""
        wrapper = self.start(name, url, *more)
        wrapper.log("leadership confirmed")
        return wrapper

    def overlaps(self) -> list[str]:
        """Return where two workers worked at once, by their own journal."""
        return overlaps(runs_of(read_log(self.journal)))

    def gap(self) -> float:
        """Return the seconds between the last two workers."""
        *_, before, after = runs_of(read_log(self.journal))
        return after.start - before.end


@pytest.fixture
def replicas(leaderexec: Callable[..., Wrapper], tmp_path: Path) -> Replicas:
    """Replicas of this test's own election."""
    return Replicas(leaderexec, tmp_path / "journal")
