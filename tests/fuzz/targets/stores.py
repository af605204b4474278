"""What etcd, Redis and PostgreSQL answer, or whoever else listens at their address."""

import math
import socket
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any
from unittest import mock

from fuzz.targets.answering import answering
from fuzz.targets.target import Target, check_shown
from redis.connection import UnixDomainSocketConnection

from leaderexec.election.complaints import Trouble
from leaderexec.election.etcd.client import Access, Endpoint
from leaderexec.election.etcd.store import EtcdStore
from leaderexec.election.postgres import answers as explained
from leaderexec.election.postgres import lock as locks
from leaderexec.election.postgres import row as rows
from leaderexec.election.postgres.campaign import Taken, Times, wait_for_the_old_command
from leaderexec.election.postgres.kind import Target as Server
from leaderexec.election.redis.store import RedisStore, Releases
from leaderexec.election.redis.target import RedisUrl
from leaderexec.election.store.source import Answer

_ACCESS = Access([Endpoint("localhost", 2379, "", secure=False)], None, "user", str, "leaderexec/a")
_TOPIC = "leaderexec/a/1"
_HEAD = b"HTTP/1.1 %b Said\r\nConnection: close\r\n\r\n%b"
_REDIS = RedisUrl("unix:///run/redis.sock")


def _told(trouble: Trouble) -> None:
    assert trouble.kind
    check_shown(str(trouble), 400)
    check_shown(trouble.remedy, 600)


def _answered(answer: Answer) -> None:
    assert answer.fence is None or answer.fence >= 0
    assert answer.free_in is None or math.isfinite(answer.free_in)
    assert isinstance(answer.holder, str | None)


def _outcome(step: Callable[[], object]) -> object:
    """Return what comes of it; None if it ends in words."""
    try:
        return step()
    except Trouble as trouble:
        _told(trouble)
        return None


def _each_has_an_outcome(store: EtcdStore | RedisStore | rows.RowStore) -> None:
    for step in (store.take, store.renew, store.look, store.take, store.let_go):
        outcome = _outcome(lambda step=step: step(60.0))  # type: ignore[misc]
        if isinstance(outcome, Answer):
            _answered(outcome)
    store.close()


def etcd(data: bytes) -> None:
    """Whatever etcd answers, line by line, to a look, a take, a renewal, a release and a watch,
    each has an outcome or ends in words with a remedy."""
    responses = [
        _HEAD % ((line[:3], line[3:]) if line[:3].isdigit() else (b"200", line))
        for line in data.split(b"\n")
    ]
    store = EtcdStore(_ACCESS, "leaderexec/a", "app-a", 22)
    with answering(*responses):
        _each_has_an_outcome(store)
    with answering(b"HTTP/1.1 200 OK\r\n\r\n" + data):
        _outcome(lambda: list(store.watch(_TOPIC, 60.0).events()))


