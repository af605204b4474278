"""Errors of a PostgreSQL server, explained for people. Pure."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from leaderexec.election.complaints import Trouble

TABLE = "leaderexec"
# In one line, for the log and the terminal.
CREATE = (
    f"CREATE TABLE {TABLE} (election text PRIMARY KEY, form text NOT NULL, fence bigint NOT NULL,"
    " version bigint NOT NULL, seconds integer NOT NULL, holder text NOT NULL, life text NOT NULL,"
    " released boolean NOT NULL, timeline text NOT NULL, started text NOT NULL,"
    " heartbeat timestamptz NOT NULL DEFAULT clock_timestamp());"
)
# Changes with each promotion of a replica.
TIMELINE = "left(pg_walfile_name(pg_current_wal_lsn()), 8)"
_NO_TABLE, _TABLE_EXISTS, _UNIQUE = "42P01", "42P07", "23505"
_READ_ONLY, _RECOVERY = "25006", "55000"
_AGAIN_LATER = 10.0
_MOST_WORDS = 300

# kind, remedy, and the seconds before which it is pointless to try again.
_BY_STATE: dict[str, tuple[str, str, float]] = {
    _READ_ONLY: (
        "read-only",
        "specify the primary, or all servers (host=a,b): the writable one is used",
        0.0,
    ),
    # A standby's response to the query for the timeline.
    _RECOVERY: (
        "read-only",
        "specify the primary, or all servers (host=a,b): the writable one is used",
        0.0,
    ),
    "53300": (
        "too-many-connections",
        "raise max_connections, or the role's CONNECTION LIMIT: each replica keeps one connection",
        0.0,
    ),
    "42703": (
        "other-table",
        f"the table {TABLE} belongs to another program: use another database, or another schema",
        _AGAIN_LATER,
    ),
    "53100": ("disk-full", "free some space on the server's disk", 0.0),
    "57P01": ("ended", "nothing, if the session or the server was terminated on purpose", 0.0),
    "57P02": ("crashed", "check the server's log: one of its processes crashed", 0.0),
    "57P03": ("starting", "nothing, if the server is starting up or shutting down", 0.0),
    "57P05": (
        "silent",
        "this process was frozen, or cut off: the server received nothing for too long",
        0.0,
    ),
    "28P01": ("wrong-password", "check the password (~/.pgpass, PGPASSWORD, the URL)", 0.0),
    "28000": (
        "refused",
        "check pg_hba.conf, the role and sslmode: the server rejects such connections",
        0.0,
    ),
    "3D000": ("no-database", "create the database, or specify another", _AGAIN_LATER),
}
# A refused connection has no SQLSTATE in libpq, only words.
_BY_WORDS: tuple[tuple[str, str, str], ...] = (
    (r"password authentication failed|no password supplied", "28P01", ""),
    (r"too many connections|too many clients|connection slots", "53300", ""),
    (r"(starting up|shutting down|in recovery mode|not yet accepting)", "57P03", ""),
    (r"pg_hba\.conf|authentication failed|role .* (does not exist|is not permitted)", "28000", ""),
    (r"database .* does not exist", "3D000", ""),
    (r"session is read-only|server is in hot standby|is not in hot standby", _READ_ONLY, ""),
    (
        r"SSL|certificate|TLS",
        "tls",
        "check sslmode and sslrootcert: they are passed to libpq unchanged",
    ),
    (
        r"service.* not found",
        "no-service",
        "check the service's name, ~/.pg_service.conf and PGSERVICEFILE",
    ),
    (
        r"could not translate host name|resolve|Name or service not known",
        "unresolved",
        "check the host's name",
    ),
    (r"timeout expired|timed out", "timeout", "check that the server's address is reachable"),
)


class SessionOver(Trouble):
    """The session is over, and what it held is free, or about to be."""


class NoTable(Trouble):
    """The table is missing."""


class Exists(Trouble):
    """Another client has created the table at the same time."""


def by_state(state: str, said: str, *, over: bool = False) -> Trouble:
    """Return what an SQLSTATE means. `over`: the session has ended with it."""
    shown = _short(said)
    if state == _NO_TABLE:
        return NoTable("no-table", shown, f"create it: {CREATE}")
    if state in (_TABLE_EXISTS, _UNIQUE):
        return Exists("exists", shown, "nothing: it is retried")
    if state == "42501":
        return Trouble(
            "no-permission",
            shown,
            "let an administrator create the table and grant it (USER is the role that leaderexec"
            f" connects as): {CREATE} GRANT SELECT, INSERT, UPDATE ON {TABLE} TO USER;",
            pause=_AGAIN_LATER,
        )
    kind, remedy, pause = _BY_STATE.get(
        state, (f"sqlstate-{state.lower()}", "check the server's log", 0.0)
    )
    made = SessionOver if over else Trouble
    return made(kind, shown, remedy, pause=pause)


def by_words(said: str) -> Trouble:
    """Return what a refused connection means, from the server's or libpq's text."""
    shown = _short(said)
    for pattern, kind, remedy in _BY_WORDS:
        if re.search(pattern, said):
            if kind in _BY_STATE:
                return by_state(kind, said, over=True)
            return SessionOver(kind, shown, remedy)
    return SessionOver(
        "unreachable", shown, "nothing, if the server is restarting; else check its address"
    )


def over(said: str) -> SessionOver:
    """Return the trouble of a broken connection."""
    return SessionOver(
        "connection-lost",
        _short(said),
        "nothing, if the server is restarting; else check its log, and the network",
    )


def unanswered(seconds: float) -> SessionOver:
    """Return the trouble of a response that did not arrive in time."""
    return SessionOver(
        "unanswered",
        f"the server did not respond within {max(0.0, seconds):.1f}s",
        "check whether the server hangs, or waits for a synchronous standby; and check the network",
    )


def pooled(why: str) -> SessionOver:
    """Return the trouble of an indirect connection."""
    return SessionOver(
        "pooled",
        f"a pooler between us and the server shares one session among many clients: {why}; an"
        " advisory lock would belong to all of them",
        "connect to the server directly, or to a pool in session mode; or set --postgres-lock row"
        " on all replicas",
        pause=_AGAIN_LATER,
    )


def too_old(version: int) -> SessionOver:
    """Return the trouble of a server that can't limit a session's silence."""
    return SessionOver(
        "too-old",
        f"the server is PostgreSQL {version // 10000}, which has no idle_session_timeout",
        "use PostgreSQL 14 or newer, or set --postgres-lock row on all replicas",
        pause=_AGAIN_LATER,
    )


@contextmanager
def understood() -> Iterator[None]:
    """Raise SessionOver for an answer that is read here and has another shape."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise SessionOver(
            "broken-answer", f"{error}"[:_MOST_WORDS], "check that this address is PostgreSQL's"
        ) from None


