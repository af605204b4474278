"""Requests to etcd through its JSON gateway, to one member after the other, with a time limit each.

A request may be repeated, even to another member: every write is conditional, or harmless when
done twice.
"""

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from leaderexec._version import __version__
from leaderexec.election.complaints import Trouble
from leaderexec.election.etcd import answers
from leaderexec.election.etcd.answers import ELSEWHERE, OK, AuthOff, NoLease, TokenEnded
from leaderexec.election.http_client import Connection

if TYPE_CHECKING:
    import ssl

_MOST = 1 << 20
_LEAST = 0.001
# A stream of news is reopened after this time, in case its other end is gone.
_WATCH_SECONDS = 300.0


class Endpoint(NamedTuple):
    """Where a member listens for clients."""

    host: str
    port: int
    path: str
    secure: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}{self.path}"


class Access(NamedTuple):
    """The members, and our credentials. `password` reads it again. `prefix` is the common prefix of
    our keys, for people."""

    endpoints: Sequence[Endpoint]
    tls: "Callable[[], ssl.SSLContext] | None"
    user: str | None
    password: Callable[[], str]
    prefix: str


class Client:
    """Queries whichever member responds. Used by one thread."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._current = 0
        self._connection: Connection | None = None
        # None: not requested yet. Empty: none is needed.
        self._token: str | None = None if access.user else ""
        self._cluster: str | None = None

    def ask(self, path: str, question: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Send a request, and return the response. Raises Trouble; NoLease if a lease is gone."""
        give_up = time.monotonic() + seconds
        count = len(self._access.endpoints)
        for tried in range(count):
            left = max(_LEAST, give_up - time.monotonic())
            try:
                return self._ask_member(path, question, left / (count - tried))
            except Trouble as trouble:
                self.close()
                if trouble.kind not in ELSEWHERE:
                    raise
                self._current = (self._current + 1) % count
                if tried == count - 1 or time.monotonic() >= give_up:
                    raise
        raise AssertionError("there is a member at least")

    def _ask_member(self, path: str, question: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        give_up = time.monotonic() + seconds
        try:
            return self._ask_with_token(path, question, give_up)
        except TokenEnded:
            # It has expired: after five minutes by default, or because the member was restarted.
            self._token = None
        return self._ask_with_token(path, question, give_up)

    def _ask_with_token(
        self, path: str, question: Mapping[str, Any], give_up: float
    ) -> dict[str, Any]:
        if self._token is None:
            self._token = self._authenticate(give_up)
        found = self._exchange(path, question, self._token, give_up)
        self._check_cluster(found)
        return found

    def _authenticate(self, give_up: float) -> str:
        question = {"name": self._access.user, "password": _read_password(self._access)}
        try:
            found = self._exchange("/v3/auth/authenticate", question, "", give_up)
        except AuthOff:
            return ""
        token = found.get("token")
        if not isinstance(token, str) or not token.isprintable():
            raise answers.broken("it returned no token")
        return token

    def token(self) -> str:
        """Return the current token, for a stream; empty if there is none yet."""
        return self._token or ""

    @property
    def endpoint(self) -> Endpoint:
        """The member that is currently used."""
        return self._access.endpoints[self._current]

    def _check_cluster(self, found: Mapping[str, Any]) -> None:
        header = answers.part(found, "header") or answers.part(
            answers.part(found, "result"), "header"
        )
        cluster = header.get("cluster_id")
        if not isinstance(cluster, str):
            raise answers.broken("its response has no cluster_id")
        if self._cluster is None:
            self._cluster = cluster
        if cluster != self._cluster:
            raise answers.wrong_cluster(cluster, self._cluster)

    def _exchange(
        self, path: str, question: Mapping[str, Any], token: str, give_up: float
    ) -> dict[str, Any]:
        body = json.dumps(question).encode()
        endpoint = self.endpoint
        while True:
            kept = self._connection
            connection = self._connection = kept or _connection(self._access, endpoint)
            try:
                connection.bound(max(_LEAST, give_up - time.monotonic()), _MOST)
                connection.request("POST", endpoint.path + path, body, _headers(token))
                with connection.getresponse() as response:
                    data = response.read(_MOST)
                    if response.will_close:
                        self.close()
                    status = response.status
            except (OSError, http.client.HTTPException) as error:
                self.close()
                # A kept connection may have been closed by the other side in the meantime.
                if kept is not None and _was_closed(error) and time.monotonic() < give_up:
                    continue
                raise _unreachable(endpoint, error) from None
            return answers.check(status, data, self._access.prefix)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class Watch:
    """Waits for one key to be deleted. `close` may be called by any thread."""

    _sock: Any

    def __init__(
        self,
        access: Access,
        endpoint: Endpoint,
        token: str,
        create_request: Mapping[str, Any],
        seconds: float,
    ) -> None:
        """Open it within `seconds`. Raises Trouble."""
        self._endpoint = endpoint
        self._prefix = access.prefix
        self._connection = _connection(access, endpoint)
        body = json.dumps({"create_request": create_request}).encode()
        try:
            self._connection.bound(seconds, _MOST)
            self._connection.request("POST", f"{endpoint.path}/v3/watch", body, _headers(token))
            # A stream has no length, so http.client gives up the socket.
            self._sock = self._connection.sock
            self._response = self._connection.getresponse()
            if self._response.status != OK:
                answers.check(self._response.status, self._response.read(_MOST), self._prefix)
            self._sock.bound(_WATCH_SECONDS, None)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise _unreachable(endpoint, error) from None
        except (TokenEnded, NoLease, AuthOff) as error:
            self._connection.close()
            raise _ended(error) from None
        except Trouble:
            self._connection.close()
            raise

    def events(self) -> Iterator[None]:
        """Yield once, when it was deleted, or when that is unknown because etcd has compacted that
        revision. Ends after a while. Raises Trouble."""
        try:
            while line := self._response.readline(_MOST):
                result = answers.part(answers.check(OK, line, self._prefix), "result")
                # Events without a type are PUTs, which are filtered out.
                if result.get("events") or result.get("compact_revision"):
                    yield
                    return
                if result.get("canceled"):
                    raise Trouble(
                        "watch-canceled",
                        f"etcd ended the watch: {result.get('cancel_reason', '')}"[:200],
                        "nothing: it is polled every --retry-period meanwhile",
                    )
        except TimeoutError:
            return
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(self._endpoint, error) from None
        except (TokenEnded, NoLease, AuthOff) as error:
            raise _ended(error) from None
        finally:
            self._connection.close()
            self._response.close()

    def close(self) -> None:
        """Close it: the reader wakes up."""
        with suppress(OSError):
            # Not an SSLSocket's method, which would discard the state that the reader uses.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)


def _ended(error: Exception) -> Trouble:
    return Trouble("unauthorized", f"etcd rejected the watch: {error}", "nothing: it is reopened")


def _connection(access: Access, endpoint: Endpoint) -> Connection:
    tls = access.tls if endpoint.secure else None
    return Connection(endpoint.host, endpoint.port, tls, endpoint.host)


def _headers(token: str) -> dict[str, str]:
    found = {
        "User-Agent": f"leaderexec/{__version__}",
        "Accept": "application/json",
        "Content-Type": "application/json",
    }
    if token:
        found["Authorization"] = token
    return found


def _read_password(access: Access) -> str:
    try:
        return access.password()
    except OSError as error:
        raise Trouble(
            "bad-password", f"the password can't be read: {error}", "check --etcd-password-file"
        ) from None


def _was_closed(error: BaseException) -> bool:
    return isinstance(error, http.client.RemoteDisconnected | ConnectionError)


def _unreachable(endpoint: Endpoint, error: BaseException) -> Trouble:
    name = type(error).__name__
    if name.startswith(("SSL", "CertificateError")):
        return Trouble(
            "tls",
            f"{endpoint}: {name}: {error}",
            "check --etcd-ca, --etcd-cert and --etcd-cert-key, and the name in etcd's certificate",
        )
    if isinstance(error, http.client.HTTPException) and not _was_closed(error):
        return answers.broken(f"{endpoint}: {name}: {error}")
    timed_out = isinstance(error, TimeoutError)
    return Trouble(
        "timeout" if timed_out else "unreachable",
        f"{endpoint}: {name}: {error}",
        "nothing, if etcd is restarting, or another member responds; else check --etcd and the"
        " network in between",
    )
