"""What etcd and Redis answer, or whoever else listens at their address."""

import socket
from collections.abc import Iterator
from typing import Any
from unittest import mock

from fuzz.targets.answering import answering
from fuzz.targets.target import Target, check_shown
from redis.connection import UnixDomainSocketConnection

from leaderexec.election.complaints import Trouble
from leaderexec.election.etcd.client import Access, Endpoint
from leaderexec.election.etcd.store import EtcdStore, Topic
from leaderexec.election.redis.store import RedisStore, Releases
from leaderexec.election.redis.target import RedisUrl
from leaderexec.election.store.source import Answer

_ACCESS = Access([Endpoint("localhost", 2379, "", secure=False)], None, "user", str, "leaderexec/a")
_TOPIC = Topic("leaderexec/a/1", 7)
_HEAD = b"HTTP/1.1 %b Said\r\nConnection: close\r\n\r\n%b"
_REDIS = RedisUrl("unix:///run/redis.sock")


def _told(trouble: Trouble) -> None:
    assert trouble.kind
    check_shown(str(trouble), 400)
    check_shown(trouble.remedy, 600)


def _answered(answer: Answer) -> None:
    assert answer.fence is None or answer.fence >= 0
    assert isinstance(answer.holder, str | None)


def _each_has_an_outcome(store: EtcdStore | RedisStore) -> None:
    for step in (store.take, store.renew, store.look, store.take, store.let_go):
        try:
            outcome = step(60.0)
        except Trouble as trouble:
            _told(trouble)
        else:
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
        try:
            list(store.watch(_TOPIC, 60.0).events())
        except Trouble as trouble:
            _told(trouble)


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
        try:
            for _ in Releases(_REDIS, "leaderexec:a", 60.0).events():
                pass
        except Trouble as trouble:
            _told(trouble)


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
