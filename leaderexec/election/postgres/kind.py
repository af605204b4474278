"""``--election postgres``: an advisory lock of a PostgreSQL server, or a row, as it is declared."""

from leaderexec.config import options
from leaderexec.config.options import Settings, UsageError, option
from leaderexec.election.kind import (
    FROZEN_HOLDER,
    Clock,
    Overlap,
    Put,
    RenewingKind,
    Source,
    overlap,
)
from leaderexec.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leaderexec.config.settings import Config
    from leaderexec.election.postgres.campaign import Times
    from leaderexec.election.postgres.lock import Name
    from leaderexec.logs import Log

_KINDS = ("postgres",)
_HIDDEN = "***"
_WORD = r"('(?:\\.|[^'\\])*'|[^\s']\S*)"


class Target:
    """A connection string. Its string form contains no password."""

    def __init__(self, text: str) -> None:
        self._text = text

    @property
    def conninfo(self) -> str:
        """The value for libpq, including any secrets."""
        if "=" in self._text or _is_url(self._text):
            return self._text
        return f"service={self._text}"

    def __str__(self) -> str:
        if _is_url(self._text):
            return _without_userinfo(self._text)
        import re

        return re.sub(
            rf"(\w*password\s*=\s*){_WORD}", rf"\1{_HIDDEN}", self._text, flags=re.IGNORECASE
        )

    def __repr__(self) -> str:
        return f"Target({str(self)!r})"


def target(text: str) -> Target:
    """Read a connection string. Errors in it are reported when it is used: it may contain a
    password, which no message may repeat."""
    return Target(text)


def _is_url(text: str) -> bool:
    return text.startswith(("postgres://", "postgresql://"))


def _without_userinfo(url: str) -> str:
    """Remove the password; an invalid URL may contain an @ or a / in it."""
    import re

    scheme, _, rest = url.partition("://")
    user, at, place = rest.rpartition("@")
    name, colon, _ = user.partition(":")
    shown = f"{scheme}://{name}{colon and f':{_HIDDEN}'}{at}{place}"
    return re.sub(r"([?&][^=&]*password[^=&]*=)[^&]*", rf"\1{_HIDDEN}", shown, flags=re.IGNORECASE)


class PostgresSettings(Settings):
    """The server, the election, and the form of its lock."""

    postgres: Target | None = option(
        "URL|SERVICE",
        None,
        target,
        "The server, for --election postgres, as libpq takes it: postgresql://user@host/database,"
        " key=value words, or a service's name. libpq's variables, service file and .pgpass are"
        " honoured; put the password there rather than here.",
        options.ELECTION,
        kinds=_KINDS,
    )
    postgres_name: str | None = option(
        "NAME",
        None,
        options.identity,
        "The election's name in that database: replicas that use the same name compete with each"
        " other, and with no others.",
        options.ELECTION,
        kinds=_KINDS,
    )
    postgres_lock: str = option(
        "FORM",
        "advisory",
        options.OneOf("advisory", "row"),
        "advisory: a session-level lock, on a direct connection. row: a row that is renewed, which"
        " works through a pooler in transaction mode. Must be the same on all replicas.",
        options.ELECTION,
        kinds=_KINDS,
    )