class _ToRedis(socket.socket):
    """One that is connected, and answered at once: what a connection begins with correctly, and the
    first command with the next of the answers, after which it is closed."""

    def __init__(self, answers: Iterator[bytes]) -> None:
        ours, self._theirs = socket.socketpair()
        super().__init__(ours.family, ours.type, fileno=ours.detach())
        self._answers = answers

    def connect(self, _address: object) -> None:
        """Do nothing."""

    def sendall(self, sent: Any, *_: object) -> None:
        """Send, and be answered."""
        said = bytes(sent)
        if b"HELLO" in said:
            self._theirs.sendall(b"%1\r\n$5\r\nproto\r\n:3\r\n")
        elif b"SETINFO" in said:
            self._theirs.sendall(b"+OK\r\n" * said.count(b"SETINFO"))
        else:
            # A subscriber waits for more without sending any more.
            more = self._answers if b"SUBSCRIBE" in said else [next(self._answers, b"")]
            self._theirs.sendall(b"".join(more))
            self._theirs.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close both ends."""
        self._theirs.close()
        super().close()


def redis(data: bytes) -> None:
    """Whatever Redis answers, to a look, a take, a renewal, a release and a subscription, each has
    an outcome or ends in words with a remedy."""
    answers = iter(data.split(b"\n\n"))
    store = RedisStore(_REDIS, "leaderexec:a", "app-a", 22.0, 60.0)

    def connected(_: object) -> _ToRedis:
        return _ToRedis(answers)

    with mock.patch.object(UnixDomainSocketConnection, "_connect", connected):
        _each_has_an_outcome(store)
        _outcome(lambda: list(Releases(_REDIS, "leaderexec:a", 60.0).events()))


_SERVER, _ELECTION = Server("host=localhost"), locks.Name("a")
_TIMES = Times(10.0, 2.0, 11.0)
# What a session for a lock begins with: the version, its mark, and settings.
_BEGUN = (b"170000\tf", b"life", b"set", b"")


class _Session:
    """Answers each query with the next line: rows by bars, values by tabs, NULL by a minus; or with
    an error, by its state and text after an exclamation mark. Before that libpq is at work."""

    def __init__(self, left: Iterator[bytes]) -> None:
        self._left = left

    def ask(self, _statement: str, *_values: str | int, within: float) -> list[tuple[Any, ...]]:
        """Return rows, or raise Trouble."""
        assert within > 0
        line = next(self._left, b"!57P01")
        if line.startswith(b"!"):
            state, text = (part.decode(errors="replace") for part in (line[1:6], line[6:]))
            # The text is shown as the server's own words, whatever they are.
            raise explained.by_state(state, f"ERROR: {text}", over=state.startswith("57"))
        return [
            tuple(None if x == b"-" else x.decode(errors="replace") for x in row.split(b"\t"))
            for row in line.split(b"|")
            if row
        ]

    def close(self) -> None:
        """Do nothing."""


def postgres(data: bytes) -> None:
    """Whatever rows or errors PostgreSQL returns, line by line, each query of a lock and of a row
    has an outcome or ends in words with a remedy."""
    lines = data.split(b"\n")
    left: Iterator[bytes] = chain(_BEGUN, lines)

    def session(*_: object) -> _Session:
        return _Session(left)

    with mock.patch.object(locks, "Session", session), mock.patch.object(rows, "Session", session):
        lock = locks.Lock(_SERVER, _ELECTION, "life", _TIMES, prove_direct=False)
        _outcome(lambda: lock.look(take=True))
        taken = _outcome(lambda: lock.take("app-a"))
        if isinstance(taken, Taken):
            assert 0 <= wait_for_the_old_command(taken, None, _TIMES) < 60
        _outcome(lambda: lock.beat("app-a", 7, 1.0, ready=True))
        _outcome(lambda: lock.release(7, ready=True))
        left = iter(lines)
        _outcome(lambda: locks.who_holds(_SERVER, _ELECTION, _TIMES))
        left = iter(lines)
        _each_has_an_outcome(rows.RowStore(_SERVER, "a", "app-a", "life", 22, 10.0))


TARGETS = {
    "etcd": Target(
        etcd,
        768,
        (
            '{"header":{"cluster_id":"1","revision":"7"}',
            '"kvs":[{"key":"YQ==","value":"YQ==","create_revision":"5","mod_revision":"5"}]',
            '"ID":"7"',
            '"TTL":"22"',
            '"result":{',
            '"responses":[{"response_range":',
            '"succeeded":true',
            '"token":"a"',
            '"error":{"http_code":503,"message":"etcdserver: ',
            '"events":[{}]',
            '"canceled":true',
            "requested lease not found",
            "invalid auth token",
            "authentication is not enabled",
            "503",
            "\n",
        ),
    ),
    "postgres": Target(
        postgres,
        256,
        (
            "\n",
            "\t",
            "|",
            "-",
            "!42P01",
            "!23505",
            "!57P01",
            "170000\tf",
            "life",
            "t\tapp-b\tother",
            "8\t7\tapp-b\tother\tt\t00000001\t1.5\t00000001\t1.5",
            "row\t7\t22\tapp-b\tother\tt\tf",
            "row\t7\t1e999\tapp-b\tother\tf\tf",
            "lock",
        ),
    ),
    "redis": Target(
        redis,
        256,
        (
            "+OK\r\n",
            "\n\n",
            "-ERR unknown command\r\n",
            "-NOSCRIPT No matching script\r\n",
            "*3\r\n",
            ":1\r\n",
            "$5\r\nhello\r\n",
            "$-1\r\n",
            "*-1\r\n",
            "$40\r\n",
            "0123456789abcdef app-b",
        ),
    ),
}
