"""However Redis answers, or what answers in its place, an exchange ends."""

import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from endless import Serve, flood, serving, trickle
from redis_server import Redis

from leaderexec.election.complaints import Trouble
from leaderexec.election.redis import bounded
from leaderexec.election.redis.store import RedisStore, Releases
from leaderexec.election.redis.target import RedisUrl

KEY = "leaderexec:demo"
# How it begins, and how it goes on until the client leaves.
ENDLESS = {
    "a line": (b"+", b"a"),
    "a text": (b"$1000000000\r\n", b"a"),
    "a list": (b"*1000000000\r\n", b"+a\r\n"),
    "nested lists": (b"", b"*1\r\n"),
}
each = pytest.mark.parametrize(("first", "again"), ENDLESS.values(), ids=ENDLESS)


def at(port: int) -> RedisUrl:
    """Return where it is. By the older protocol a connection begins with nothing to be answered."""
    return RedisUrl(f"redis://127.0.0.1:{port}?protocol=2&lib_name=&lib_version=")


def kind_of_trouble(serve: Serve, within: float) -> str:
    """Return what a look ends with that may take so long."""
    with serving(serve) as port:
        store = RedisStore(at(port), KEY, "a", 22.0, within)
        with pytest.raises(Trouble) as caught:
            store.look(1.0)
        store.close()
    return caught.value.kind


@each
def test_an_answer_that_trickles_in_is_given_up(first: bytes, again: bytes) -> None:
    """Its time counts from the question, though each byte arrives within it."""
    assert kind_of_trouble(trickle(first, again), 0.3) == "timeout"


@each
def test_an_answer_without_an_end_is_given_up(first: bytes, again: bytes) -> None:
    """However fast it comes."""
    assert kind_of_trouble(flood(first, again), 20.0) == "broken-answer"


@each
def test_news_without_an_end_are_given_up(first: bytes, again: bytes) -> None:
    """Once the subscription was confirmed."""
    confirmed = f"*3\r\n$9\r\nsubscribe\r\n${len(KEY)}\r\n{KEY}\r\n:1\r\n".encode()
    with serving(flood(confirmed + first, again)) as port, pytest.raises(Trouble) as caught:
        for _ in Releases(at(port), KEY, 20.0).events():
            pass
    assert caught.value.kind == "broken-answer"


def test_a_connection_may_rest_for_longer_than_an_answer_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that was closed meanwhile is replaced, without a word."""
    slept = [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + slept[0])
    monkeypatch.setattr(bounded, "time", clock)
    with Redis(tmp_path / "redis") as server:
        store = RedisStore(RedisUrl(server.url), KEY, "a", 22.0, 60.0)
        assert store.look(1.0) == ""
        slept[0] += 1000
        assert store.look(1.0) == ""
        slept[0] += 1000
        server.ask("CLIENT", "KILL", "TYPE", "normal")
        assert store.look(1.0) == ""
        store.close()
