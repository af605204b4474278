"""The advisory lock and its row: queries to the server, and their results.

A pooler in transaction mode shares one session among many clients, and an advisory lock belongs to
the session: two of us would both have it. So a session is first marked with a nonce of this
process, and a lock is requested, in the same statement, only if that mark is still there. A client
that finds another's mark, or its own on a second connection, is behind a pooler.
"""

import hashlib
import os
from contextlib import closing, suppress
from typing import NamedTuple

from leaderexec.election.complaints import Trouble
from leaderexec.election.postgres import answers
from leaderexec.election.postgres.answers import TABLE, TIMELINE
from leaderexec.election.postgres.campaign import Former, Taken, Times
from leaderexec.election.postgres.kind import Target
from leaderexec.election.postgres.session import Row, Session

FORM = "advisory"
_OLDEST = 140000
_MARK = "leaderexec.life"
_MARKED = f"coalesce(current_setting('{_MARK}', true), '')"
_STARTED = "extract(epoch FROM pg_postmaster_start_time())::text"
_NOW_MS = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
# An advisory lock of one bigint in pg_locks.
_IS_LOCK = (
    "locktype = 'advisory' AND objsubid = 1 AND granted"
    " AND (classid::bigint << 32 | objid::bigint) = {}"
)
_OURS = _IS_LOCK.format("$1::bigint")
_HELD_BY_US = f"EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND {_OURS})"
_RELEASE_WITHIN = 2.0


class Name(NamedTuple):
    """An election's name, and its representation on the server."""

    election: str

    @property
    def key(self) -> int:
        """The lock's key: the first 64 bits of a hash, as a signed bigint."""
        digest = hashlib.sha256(f"leaderexec/{self.election}".encode()).digest()
        return int.from_bytes(digest[:8], "big", signed=True)

    @property
    def channel(self) -> str:
        """The channel on which a release is announced."""
        return f"leaderexec_{self.key & (1 << 64) - 1:016x}"


class Seen(NamedTuple):
    """The result of an attempt: whether we have the lock; and the holder in the row."""

    ours: bool
    holder: str | None
    life: str | None


