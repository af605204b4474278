"""A session on the server, with libpq: every query has a time limit, and its end is noticed."""

import os
import select
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg
from psycopg import conninfo, pq

from leaderexec.election.complaints import Trouble
from leaderexec.election.postgres import answers
from leaderexec.election.postgres.kind import Target

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn, PGresult

Row = tuple[str | None, ...]
_CONNECT_WITHIN = 5
_CLOSE_WITHIN = 0.5
# A valid answer is a few rows, in a few reads. libpq limits the length of each read, and that of an
# answer to a gigabyte.
_MOST_READS = 100


class Session:
    """One connection. Used by one thread."""

    def __init__(self, target: Target, name: str, lasts: float) -> None:
        """Connect. `name` is shown to the server's administrator; TCP gives up after `lasts`
        seconds without an acknowledgement. Raises Trouble."""
        try:
            given = conninfo.conninfo_to_dict(target.conninfo)
        except psycopg.Error:
            raise answers.SessionOver(
                "bad-address",
                "it is not a connection string that libpq understands",
                "set --postgres to a URL (postgresql://user@host/database), key=value words, or"
                " a service's name; in a URL, escape special characters: %40 for @",
            ) from None
        self._secrets = [str(given[key]) for key in ("password", "sslpassword") if given.get(key)]
        try:
            self._connection = psycopg.Connection.connect(
                conninfo.make_conninfo(target.conninfo, **_defaults(given, name, lasts)),
                autocommit=True,
            )
        except psycopg.Error as error:
            raise self._hide(answers.by_words(str(error))) from None
        self._pg: PGconn = self._connection.pgconn
        # The server's last message, before it ended the session.
        self._last_words: tuple[str, str] | None = None
        self._pg.notice_handler = self._noted
        self._poll = select.poll()
        self._poll.register(self._pg.socket, select.POLLIN)
        # Since the last question or notification.
        self._reads = 0

    def ask(self, statement: str, *values: str | int, within: float) -> list[Row]:
        """Run a query, and return its rows, within `within` seconds. Raises Trouble: SessionOver
        if the session is over."""
        give_up = time.monotonic() + within
        self._reads = 0
        try:
            self._pg.send_query_params(
                statement.encode(), [str(value).encode() for value in values]
            )
            results = self._fetch(give_up)
        except psycopg.Error as error:
            raise self._over(error) from None
        except TimeoutError:
            self.close()
            raise answers.unanswered(within) from None
        for result in results:
            if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
                raise self._trouble(result)
        return [_row(result, number) for result in results for number in range(result.ntuples)]

    def wait(self, seconds: float, wake: int) -> bool:
        """Wait for a notification, for the descriptor `wake`, or for `seconds`; return whether
        there was a notification. Raises SessionOver at once when the session ends."""
        if self._pg.notifies() is not None:
            # It arrived together with a result.
            return True
        self._poll.register(wake, select.POLLIN)
        try:
            ready = {number for number, _ in self._poll.poll(max(0.0, seconds) * 1000)}
        finally:
            self._poll.unregister(wake)
        if self._pg.socket not in ready:
            return False
        try:
            self._read()
        except psycopg.Error as error:
            raise self._over(error) from None
        notified = False
        while self._pg.notifies() is not None:
            notified = True
            self._reads = 0
        return notified

    def close(self) -> None:
        """End the session; what it held is free as soon as the server notices."""
        with suppress(psycopg.Error, OSError):
            self._connection.close()

    def _fetch(self, give_up: float) -> "list[PGresult]":
        found: list[PGresult] = []
        while True:
            while self._pg.flush():
                self._until_ready(select.POLLIN | select.POLLOUT, give_up)
            while self._pg.is_busy():
                self._until_ready(select.POLLIN, give_up)
                self._read()
            result = self._pg.get_result()
            if result is None:
                return found
            found.append(result)

    def _read(self) -> None:
        """Read what there is. Raises psycopg.OperationalError if that never ends."""
        self._reads += 1
        if self._reads > _MOST_READS:
            raise psycopg.OperationalError("its answer is longer than any valid one")
        self._pg.consume_input()

    def _until_ready(self, what: int, give_up: float) -> None:
        self._poll.modify(self._pg.socket, what)
        try:
            if not self._poll.poll(max(0.0, give_up - time.monotonic()) * 1000):
                raise TimeoutError
        finally:
            self._poll.modify(self._pg.socket, select.POLLIN)

    def _noted(self, result: "PGresult") -> None:
        state, said = _said(result)
        # Classes of errors that end a session: operator intervention, insufficient resources.
        if state.startswith(("57", "53", "XX")):
            self._last_words = state, said

    def _trouble(self, result: "PGresult") -> Trouble:
        state, said = _said(result)
        is_over = self._pg.status != pq.ConnStatus.OK
        if not state:
            return self._hide(answers.over(said))
        return self._hide(answers.by_state(state, said, over=is_over))

    def _over(self, error: Exception) -> Trouble:
        self.close()
        if self._last_words is not None:
            return self._hide(answers.by_state(*self._last_words, over=True))
        return self._hide(answers.over(str(error)))

    def _hide(self, trouble: Trouble) -> Trouble:
        """Remove passwords from the message."""
        text = str(trouble)
        for secret in (*self._secrets, os.environ.get("PGPASSWORD")):
            text = text.replace(secret, "***") if secret else text
        trouble.args = (text,)
        return trouble


def _defaults(given: Mapping[str, object], name: str, lasts: float) -> dict[str, str | int]:
    """Return the defaults for libpq; what was given takes precedence."""
    wanted: dict[str, str | int] = {
        "fallback_application_name": name,
        "connect_timeout": _CONNECT_WITHIN,
        "keepalives": 1,
        "keepalives_idle": max(1, int(lasts / 2)),
        "keepalives_interval": max(1, int(lasts / 6)),
        "keepalives_count": 3,
        "tcp_user_timeout": int(lasts * 1000),
    }
    if "," in str(given.get("host", "")):
        wanted["target_session_attrs"] = "read-write"
    by_variable = {
        "connect_timeout": "PGCONNECT_TIMEOUT",
        "target_session_attrs": "PGTARGETSESSIONATTRS",
    }
    return {
        key: value
        for key, value in wanted.items()
        if key not in given and not os.environ.get(by_variable.get(key, ""))
    }


def _said(result: "PGresult") -> tuple[str, str]:
    state = result.error_field(pq.DiagnosticField.SQLSTATE) or b""
    severity = result.error_field(pq.DiagnosticField.SEVERITY) or b""
    message = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or result.error_message
    words = f"{severity.decode(errors='replace')}: {message.decode(errors='replace')}"
    return state.decode(errors="replace"), words


def _row(result: "PGresult", number: int) -> Row:
    values = (result.get_value(number, column) for column in range(result.nfields))
    return tuple(None if value is None else value.decode(errors="replace") for value in values)
