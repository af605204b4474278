"""Elections in real stores, moved by every cause: never two workers, by the workers' own log."""

import random
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from etcd_cluster import Etcd
from redis_server import Redis
from support import Wrapper, wait_for

from examples.demo import overlaps, read_log, runs_of

Start = Callable[..., Wrapper]
WORKER = str(Path(__file__).parents[2] / "examples" / "worker.py")
# 3 + 1 + 1 is less than 6.
SHORT = (
    *("--lease-duration", "6s", "--renew-deadline", "3s", "--retry-period", "300ms"),
    *("--grace-lost", "1s", "--grace", "2s", "--restart", "always"),
)
MOVES = ("end", "kill", "restart", "hang", "end", "kill")


class Store:
    """The servers of an election, and what can happen to them."""

    def __init__(self, words: tuple[str, ...], servers: Etcd | Redis) -> None:
        self.words = words
        self._servers = servers

    @property
    def _nodes(self) -> list[object]:
        return list(self._servers.members) if isinstance(self._servers, Etcd) else [self._servers]

    def each(self, what: str) -> None:
        """Call this method of all the servers."""
        for node in self._nodes:
            getattr(node, what)()

    def ready(self) -> None:
        """Wait until it serves."""
        if isinstance(self._servers, Etcd):
            self._servers.ready()


@contextmanager
def etcd(folder: Path) -> Iterator[Store]:
    """Three members."""
    with Etcd(folder / "etcd", size=3) as servers:
        yield Store(("--etcd", servers.urls, "--etcd-key", "demo"), servers)


@contextmanager
def redis(folder: Path) -> Iterator[Store]:
    """One persistent server; what failovers cost is in docs/redis.md."""
    with Redis(folder / "redis", keeps=True) as server:
        server.free("demo")
        yield Store(("--redis", server.url, "--redis-key", "demo"), server)


class Replicas:
    """The replicas of one election, their workers, and the leader."""

    def __init__(self, start: Start, words: tuple[str, ...], journal: Path) -> None:
        self._start = start
        self._words = (*words, *SHORT)
        self._environ = {"WORKER_LOG": str(journal)}
        self._all: list[Wrapper] = []
        self.journal = journal

    def add(self) -> None:
        """Start another replica."""
        name = f"app-{len(self._all)}"
        words = (*self._words, "--identity", name, "--", sys.executable, WORKER)
        self._all.append(self._start(*words, env=self._environ))

    @property
    def fence(self) -> int:
        """Return the fence of the newest term; 0 before the first."""
        return max((fence for one in self._all for fence in fences(one)), default=0)

    def leader(self) -> Wrapper:
        """Wait for a replica whose command runs."""
        return wait_for(self._leading, "a leader", patience=60)[0]

    def _leading(self) -> list[Wrapper]:
        alive = [one for one in self._all if one.process.poll() is None]
        found = [(one, one.events("transition")) for one in alive]
        return [one for one, told in found if told and told[-1]["to"] == "running"]

    def work(self) -> None:
        """Wait until a worker has done some work."""
        seen = len(read_log(self.journal))
        wait_for(lambda: len(read_log(self.journal)) > seen, "work", patience=60)

    def end(self, number: int) -> None:
        """Send the leader this signal, and wait for another's term, with a greater fence."""
        leader, before = self.leader(), self.fence
        leader.send(number)
        leader.process.wait()
        self.add()
        wait_for(lambda: self.fence > before, "another term", patience=60)

    def close(self) -> None:
        """Stop all replicas; each one's fences have only grown."""
        for one in self._all:
            one.close()
            assert fences(one) == sorted(set(fences(one)))


def fences(wrapper: Wrapper) -> list[int]:
    """Return the fences of a replica's terms."""
    return [line["fence"] for line in wrapper.events("command started")]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", [etcd, redis])
def test_no_two_workers_whatever_moves_leadership(
    leaderexec: Start, tmp_path: Path, kind: Callable[[Path], AbstractContextManager[Store]]
) -> None:
    """An ordered stop, a killed leader, a store that is restarted, and one that hangs beyond the
    deadline, in any order."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    moves = list(MOVES)
    random.Random(seed).shuffle(moves)
    journal = tmp_path / "journal"
    journal.touch()
    with kind(tmp_path) as store:
        replicas = Replicas(leaderexec, store.words, journal)
        for _ in range(3):
            replicas.add()
        for move in moves:
            leader = replicas.leader()
            replicas.work()
            if move in ("end", "kill"):
                replicas.end(signal.SIGTERM if move == "end" else signal.SIGKILL)
            elif move == "restart":
                store.each("kill")
                store.each("start")
                store.ready()
            else:
                ended, before = len(leader.events("command ended")), replicas.fence
                store.each("freeze")
                leader.log("command ended", count=ended + 1)
                store.each("thaw")
                store.ready()
                wait_for(lambda before=before: replicas.fence > before, move, 60)  # type: ignore[misc]
        replicas.work()
        replicas.close()
    assert overlaps(runs_of(read_log(journal))) == [], f"seed {seed}"