def fence(said: str | None) -> int:
    """Read the fence of our term. Raises ValueError."""
    found = int(said or "")
    if found < 1:
        raise ValueError(f"{found} is not a fence")
    return found


def seconds(said: str) -> int:
    """Read a number of seconds, which PostgreSQL keeps in four bytes. Raises ValueError."""
    found = int(said)
    if not 0 <= found < 1 << 31:
        raise ValueError(f"{found} are not seconds")
    return found


def lock_gone() -> SessionOver:
    """Return the trouble of a session that lives, but has lost the lock."""
    return SessionOver(
        "lock-gone",
        "the session no longer has the lock: a pooler, or something else, has reset it",
        "connect to the server directly; or set --postgres-lock row on all replicas",
    )


def row_edited(election: str) -> SessionOver:
    """Return the trouble of a row into which another holder was written."""
    return SessionOver(
        "row-edited",
        f"the row {election!r} names another holder, though we have the lock",
        f"never modify the table {TABLE} while replicas run",
    )


def other_form(election: str, form: str, ours: str) -> Trouble:
    """Return the trouble of replicas that use different forms, so that both would win."""
    return SessionOver(
        "other-form",
        f"the last leader of {election!r} used --postgres-lock {form}, and we use {ours}",
        "give all replicas the same; to change it, stop all of them first. If none of them is"
        f" running any more: UPDATE {TABLE} SET released = true WHERE election = '{election}'",
        pause=_AGAIN_LATER,
    )


def _short(said: str) -> str:
    return " ".join(said.split())[:_MOST_WORDS] or "no reason was given"
