"""``--election redis`` as it is declared: what is accepted, refused, and shown."""

import sys

import pytest
from redis import exceptions
from redis.sentinel import MasterNotFoundError

from leaderexec.config import options
from leaderexec.config.options import UsageError
from leaderexec.config.settings import OPTIONS, Config, load
from leaderexec.election import kind_called
from leaderexec.election.redis.answers import trouble
from leaderexec.election.redis.target import RedisUrl

WORDS = ("--redis", "redis://localhost", "--redis-key", "leaderexec:demo")


def config(*words: str) -> Config:
    """Read a command line."""
    given, _ = options.parse(words, OPTIONS)
    return load(given, ("true",), {}, "host")


def test_the_url_chooses_the_kind() -> None:
    """It needs no takeover delay."""
    found = config(*WORDS)
    assert found.election == "redis"
    assert found.takeover_delay == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--lease-duration", "20s"), r"21s = 10s \(--renew-deadline\) \+ 10s \(--grace-lost\)"),
        (("--retry-period", "9s"), "more than 1.2 x --retry-period"),
        (("--redis-key", "a b"), "without spaces"),
        (("--redis", "localhost:6379"), r"--redis is '\*\*\*'; allowed: redis://"),
        (("--redis", "redis+sentinel://localhost"), "allowed: redis://"),
        (("--redis", "redis+sentinel://u:secret@[::1/x"), r"u:\*\*\*@"),
    ],
)
def test_times_that_do_not_fit_together_are_refused(more: tuple[str, ...], said: str) -> None:
    """The sums are written out, and passwords are not."""
    with pytest.raises(UsageError, match=said) as raised:
        config(*WORDS, *more)
    assert "secret" not in str(raised.value)


def test_an_election_needs_a_name() -> None:
    """Two programs on one Redis must not share an election by accident."""
    with pytest.raises(UsageError, match="--redis-key leaderexec:my-worker"):
        config(*WORDS[:2])


def test_without_redis_py_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra."""
    for name in ("store", "answers"):
        monkeypatch.delitem(sys.modules, f"leaderexec.election.redis.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(UsageError, match=r"pip install 'leaderexec\[redis\]'"):
        kind_called("redis").open(config(*WORDS), lambda _: None, None, lambda: 0.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:1/2", "redis://localhost:1/2"),
        ("redis://:secret@h", "redis://:***@h"),
        ("rediss://u:secr%40et@h?ssl_ca_certs=x", "rediss://u:***@h?ssl_ca_certs=x"),
        ("redis://u:sec/r@et@h", "redis://u:***@h"),
        ("redis://h?password=secret&db=1", "redis://h?password=***&db=1"),
        (
            "redis+sentinel://u:secret@a,b:1/s/2?sentinel_password=secret",
            "redis+sentinel://u:***@a,b:1/s/2?sentinel_password=***",
        ),
        ("secret", "***"),
    ],
)
def test_a_url_is_shown_without_its_passwords(url: str, shown: str) -> None:
    """However they are written."""
    assert str(RedisUrl(url)) == shown
    assert shown in repr(RedisUrl(url))


def test_the_url_of_sentinels_is_parsed() -> None:
    """Its ports, the service, the database, and the master's user."""
    service = RedisUrl("rediss+sentinel://u:p@a,[::1]:7/svc/3?x=y").service()
    assert service is not None
    assert service.sentinels == (("a", 26379), ("::1", 7))
    assert service.name == "svc"
    assert service.url == "rediss://u:p@ignored/3?x=y"
    assert RedisUrl("redis://a/1").service() is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (exceptions.AuthenticationError("no"), "bad-password"),
        (exceptions.ResponseError("NOAUTH Authentication required."), "bad-password"),
        (exceptions.ResponseError("WRONGPASS no"), "bad-password"),
        (exceptions.NoPermissionError("NOPERM"), "forbidden"),
        (exceptions.ResponseError("The user can't run this command"), "forbidden"),
        (exceptions.BusyLoadingError("LOADING"), "loading"),
        (exceptions.ReadOnlyError("READONLY"), "read-only"),
        (exceptions.ConnectionError("The previous master is now a slave"), "read-only"),
        (MasterNotFoundError("No master found for 'x'"), "no-master"),
        (exceptions.ResponseError("NOREPLICAS Not enough"), "too-few-replicas"),
        (exceptions.ResponseError("OOM command not allowed"), "out-of-memory"),
        (exceptions.ResponseError("MISCONF Redis is configured"), "cannot-save"),
        (exceptions.ResponseError("BUSY Redis is busy"), "busy"),
        (exceptions.ResponseError("MOVED 1 h:1"), "in-cluster"),
        (exceptions.ResponseError("unknown command 'EVAL'"), "too-old"),
        (exceptions.ConnectionError("[SSL: WRONG_VERSION_NUMBER]"), "tls"),
        (exceptions.TimeoutError("Timeout reading"), "timeout"),
        (exceptions.ConnectionError("Connection refused"), "unreachable"),
        (exceptions.ResponseError("what"), "refused"),
    ],
)
def test_each_refusal_has_its_kind_and_a_remedy(error: Exception, kind: str) -> None:
    """And no password."""
    found = trouble(error, "k", RedisUrl("redis://:what@localhost"))
    assert found.kind == kind
    assert found.remedy
    assert "what" not in str(found)
