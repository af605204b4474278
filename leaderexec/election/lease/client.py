"""Requests to an API server about one Lease, over a connection that is kept open.

Each request has a single deadline, from connecting to the last byte.
"""

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from leaderexec import jitter
from leaderexec._version import __version__
from leaderexec.election.complaints import Trouble
from leaderexec.election.http_client import Connection
from leaderexec.election.lease import record
from leaderexec.election.lease.answers import OK, NotFound, check, message, role
from leaderexec.election.lease.cluster import Cluster
from leaderexec.election.lease.record import Lease, Malformed, Name

_MOST = 2 << 20
# The API server is asked to end a watch after this time; it may do so at any time. It is reopened.
_WATCH_SECONDS = 240
_WATCH_MARGIN = 15.0


class Api:
    """An API server, used by one thread at a time."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._connection: Connection | None = None

    def exchange(
        self,
        method: str,
        path: str,
        document: Mapping[str, Any] | None,
        seconds: float,
        content_type: str = "application/json",
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send a request for any path; return the response, whatever its status. The request must
        be safe to repeat. Raises Trouble."""
        body = None if document is None else json.dumps(document).encode()
        give_up = time.monotonic() + seconds
        while True:
            kept = self._connection
            connection = self._connection = kept or _connection(self._cluster)
            try:
                connection.bound(give_up - time.monotonic(), _MOST)
                return self._exchange(connection, method, path, body, content_type)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                # A kept connection may have been closed by the other side in the meantime. The
                # request is safe to repeat: a write names the version that it changes.
                if kept is not None and _was_closed(error) and time.monotonic() < give_up:
                    continue
                raise _unreachable(self._cluster, error) from None

    def _exchange(
        self,
        connection: Connection,
        method: str,
        path: str,
        body: bytes | None,
        content_type: str,
    ) -> tuple[int, Mapping[str, str], bytes]:
        sent = {**headers(self._cluster), "Content-Type": content_type}
        connection.request(method, path, body, sent)
        with connection.getresponse() as response:
            data = response.read(_MOST)
            if response.will_close:
                self.close()
            return response.status, response.headers, data  # type: ignore[return-value]

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class Leases(Api):
    """One Lease at one API server; `needed` is the Role that its requests require."""

    def __init__(self, cluster: Cluster, name: Name, needed: Callable[[Name], str] = role) -> None:
        super().__init__(cluster)
        self._name = name
        self._needed = needed
        self._all = f"{cluster.path}/apis/{record.API_VERSION}/namespaces/{name.namespace}/leases"

    def get(self, seconds: float) -> Lease | None:
        """Return the Lease; None if there is none. Raises Trouble."""
        try:
            return self._lease("GET", f"{self._all}/{self._name.name}", None, seconds)
        except NotFound:
            return None

    def pod(self, name: str, seconds: float) -> object:
        """Return a Pod in the Lease's namespace as parsed JSON; None if there is none. Raises
        Trouble."""
        path = f"{self._cluster.path}/api/v1/namespaces/{self._name.namespace}/pods/{name}"
        status, headers, data = self.exchange("GET", path, None, seconds)
        try:
            check("GET", status, headers, data, self._name, self._needed)
            return json.loads(data)
        except NotFound:
            return None
        except (ValueError, RecursionError):
            raise _broken("a Pod that is not JSON") from None

    def put(self, document: Mapping[str, Any], seconds: float) -> Lease:
        """Write a modified Lease; return the result. Raises Conflict, Trouble."""
        return self._lease("PUT", f"{self._all}/{self._name.name}", document, seconds)

    def post(self, document: Mapping[str, Any], seconds: float) -> Lease:
        """Create the Lease; return the result. Raises Conflict, Trouble."""
        return self._lease("POST", self._all, document, seconds)

    def _lease(
        self, method: str, path: str, document: Mapping[str, Any] | None, seconds: float
    ) -> Lease:
        status, headers, data = self.exchange(method, path, document, seconds)
        check(method, status, headers, data, self._name, self._needed)
        try:
            return record.parse(data)
        except Malformed as error:
            self.close()
            raise _broken(str(error)) from None


