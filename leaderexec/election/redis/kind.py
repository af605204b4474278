"""``--election redis``: a key that expires, as it is declared."""

from leaderexec.config import options
from leaderexec.config.options import Settings, UsageError, option
from leaderexec.election.kind import (
    FROZEN_HOLDER,
    Overlap,
    StoreKind,
    overlap,
)
from leaderexec.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leaderexec.config.settings import Config
    from leaderexec.election.redis.store import RedisStore
    from leaderexec.election.redis.target import RedisUrl

_KINDS = ("redis",)
_LONGEST_KEY = 512
# A request may take this part of the renew deadline, so that one that hangs leaves time for more.
_SHARE = 3


def redis_url(text: str) -> "RedisUrl":
    """Read a URL. Errors in it are reported later: it may contain a password, which no message may
    repeat."""
    from leaderexec.election.redis.target import RedisUrl

    return RedisUrl(text)


def key_name(text: str) -> str:
    """Read the key of an election."""
    if not 0 < len(text) <= _LONGEST_KEY or not text.isprintable() or " " in text:
        raise ValueError(
            f"1 to {_LONGEST_KEY} printable characters without spaces, such as leaderexec:my-worker"
        )
    return text


class RedisSettings(Settings):
    """The election, and where Redis is."""

    redis: "RedisUrl | None" = option(
        "URL",
        None,
        redis_url,
        "The Redis server (5 or newer), for --election redis: redis://HOST[:PORT][/DB], rediss://"
        " for TLS, unix://PATH, or redis+sentinel://HOST[:PORT][,HOST[:PORT]]/SERVICE. Needs"
        " --redis-key, and leaderexec[redis]. If it has a password, use the variable: every user"
        " can read the command line.",
        options.ELECTION,
        kinds=_KINDS,
    )
    redis_key: str | None = option(
        "KEY",
        None,
        key_name,
        "The election's name in Redis, such as leaderexec:my-worker; KEY:fence is its fence"
        " counter.",
        options.ELECTION,
        kinds=_KINDS,
    )


class RedisKind(StoreKind):
    """Leads while the key is ours."""

    name = "redis"
    library = "redis"
    extra = "redis"
    leads_when = "this process holds a key in Redis"
    settings = RedisSettings
    chosen_by = ("redis",)
    told_apart_by = ("redis", "redis-key")
    ways = "--redis URL with --redis-key KEY (a Redis)"

    def missing(self, source: str) -> str:
        """Name the option."""
        return f"{source} is 'redis', but no --redis URL is set"

    def check(self, config: "Config") -> None:
        """Also refuse other settings that don't fit together."""
        from leaderexec.election.redis.target import ALLOWED

        super().check(config)
        settings = config.of(RedisSettings)
        if settings.redis is not None and not settings.redis.is_known:
            raise UsageError(f"--redis is {str(settings.redis)!r}; allowed: {ALLOWED}")
        if settings.redis_key is None:
            raise UsageError(
                "--redis is set, but not --redis-key: name the election, the same on all of its"
                " replicas and used by no other, such as --redis-key leaderexec:my-worker"
            )

    def warnings(self, config: "Config") -> tuple[str, ...]:
        """Warn that it is an efficiency lock."""
        seconds = options.show_duration(config.lease_duration)
        said = (
            "--election redis is an efficiency lock: after a failover of Redis that lost the key,"
            f" two replicas can lead for up to {seconds}; let what the command writes to check"
            " LEADEREXEC_FENCE"
        )
        return (said,)

    def overlaps(self, config: "Config") -> tuple[Overlap, ...]:
        """None by expiry; those that Redis or any election can't prevent."""
        return (
            overlap(
                config,
                "redis-failover",
                "Redis fails over to a replica that had not received the key",
                ("renew-deadline", config.renew_deadline),
                ("grace-lost", config.grace_lost),
            ),
            Overlap(
                "redis-split",
                None,
                "the old leader and the old Redis master are cut off together",
                "the leader still renews there; set min-replicas-to-write in Redis",
            ),
            overlap(
                config,
                "redis-key-lost",
                "the key is deleted or evicted, or Redis's clock is set forward",
                ("retry-period", config.retry_period),
                ("grace-lost", config.grace_lost),
            ),
            FROZEN_HOLDER,
        )

    def startup_fields(self, config: "Config") -> dict[str, object]:
        """Return the URL without a password, the election's key, and the times."""
        from leaderexec.election import renewing

        settings = config.of(RedisSettings)
        return {
            "redis": str(settings.redis),
            "redis_key": settings.redis_key,
            **renewing.startup_fields(config),
        }

    def where(self, config: "Config") -> dict[str, object]:
        """Name the key."""
        return {"key": config.of(RedisSettings).redis_key}

    def store(self, config: "Config") -> "RedisStore":
        """Return the key. Raises UsageError without redis-py, or for a URL that it rejects."""
        return _store(config)


def _store(config: "Config") -> "RedisStore":
    from leaderexec import optional_imports

    # redis-py imports it if it can, for everything imported later.
    optional_imports.allow_ssl()
    settings = config.of(RedisSettings)
    url, key = settings.redis, settings.redis_key
    assert url is not None  # noqa: S101 - the kind was chosen by it
    assert key is not None  # noqa: S101 - checked by check()
    try:
        from leaderexec.election.redis.store import RedisStore
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "redis":
            raise
        raise UsageError(
            "--election redis needs redis-py, which is not installed here:"
            " pip install 'leaderexec[redis]'"
        ) from None
    within = config.renew_deadline / _SHARE
    try:
        return RedisStore(url, key, config.identity, config.lease_duration, within)
    except (ValueError, TypeError, OSError) as error:
        said = str(error)
        for secret in url.secrets:
            said = said.replace(secret, "***")
        raise UsageError(f"--redis is {str(url)!r}, which redis-py rejects: {said}") from None
