"""What a PostgreSQL server's errors mean, in words for people. Pure."""

import re

from leaderexec.election.complaints import Trouble

TABLE = "leaderexec"
# One line, as the log and a terminal have it.
CREATE = (
    f"CREATE TABLE {TABLE} (election text PRIMARY KEY, form text NOT NULL, fence bigint NOT NULL,"
    " version bigint NOT NULL, seconds integer NOT NULL, holder text NOT NULL, life text NOT NULL,"
    " released boolean NOT NULL, timeline text NOT NULL, started text NOT NULL,"
    " heartbeat timestamptz NOT NULL DEFAULT clock_timestamp());"
)
# It changes with each promotion of a replica.
TIMELINE = "left(pg_walfile_name(pg_current_wal_lsn()), 8)"
_NO_TABLE, _TABLE_EXISTS, _UNIQUE = "42P01", "42P07", "23505"
_READ_ONLY, _RECOVERY = "25006", "55000"
_AGAIN_LATER = 10.0
_MOST_WORDS = 300

# kind, remedy, and the seconds before which it makes no sense to try again.
_BY_STATE: dict[str, tuple[str, str, float]] = {
    _READ_ONLY: (
        "read-only",
        "name the primary, or all servers (host=a,b): the one that can be written to is taken",
        0.0,
    ),
    # What a standby answers to the question for the timeline.
    _RECOVERY: (
        "read-only",
        "name the primary, or all servers (host=a,b): the one that can be written to is taken",
        0.0,
    ),
    "53300": (
        "too-many-connections",
        "raise max_connections, or the role's CONNECTION LIMIT: each replica keeps one connection",
        0.0,
    ),
    "42703": (
        "other-table",
        f"the table {TABLE} is another program's: use another database, or another schema",
        _AGAIN_LATER,
    ),
    "53100": ("disk-full", "free some space on the server's disk", 0.0),
    "57P01": ("ended", "nothing, if somebody ended the session or the server on purpose", 0.0),
    "57P02": ("crashed", "look at the server's log: one of its processes crashed", 0.0),
    "57P03": ("starting", "nothing, if the server is being started or stopped", 0.0),
    "57P05": (
        "silent",
        "this process stood still, or was cut off: the server heard nothing for too long",
        0.0,
    ),
    "28P01": ("wrong-password", "check the password (~/.pgpass, PGPASSWORD, the URL)", 0.0),
    "28000": (
        "refused",
        "check pg_hba.conf, the role and sslmode: the server lets nobody in so",
        0.0,
    ),
    "3D000": ("no-database", "create the database, or name another", _AGAIN_LATER),
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
        "check sslmode and sslrootcert: libpq's own are meant, and are used as they are given",
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
    (r"timeout expired|timed out", "timeout", "check that the server's address can be reached"),
)


class SessionOver(Trouble):
    """The session is no more, and what it held is free, or about to be."""


class NoTable(Trouble):
    """The table is missing."""


class Exists(Trouble):
    """Another has created the table at the same time."""


def by_state(state: str, said: str, *, over: bool = False) -> Trouble:
    """Return what an SQLSTATE means. `over`: the session has ended with it."""
    shown = _short(said)
    if state == _NO_TABLE:
        return NoTable("no-table", shown, f"create it: {CREATE}")
    if state in (_TABLE_EXISTS, _UNIQUE):
        return Exists("exists", shown, "nothing: it is asked again")
    if state == "42501":
        return Trouble(
            "no-permission",
            shown,
            "let an administrator create the table and grant it (USER is the role that leaderexec"
            f" connects as): {CREATE} GRANT SELECT, INSERT, UPDATE ON {TABLE} TO USER;",
            pause=_AGAIN_LATER,
        )
    kind, remedy, pause = _BY_STATE.get(
        state, (f"sqlstate-{state.lower()}", "look at the server's log", 0.0)
    )
    made = SessionOver if over else Trouble
    return made(kind, shown, remedy, pause=pause)


def by_words(said: str) -> Trouble:
    """Return what a connection that was refused means, by the server's or libpq's words."""
    shown = _short(said)
    for pattern, kind, remedy in _BY_WORDS:
        if re.search(pattern, said):
            if kind in _BY_STATE:
                return by_state(kind, said, over=True)
            return SessionOver(kind, shown, remedy)
    return SessionOver(
        "unreachable", shown, "nothing, if the server is being restarted; else check its address"
    )


def over(said: str) -> SessionOver:
    """Return that the connection has broken."""
    return SessionOver(
        "connection-lost",
        _short(said),
        "nothing, if the server is being restarted; else look at its log, and at the network",
    )


def unanswered(seconds: float) -> SessionOver:
    """Return that an answer was not waited for any longer."""
    return SessionOver(
        "unanswered",
        f"the server did not answer within {max(0.0, seconds):.1f}s",
        "look whether the server hangs, or waits for a synchronous standby; and at the network",
    )


def pooled(why: str) -> SessionOver:
    """Return that there is no direct connection."""
    return SessionOver(
        "pooled",
        f"a pooler stands between us and the server, which hands one session to many: {why}; an"
        " advisory lock would be everybody's",
        "connect to the server itself, or to a pool in session mode; or set --postgres-lock row on"
        " all replicas",
        pause=_AGAIN_LATER,
    )


def too_old(version: int) -> SessionOver:
    """Return that the server can't bound a session's silence."""
    return SessionOver(
        "too-old",
        f"the server is PostgreSQL {version // 10000}, which has no idle_session_timeout",
        "use PostgreSQL 14 or newer, or set --postgres-lock row on all replicas",
        pause=_AGAIN_LATER,
    )


def lock_gone() -> SessionOver:
    """Return that our session lives, and has not the lock any more."""
    return SessionOver(
        "lock-gone",
        "the session has the lock no more: a pooler, or somebody, has reset it",
        "connect to the server itself; or set --postgres-lock row on all replicas",
    )


def row_edited(election: str) -> SessionOver:
    """Return that somebody has written another holder into the row."""
    return SessionOver(
        "row-edited",
        f"the row {election!r} names another holder, though we have the lock",
        f"never write into the table {TABLE} while replicas run",
    )


def other_form(election: str, form: str, ours: str) -> Trouble:
    """Return that the others campaign otherwise, so that both would win."""
    return SessionOver(
        "other-form",
        f"the last leader of {election!r} used --postgres-lock {form}, and we use {ours}",
        "give all replicas the same; to change it, stop all of them first. If nothing of them runs"
        f" any more: UPDATE {TABLE} SET released = true WHERE election = '{election}'",
        pause=_AGAIN_LATER,
    )


def _short(said: str) -> str:
    return " ".join(said.split())[:_MOST_WORDS]