class Watch:
    """A stream of changes of the Lease. `close` may be called by any thread."""

    _sock: Any

    def __init__(self, cluster: Cluster, name: Name, seconds: float) -> None:
        """Open it within `seconds`. Raises Trouble."""
        self._name = name
        self._cluster = cluster
        self._connection = _connection(cluster)
        length = _WATCH_SECONDS + int(jitter.share() * (_WATCH_SECONDS // 4))
        path = (
            f"{cluster.path}/apis/{record.API_VERSION}/namespaces/{name.namespace}/leases"
            f"?watch=1&fieldSelector=metadata.name%3D{name.name}&timeoutSeconds={length}"
        )
        try:
            self._connection.bound(seconds, _MOST)
            self._connection.request("GET", path, headers=headers(cluster))
            # A stream has no length, so http.client gives up the socket.
            self._sock = self._connection.sock
            self._response = self._connection.getresponse()
            if self._response.status != OK:
                data = self._response.read(_MOST)
                answer = self._response
                check("WATCH", answer.status, answer.headers, data, name)  # type: ignore[arg-type]
            self._sock.bound(length + _WATCH_MARGIN, None)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise _unreachable(cluster, error) from None
        except Trouble:
            self._connection.close()
            raise

    def events(self) -> Iterator[tuple[Lease, bool]]:
        """Yield each state of the Lease, and whether it was deleted. Raises Trouble."""
        try:
            while line := self._response.readline(_MOST):
                found = json.loads(line)
                kind, thing = found.get("type"), found.get("object")
                if kind == "ERROR":
                    status = thing.get("code", 0) if isinstance(thing, dict) else 0
                    raise Trouble(
                        "gone" if status == http.client.GONE else "watch-error",
                        f"the watch ended with {status}: {message(json.dumps(thing).encode())}",
                        "nothing: it is reopened",
                    )
                if kind in ("ADDED", "MODIFIED", "DELETED"):
                    yield record.read(thing), kind == "DELETED"
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(self._cluster, error) from None
        except (ValueError, AttributeError, RecursionError, Malformed) as error:
            raise _broken(str(error)) from None
        finally:
            self._connection.close()
            self._response.close()

    def close(self) -> None:
        """Close it: the reader wakes up."""
        with suppress(OSError):
            # Not an SSLSocket's method, which would discard the state that the reader uses.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)


def _connection(cluster: Cluster) -> Connection:
    return Connection(cluster.host, cluster.port, cluster.tls, cluster.server_name)


def headers(cluster: Cluster) -> dict[str, str]:
    """Return a request's headers, with the current token. Raises OSError."""
    found = {
        "User-Agent": f"leaderexec/{__version__}",
        "Accept": "application/json",
        "Content-Type": "application/json",
    }
    token = cluster.token()
    if token:
        found["Authorization"] = f"Bearer {token}"
    return found


def _was_closed(error: BaseException) -> bool:
    return isinstance(error, http.client.RemoteDisconnected | ConnectionError)


def _unreachable(cluster: Cluster, error: BaseException) -> Trouble:
    name = type(error).__name__
    if name.startswith(("SSL", "CertificateError")):
        return Trouble(
            "tls",
            f"{name}: {error}",
            f"check the certificate authority and the host's name ({cluster.where})",
        )
    if isinstance(error, http.client.HTTPException) and not _was_closed(error):
        return _broken(f"{name}: {error}")
    timed_out = isinstance(error, TimeoutError)
    return Trouble(
        "timeout" if timed_out else "unreachable",
        f"{name}: {error}",
        "nothing, if the API server is restarting; else check its address and network policies"
        f" ({cluster.where})",
    )


def _broken(why: str) -> Trouble:
    return Trouble("broken-answer", why, "check that this URL is an API server's")