class Lock:
    """One election's lock, on one session."""

    def __init__(
        self, target: Target, name: Name, life: str, times: Times, *, prove_direct: bool
    ) -> None:
        """Connect, and check that the connection is direct (`prove_direct`: with a second one).
        Raises Trouble."""
        self._name = name
        self._life = life
        self._within = times.renew_deadline / 2
        self.session = Session(target, f"leaderexec {name.election}", times.renew_deadline)
        try:
            self._mark()
            if prove_direct:
                self._prove_direct(target, times)
            self._set(times)
            self._ask(f"LISTEN {name.channel}")
        except BaseException:
            self.session.close()
            raise

    def _ask(self, statement: str, *values: str | int, within: float | None = None) -> list[Row]:
        bound = self._within if within is None else within
        return self.session.ask(statement, *values, within=bound)

    @answers.understood()
    def _mark(self) -> None:
        ((version, is_replica),) = self._ask(
            "SELECT current_setting('server_version_num'), pg_is_in_recovery()"
            " OR current_setting('transaction_read_only')::boolean"
        )
        if is_replica == "t":
            raise answers.by_state("25006", "the server is read-only", over=True)
        if int(version or 0) < _OLDEST:
            raise answers.too_old(int(version or 0))
        ((mark,),) = self._ask(
            f"SELECT CASE WHEN {_MARKED} = '' THEN set_config('{_MARK}', $1, false)"
            f" ELSE {_MARKED} END",
            self._life,
        )
        if mark != self._life:
            raise answers.pooled("another leaderexec has used this session")

    @answers.understood()
    def _prove_direct(self, target: Target, times: Times) -> None:
        with closing(Session(target, "leaderexec, a look", times.renew_deadline)) as second:
            ((mark,),) = second.ask(f"SELECT {_MARKED}", within=self._within)
        if mark:
            raise answers.pooled("a second connection has the same session")

    def _set(self, times: Times) -> None:
        """Have the server end the session when it has been silent for too long, on any kind of
        connection, and not sooner; and override settings of the role that would interfere."""
        silent = f"{times.session_timeout * 1000:.0f}ms"
        seconds = f"{int(times.session_timeout) + 1}"
        settings = {
            "idle_session_timeout": silent,
            "tcp_keepalives_idle": seconds,
            "tcp_keepalives_interval": seconds,
            "tcp_keepalives_count": "3",
            "tcp_user_timeout": f"{int(seconds) * 2}s",
            "client_connection_check_interval": "0",
            "statement_timeout": "0",
            "lock_timeout": "0",
        }
        wanted = ", ".join(
            f"set_config('{name}', '{value}', false)" for name, value in settings.items()
        )
        lasting = (
            "set_config('synchronous_commit', CASE current_setting('synchronous_commit')"
            " WHEN 'off' THEN 'local' ELSE current_setting('synchronous_commit') END, false)"
        )
        self._ask(f"SELECT {wanted}, {lasting}")

    @answers.understood()
    def look(self, *, take: bool) -> Seen:
        """Return who has the lock, and with `take` take it if it is free. Raises Trouble."""
        statement = (
            f"SELECT CASE WHEN {_MARKED} <> $1 THEN NULL WHEN NOT $4::boolean THEN false"
            " ELSE pg_try_advisory_lock($2::bigint) END,"
            f" holder, life FROM (SELECT) one LEFT JOIN {TABLE} ON election = $3"
        )
        values = (self._life, self._name.key, self._name.election, str(take).lower())
        try:
            ((ours, holder, life),) = self._ask(statement, *values)
        except answers.NoTable:
            self._create()
            ((ours, holder, life),) = self._ask(statement, *values)
        if ours is None:
            raise answers.pooled("the session is not the same as a moment ago")
        return Seen(ours == "t", holder or None, life)

    def _create(self) -> None:
        with suppress(answers.Exists):
            self._ask(answers.CREATE)

    @answers.understood()
    def take(self, identity: str) -> Taken:
        """Increment the fence, and write our name; we have the lock. Raises Trouble."""
        self._ask(
            f"INSERT INTO {TABLE} (election, form, fence, version, seconds, holder, life, released,"
            " timeline, started) VALUES ($1, $2, 0, 0, 0, '', '', true, '', '')"
            " ON CONFLICT DO NOTHING",
            self._name.election,
            FORM,
        )
        # If there is no need to wait, we lead at once, on this server.
        at_once = f"former.released AND former.timeline IN ('', {TIMELINE})"
        found = self._ask(
            f"WITH former AS (SELECT * FROM {TABLE} WHERE election = $4 FOR UPDATE)"
            f" UPDATE {TABLE} now SET form = $5, holder = $2, life = $3, released = false,"
            f" fence = greatest(former.fence + 1, {_NOW_MS}), version = former.version + 1,"
            f" timeline = CASE WHEN {at_once} THEN {TIMELINE} ELSE former.timeline END,"
            f" started = CASE WHEN {at_once} THEN {_STARTED} ELSE former.started END,"
            " heartbeat = clock_timestamp()"
            f" FROM former WHERE now.election = former.election AND {_HELD_BY_US}"
            " AND (former.form = $5 OR former.released)"
            " RETURNING now.fence, former.fence, former.holder, former.life, former.released,"
            f" former.timeline, former.started, {TIMELINE}, {_STARTED}",
            self._name.key,
            identity,
            self._life,
            self._name.election,
            FORM,
        )
        if not found:
            raise self._why_not_taken()
        fence, last, holder, life, released, was_on, was_started, timeline, started = (
            value or "" for value in found[0]
        )
        former = Former(int(last), holder, life, released == "t", was_on, was_started)
        return Taken(answers.fence(fence), former, timeline, started)

    @answers.understood()
    def _why_not_taken(self) -> Trouble:
        found = self._ask(f"SELECT form FROM {TABLE} WHERE election = $1", self._name.election)
        form = found[0][0] if found else None
        if form is not None and form != FORM:
            return answers.other_form(self._name.election, form, FORM)
        return answers.lock_gone()

    def beat(self, identity: str, fence: int, within: float, *, ready: bool) -> None:
        """Check that everything is unchanged, and write the time, for people; a row that was
        deleted is written again. `ready`: the old command has exited, so it no longer matters on
        which server it ran. Raises Trouble."""
        server = ", timeline = excluded.timeline, started = excluded.started" if ready else ""
        found = self._ask(
            f"INSERT INTO {TABLE} AS now (election, form, fence, version, seconds, holder, life,"
            f" released, timeline, started) VALUES ($2, $3, $4, 0, 0, $5, $6, false, {TIMELINE},"
            f" {_STARTED}) ON CONFLICT (election) DO UPDATE SET heartbeat ="
            f" clock_timestamp(){server}"
            " WHERE now.fence = excluded.fence AND now.life = excluded.life"
            f" RETURNING {_HELD_BY_US}, {_MARKED}",
            self._name.key,
            self._name.election,
            FORM,
            fence,
            identity,
            self._life,
            within=within,
        )
        if not found:
            raise answers.row_edited(self._name.election)
        if found[0] != ("t", self._life):
            raise answers.lock_gone()

    def release(self, fence: int, *, ready: bool) -> None:
        """Record that nothing of any command is left, if we are `ready`, and release the lock.
        Raises Trouble."""
        if ready:
            self._ask(
                f"UPDATE {TABLE} SET released = true, timeline = {TIMELINE},"
                f" started = {_STARTED}, heartbeat = clock_timestamp()"
                " WHERE election = $1 AND fence = $2 AND life = $3",
                self._name.election,
                fence,
                self._life,
                within=_RELEASE_WITHIN,
            )
        self._ask("SELECT pg_advisory_unlock($1::bigint)", self._name.key, within=_RELEASE_WITHIN)
        self._ask("SELECT pg_notify($1, '')", self._name.channel, within=_RELEASE_WITHIN)

    def close(self) -> None:
        """End the session, and with it the lock."""
        self.session.close()


@answers.understood()
def who_holds(target: Target, name: Name, times: Times) -> str | None:
    """Return who has the lock, from the row; None if no session has it. Raises Trouble, also if
    this connection could not get the lock."""
    nonce = os.urandom(8).hex()
    with closing(Lock(target, name, nonce, times, prove_direct=True)) as lock:
        try:
            found = lock.session.ask(
                f"SELECT holder FROM {TABLE} WHERE election = $2 AND EXISTS (SELECT FROM pg_locks"
                " WHERE database = (SELECT oid FROM pg_database WHERE datname ="
                f" current_database()) AND {_OURS})",
                name.key,
                name.election,
                within=times.renew_deadline / 2,
            )
        except answers.NoTable:
            return None
    return found[0][0] or None if found else None
