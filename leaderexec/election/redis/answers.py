"""Errors of Redis, explained for people."""

from redis import exceptions
from redis.sentinel import MasterNotFoundError

from leaderexec.election.complaints import Trouble
from leaderexec.election.redis.sentinels import SentinelsAway, SentinelsRefuse
from leaderexec.election.redis.target import RedisUrl

_MOST_WORDS = 300
_COMMANDS = (
    "+eval +evalsha +script|load +get +set +pexpire +pttl +del +incr +time +info +publish"
    " +subscribe"
)
_REPLICA = "it is a replica: specify the master in --redis, or the Sentinels"
_PASSWORD = "check the user and the password in --redis"  # noqa: S105 - not one
_READING = "nothing: it is loading its data"
# What reading an answer raises, in redis-py and here, if it has another shape.
_BROKEN = (ValueError, TypeError, AttributeError, LookupError, RecursionError)
# Types of errors, and what they mean. The first match counts.
_IS: tuple[tuple[tuple[type[Exception], ...], str, str], ...] = (
    (
        (SentinelsRefuse,),
        "bad-password",
        "check sentinel_username and sentinel_password in --redis",
    ),
    (
        (SentinelsAway,),
        "unreachable",
        "nothing, if the Sentinels are restarting; else check them in --redis",
    ),
    ((exceptions.AuthenticationError,), "bad-password", _PASSWORD),
    ((exceptions.BusyLoadingError,), "loading", _READING),
    ((exceptions.ReadOnlyError,), "read-only", _REPLICA),
    (
        (MasterNotFoundError,),
        "no-master",
        "check the service's name in --redis, and the Sentinels",
    ),
)
_IS_LAST: tuple[tuple[tuple[type[Exception], ...], str, str], ...] = (
    (
        (exceptions.TimeoutError, TimeoutError),
        "timeout",
        "nothing, if Redis is restarting; else check the network in between",
    ),
    (
        (exceptions.ConnectionError, OSError),
        "unreachable",
        "nothing, if Redis is restarting or failing over; else check --redis",
    ),
    ((exceptions.InvalidResponse, *_BROKEN), "broken-answer", "check that this is Redis"),
)
# Texts in errors, and what they mean.
_SAYS = (
    ("NOAUTH", "bad-password", "add USER:PASSWORD@ to --redis"),
    ("WRONGPASS", "bad-password", _PASSWORD),
    ("READONLY", "read-only", _REPLICA),
    ("previous master is now a slave", "read-only", _REPLICA),
    ("NOREPLICAS", "too-few-replicas", "no replica can lead: check Redis's own (min-replicas-*)"),
    ("OOM", "out-of-memory", "check maxmemory; an election needs a key of a few hundred bytes"),
    ("MISCONF", "cannot-save", "check Redis's log: it can't write to its disk"),
    ("LOADING", "loading", _READING),
    ("BUSY", "busy", "find out which script keeps Redis busy"),
    ("MOVED", "in-cluster", "use a Redis that is not part of a cluster: slots are not followed"),
    ("CROSSSLOT", "in-cluster", "use a Redis that is not part of a cluster"),
    ("unknown command", "too-old", "use Redis 5 or newer, with no commands renamed"),
    ("longer than any valid", "broken-answer", "check that this is Redis, and what is in the key"),
    ("SSL", "tls", "check ssl_ca_certs in --redis, and the name in Redis's certificate"),
    ("ertificate", "tls", "check ssl_ca_certs in --redis, and the name in Redis's certificate"),
)


def trouble(error: Exception, key: str, url: RedisUrl) -> Trouble:
    """Return what an error of redis-py means, without the passwords."""
    said = f"{type(error).__name__}: {error}"
    for secret in url.secrets:
        said = said.replace(secret, "***")
    kind, remedy = _meaning(error, key)
    return Trouble(kind, said[:_MOST_WORDS], remedy)


def _meaning(error: Exception, key: str) -> tuple[str, str]:
    said = str(error)
    if isinstance(error, exceptions.NoPermissionError) or "NOPERM" in said or "can't run" in said:
        return (
            "forbidden",
            f"give the user these rights: ACL SETUSER USER ~{key}* &{key}* {_COMMANDS}",
        )
    found = [(kind, remedy) for types, kind, remedy in _IS if isinstance(error, types)]
    found += [(kind, remedy) for words, kind, remedy in _SAYS if words in said]
    found += [(kind, remedy) for types, kind, remedy in _IS_LAST if isinstance(error, types)]
    return found[0] if found else ("refused", "check that this is Redis 5 or newer")
