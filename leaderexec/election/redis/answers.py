"""What went wrong with Redis, in words for people."""

from collections.abc import Sequence

from redis import exceptions
from redis.sentinel import MasterNotFoundError

from leaderexec.election.complaints import Trouble

_MOST_WORDS = 300
_COMMANDS = (
    "+eval +evalsha +script|load +get +set +pexpire +pttl +del +incr +time +info +publish"
    " +subscribe"
)
_REPLICA = "it is a replica: name the master in --redis, or the Sentinels"
_PASSWORD = "check the user and the password in --redis"  # noqa: S105 - not one
_READING = "nothing: it is reading its data"
# What an error is, and what that means. The first that fits counts.
_IS: tuple[tuple[tuple[type[Exception], ...], str, str], ...] = (
    ((exceptions.AuthenticationError,), "bad-password", _PASSWORD),
    ((exceptions.BusyLoadingError,), "loading", _READING),
    ((exceptions.ReadOnlyError,), "read-only", _REPLICA),
    (
        (MasterNotFoundError,),
        "no-master",
        "check the service's name in --redis, and ask the Sentinels",
    ),
)
_IS_LAST: tuple[tuple[tuple[type[Exception], ...], str, str], ...] = (
    (
        (exceptions.TimeoutError, TimeoutError),
        "timeout",
        "nothing, if Redis is being restarted; else check what lies between",
    ),
    (
        (exceptions.ConnectionError, OSError),
        "unreachable",
        "nothing, if Redis is being restarted or fails over; else check --redis",
    ),
)
# What an error says, and what that means.
_SAYS = (
    ("NOAUTH", "bad-password", "put USER:PASSWORD@ into --redis"),
    ("WRONGPASS", "bad-password", _PASSWORD),
    ("READONLY", "read-only", _REPLICA),
    ("previous master is now a slave", "read-only", _REPLICA),
    ("NOREPLICAS", "too-few-replicas", "nothing is led so: see its replicas (min-replicas-*)"),
    ("OOM", "out-of-memory", "see maxmemory; an election needs a key of some hundred bytes"),
    ("MISCONF", "cannot-save", "see Redis's log: it can't write to its disk"),
    ("LOADING", "loading", _READING),
    ("BUSY", "busy", "see which script keeps Redis busy"),
    ("MOVED", "in-cluster", "name a Redis that is no member of a cluster: slots are not followed"),
    ("CROSSSLOT", "in-cluster", "name a Redis that is no member of a cluster"),
    ("unknown command", "too-old", "use Redis from 5, or one whose commands are not renamed"),
    ("SSL", "tls", "check ssl_ca_certs in --redis, and the name in Redis's certificate"),
    ("ertificate", "tls", "check ssl_ca_certs in --redis, and the name in Redis's certificate"),
)


def trouble(error: Exception, key: str, secrets: Sequence[str]) -> Trouble:
    """Return what an error of redis-py comes to, without the passwords."""
    said = f"{type(error).__name__}: {error}"
    for secret in secrets:
        said = said.replace(secret, "***")
    kind, remedy = _meaning(error, key)
    return Trouble(kind, said[:_MOST_WORDS], remedy)


def _meaning(error: Exception, key: str) -> tuple[str, str]:
    said = str(error)
    if isinstance(error, exceptions.NoPermissionError) or "NOPERM" in said or "can't run" in said:
        return "forbidden", f"let the user do this: ACL SETUSER USER ~{key}* &{key}* {_COMMANDS}"
    found = [(kind, remedy) for types, kind, remedy in _IS if isinstance(error, types)]
    found += [(kind, remedy) for words, kind, remedy in _SAYS if words in said]
    found += [(kind, remedy) for types, kind, remedy in _IS_LAST if isinstance(error, types)]
    return found[0] if found else ("refused", "check that this is a Redis from 5")
