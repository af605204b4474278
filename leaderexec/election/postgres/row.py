"""The election by a row that is renewed: for connections through a pooler, on which no session lock
is possible. Each statement is independent.

What another holds is free when its row has not changed for the duration stated in it, by our own
monotonic clock, from when we saw it change; the server's clock decides nothing. Each write
increments the version, and taking means replacing the version that was seen, so that of two
concurrent writes only one succeeds, however late they are. A row that is missing may have been
deleted a moment ago: one without a holder is written, and waited for like any other. The same
applies to one marked as released, on a server that was promoted since: the last write may be
missing there.
"""

import time
from collections.abc import Callable, Hashable
from contextlib import closing, suppress
from typing import TYPE_CHECKING, NamedTuple

from leaderexec.election.postgres import answers
from leaderexec.election.postgres.answers import TABLE, TIMELINE, SessionOver
from leaderexec.election.postgres.kind import Target
from leaderexec.election.postgres.session import Row, Session
from leaderexec.election.store.source import Answer

if TYPE_CHECKING:
    from leaderexec.election.store.source import News

FORM = "row"
_NOW_MS = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
_NO_WATCH = "a row is not watched"


class Held(NamedTuple):
    """A row as it was read. `seconds`: how long it must stay unchanged to be free. `promoted`:
    the server was promoted since it was written."""

    form: str
    version: int
    seconds: float
    holder: str
    life: str
    released: bool
    promoted: bool


class Sight:
    """How long we have seen the row unchanged. Pure."""

    def __init__(self) -> None:
        self._version: int | None = None
        self._since = 0.0

    def free_in(self, row: Held, now: float) -> float:
        """Take in the row at `now` (monotonic); return the seconds until it is free."""
        if row.version != self._version:
            self._version, self._since = row.version, now
        return max(0.0, self._since + row.seconds - now)


class RowStore:
    """One election's row."""

    def __init__(
        self,
        target: Target,
        election: str,
        identity: str,
        life: str,
        duration: int,
        renew_deadline: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._target = target
        self._election = election
        self._identity = identity
        self._life = life
        self._duration = duration
        self._renew_deadline = renew_deadline
        self._clock = clock
        self._sight = Sight()
        self._session: Session | None = None
        self._fence: int | None = None

    @property
    def topic(self) -> Hashable:
        """Nothing: LISTEN does not work through a pooler."""
        return None

    def watch(self, topic: Hashable, seconds: float) -> "News":
        """Never called."""
        raise NotImplementedError(_NO_WATCH)

    def look(self, seconds: float) -> str:
        """Return who holds the row; "" if none."""
        found = self._read(seconds)
        if found is None or found.released:
            return ""
        self._sight.free_in(found, self._clock())
        return found.holder

    def take(self, seconds: float) -> Answer:
        """Take the row if it is free or ours. Raises Trouble."""
        self._fence = None
        found = self._read(seconds)
        if found is None:
            self._begin(seconds)
            return Answer(
                None,
                free_in=float(self._duration),
                waits=f"there was no row yet, and one may have been deleted a moment ago: it is"
                f" taken in {self._duration}s",
            )
        # Done in any case: the time counts from when the row was first seen.
        free_in = self._sight.free_in(found, self._clock())
        if found.form != FORM and not found.released:
            raise answers.other_form(self._election, found.form, FORM)
        is_free = found.life == self._life or (found.released and not found.promoted)
        if free_in and not is_free:
            return Answer(None, "" if found.released else found.holder, free_in)
        self._fence = self._write_over(found.version, seconds)
        return Answer(self._fence, free_in=0.0)

    def renew(self, seconds: float) -> bool:
        """Increment the version; return whether the row is still ours."""
        found = self._ask(
            f"UPDATE {TABLE} SET version = greatest(version + 1, {_NOW_MS}),"
            " heartbeat = clock_timestamp()"
            " WHERE election = $1 AND form = $2 AND life = $3 AND fence = $4 AND NOT released"
            " RETURNING version",
            self._election,
            FORM,
            self._life,
            self._fence or 0,
            within=seconds,
        )
        return bool(found)

    def let_go(self, seconds: float) -> bool:
        """Record that nothing of the command is left; return whether the row was ours."""
        if self._session is None and self._fence is None:
            return False
        found = self._ask(
            f"UPDATE {TABLE} SET version = greatest(version + 1, {_NOW_MS}), released = true,"
            " heartbeat = clock_timestamp()"
            " WHERE election = $1 AND form = $2 AND life = $3 AND NOT released RETURNING version",
            self._election,
            FORM,
            self._life,
            within=seconds,
        )
        self._fence = None
        return bool(found)

    def close(self) -> None:
        """Close the connection; the next query opens another."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _ask(self, statement: str, *values: str | int, within: float) -> list[Row]:
        try:
            if self._session is None:
                name = f"leaderexec {self._election}"
                self._session = Session(self._target, name, self._renew_deadline)
            return self._session.ask(statement, *values, within=within)
        except SessionOver:
            self.close()
            raise

    @answers.understood()
    def _read(self, seconds: float) -> Held | None:
        statement = (
            "SELECT form, version, greatest(seconds, $2::integer), holder, life, released,"
            f" timeline NOT IN ('', {TIMELINE})"
            f" FROM {TABLE} WHERE election = $1"
        )
        try:
            found = self._ask(statement, self._election, self._duration, within=seconds)
        except answers.NoTable:
            with suppress(answers.Exists):
                self._ask(answers.CREATE, within=seconds)
            return None
        if not found:
            return None
        form, version, lasts, holder, life, *flags = (value or "" for value in found[0])
        released, promoted = (flag == "t" for flag in flags)
        return Held(form, int(version), answers.seconds(lasts), holder, life, released, promoted)

    def _begin(self, seconds: float) -> None:
        self._ask(
            f"INSERT INTO {TABLE} (election, form, fence, version, seconds, holder, life, released,"
            f" timeline, started) VALUES ($1, $2, 0, {_NOW_MS}, $3, '', '', false, '', '')"
            " ON CONFLICT DO NOTHING",
            self._election,
            FORM,
            self._duration,
            within=seconds,
        )

    @answers.understood()
    def _write_over(self, version: int, seconds: float) -> int | None:
        """Take the row if it still has that version; return the fence, None if another replica was
        faster."""
        fence = f"greatest(fence + 1, version + 1, {_NOW_MS})"
        found = self._ask(
            f"UPDATE {TABLE} SET form = $2, fence = {fence}, version = {fence}, seconds = $3,"
            " holder = $4, life = $5, released = false, heartbeat = clock_timestamp(),"
            f" timeline = {TIMELINE}"
            " WHERE election = $1 AND version = $6 AND (form = $2 OR released) RETURNING fence",
            self._election,
            FORM,
            self._duration,
            self._identity,
            self._life,
            version,
            within=seconds,
        )
        return answers.fence(found[0][0]) if found else None


@answers.understood()
def who_holds(target: Target, election: str, within: float) -> str | None:
    """Return who holds the row, unless it has expired by the server's clock; None if none.
    Raises Trouble."""
    with closing(Session(target, "leaderexec, a look", within)) as session:
        try:
            found = session.ask(
                f"SELECT holder FROM {TABLE} WHERE election = $1 AND form = $2 AND NOT released"
                " AND heartbeat + seconds * interval '1 s' > clock_timestamp()",
                election,
                FORM,
                within=within,
            )
        except answers.NoTable:
            return None
    return found[0][0] or None if found else None