class PostgresKind(RenewingKind):
    """Leads while this process holds the lock, or the row. A winner of the lock itself waits if
    the former holder has not recorded that its command had exited."""

    name = "postgres"
    library = "psycopg"
    extra = "postgres"
    leads_when = "this process holds the lock in the PostgreSQL database"
    settings = PostgresSettings
    chosen_by = ("postgres",)
    told_apart_by = ("postgres", "postgres-name")
    ways = "--postgres URL (a PostgreSQL database)"

    def missing(self, source: str) -> str:
        """Name the option."""
        return f"{source} is 'postgres', but no --postgres URL is set (PG* variables never choose)"

    def check(self, config: "Config") -> None:
        """Refuse times under which the old command could still run when another takes over."""
        from leaderexec.election import renewing

        if config.of(PostgresSettings).postgres_name is None:
            raise UsageError(
                "--postgres-name is not set; name the election, the same on all of its replicas"
                " and used by no other: --postgres-name my-worker"
            )
        if _is_row(config):
            renewing.check_duration(config)
        renewing.check_retries(config)

    def overlaps(self, config: "Config") -> tuple[Overlap, ...]:
        """None by normal operation of server and network; those that can't be prevented."""
        causes = [
            overlap(
                config,
                "row-edited",
                "another holder is written into the row by hand",
                ("retry-period", config.retry_period),
                ("grace-lost", config.grace_lost),
            )
            if _is_row(config)
            else overlap(
                config,
                "session-ended",
                "the holder is cut off, and its session is ended meanwhile by hand or by a reset",
                ("renew-deadline", config.renew_deadline),
            ),
            Overlap(
                "split-brain",
                None,
                "a replica is promoted while the old primary keeps serving its clients",
                "fencing off the old primary ends it; check LEADEREXEC_FENCE where it writes",
            ),
            FROZEN_HOLDER,
        ]
        return tuple(causes)

    def startup_fields(self, config: "Config") -> dict[str, object]:
        """Return the server, without a password, and the times."""
        from leaderexec.election import renewing

        ours = config.of(PostgresSettings)
        return {
            "postgres": str(ours.postgres),
            "postgres_name": ours.postgres_name,
            "postgres_lock": ours.postgres_lock,
            **renewing.startup_fields(config),
        }

    def open(self, config: "Config", put: Put, log: "Log", clock: Clock) -> Source:
        """Return the source. Raises UsageError if psycopg is not installed."""
        _need_psycopg()
        if _is_row(config):
            return _row_election(config, put, log, clock)
        from leaderexec.election.postgres.source import PostgresElection

        return PostgresElection(
            config.identity,
            _target(config),
            _name(config),
            _times(config),
            put,
            log,
            clock,
        )

    def holder(self, config: "Config") -> str | None:
        """Query the server once."""
        _need_psycopg()
        from leaderexec.election.postgres import lock, row

        target, name = _target(config), _name(config)
        if _is_row(config):
            return row.who_holds(target, name.election, config.renew_deadline / 2)
        return lock.who_holds(target, name, _times(config))


def _row_election(config: "Config", put: Put, log: "Log", clock: Clock) -> Source:
    import os

    from leaderexec.election.postgres.row import RowStore
    from leaderexec.election.renewing import Terms
    from leaderexec.election.store.campaign import Campaign
    from leaderexec.election.store.source import StoreElection

    life, duration = os.urandom(8).hex(), int(config.lease_duration)
    target, election = _target(config), _name(config).election
    return StoreElection(
        Campaign(config.identity, Terms(config.renew_deadline, config.retry_period)),
        RowStore(target, election, config.identity, life, duration, config.renew_deadline),
        "postgres",
        {"server": str(target), "election": election},
        config.lease_duration,
        put,
        log,
        clock,
    )


def _is_row(config: "Config") -> bool:
    return config.of(PostgresSettings).postgres_lock == "row"


def _target(config: "Config") -> Target:
    found = config.of(PostgresSettings).postgres
    assert found is not None  # noqa: S101 - otherwise this kind was not chosen
    return found


def _name(config: "Config") -> "Name":
    from leaderexec.election.postgres.lock import Name

    return Name(config.of(PostgresSettings).postgres_name or "")


def _times(config: "Config") -> "Times":
    from leaderexec.election.postgres.campaign import Times
    from leaderexec.election.renewing import MARGIN

    return Times(config.renew_deadline, config.retry_period, config.grace_lost + MARGIN)


def _need_psycopg() -> None:
    try:
        import psycopg
    except ImportError as error:
        # Also if it finds no libpq.
        why = str(error).partition("\n")[0]
        raise UsageError(
            "--election postgres needs psycopg 3, which can't be imported here"
            f" ({why}): pip install 'leaderexec[postgres]'"
        ) from None
    del psycopg
