"""A small HTTP server for probes and scrapes: one thread, many connections, everything bounded.

h11 handles the protocol; this is its I/O. Each connection gets one response, DEADLINE seconds and
MAX_REQUEST bytes. When there are too many, the oldest is dropped: a client that opens a thousand
idle ones loses them to the next probe. No request can change anything, and nothing here
waits for the main thread except the check whether it responds.

Some may follow: their response has no end. There are few of these, each has at most one message to
be sent, and one who does not take it within DEADLINE is dropped.
"""

import resource
import selectors
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

import h11

if TYPE_CHECKING:
    from leaderexec.http.live import Live

DEADLINE = 5.0
MAX_REQUEST = 8192
MAX_CONNECTIONS = 512
MAX_FOLLOWERS = 16
# What a follower that does not read may leave with the kernel (socket(7), SO_SNDBUF).
_UNREAD = 65536
_READ = 8192
_ACCEPTS = 64


class Request(NamedTuple):
    """A request."""

    method: str
    path: str
    headers: dict[str, str]


class Response(NamedTuple):
    """A response. With `follows`, the beginning of one that goes on with all that is live."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    follows: bool = False


def plain(status: int, text: str, *headers: tuple[str, str]) -> Response:
    """Return a response of one line of text."""
    return Response(status, "text/plain; charset=utf-8", f"{text}\n".encode(), headers)


class _Connection:
    """One client: read its request, write the response, wait for it to close the connection."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self.sock = sock
        self.deadline = deadline
        self.protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST)
        self.to_send = b""
        self.answered = False
        self.follows = False

    def request(self, data: bytes) -> Request | None:
        """Take in bytes; return the request once it is complete. Raises h11.RemoteProtocolError."""
        self.protocol.receive_data(data)
        event = self.protocol.next_event()
        if not isinstance(event, h11.Request):
            return None
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
        path = event.target.decode("latin-1").partition("?")[0]
        return Request(event.method.decode("latin-1"), path, headers)

    def answer(self, response: Response, *, head: bool) -> None:
        """Queue the response."""
        self.answered = True
        self.follows = response.follows and not head
        length = [] if response.follows else [("Content-Length", str(len(response.body)))]
        headers = [
            ("Content-Type", response.content_type),
            *length,
            ("Cache-Control", "no-store"),
            ("Connection", "close"),
            *response.headers,
        ]
        protocol = self.protocol
        self.to_send = (
            protocol.send(
                h11.Response(
                    status_code=response.status,
                    headers=headers,
                    reason=HTTPStatus(response.status).phrase,
                )
            )
            or b""
        )
        if not head:
            self.tell(response.body)

    def tell(self, part: bytes) -> None:
        """Queue a part of the response."""
        self.to_send += self.protocol.send(h11.Data(data=part)) or b""


class Server:
    """Serves requests in its own thread."""

    def __init__(
        self,
        listener: socket.socket,
        respond: Callable[[Request], Response],
        complain: Callable[[str], None],
        live: "Live | None" = None,
    ) -> None:
        """`respond` must not wait; `complain` is called with descriptions of our bugs; `live` says
        what followers are told."""
        self._listener = listener
        self._respond = respond
        self._complain = complain
        self._selector = selectors.DefaultSelector()
        # In the order of their deadlines: every connection gets the same time.
        self._connections: dict[socket.socket, _Connection] = {}
        self._followers: dict[socket.socket, _Connection] = {}
        self._live = live
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # Starting and stopping the command has priority in the use of descriptors.
        self.most_connections = max(8, min(MAX_CONNECTIONS, soft // 4))
        self.most_followers = min(MAX_FOLLOWERS, self.most_connections // 4)
        self._hang_up, self._closed = socket.socketpair()

    def serve(self) -> None:
        """Serve until closed."""
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._closed, selectors.EVENT_READ)
        if self._live is not None:
            self._selector.register(self._live, selectors.EVENT_READ)
        while True:
            for key, mask in self._selector.select(self._until_next_deadline()):
                if key.fileobj is self._closed:
                    self._end()
                    return
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket):
                    self._serve_one(key.fileobj, mask)
                elif self._live is not None:
                    self._live.heard()
            self._drop_late()
            if self._live is not None and self._followers and self._live.due_in() <= 0:
                self._tell_followers(self._live)

    def close(self) -> None:
        """Make the serving thread close all connections and exit."""
        self._hang_up.close()

    def _end(self) -> None:
        for connection in (*self._connections.values(), *self._followers.values()):
            self._drop(connection)
        self._selector.close()
        self._closed.close()
        self._listener.close()

    def _until_next_deadline(self) -> float | None:
        waits = []
        for connection in self._connections.values():
            waits.append(max(0.0, connection.deadline - time.monotonic()))
            break
        if self._live is not None and self._followers:
            waits.append(self._live.due_in())
        return min(waits, default=None)

    def _drop_late(self) -> None:
        now = time.monotonic()
        for connection in list(self._connections.values()):
            if connection.deadline > now:
                return
            self._drop(connection)

    def _accept(self) -> None:
        for _ in range(_ACCEPTS):
            try:
                sock, _ = self._listener.accept()
            except OSError:
                # None is waiting, it was closed already, or we are out of descriptors: then the
                # oldest must be closed before another can be accepted.
                if len(self._connections) >= self.most_connections:
                    self._drop(next(iter(self._connections.values())))
                return
            if len(self._connections) >= self.most_connections:
                self._drop(next(iter(self._connections.values())))
            sock.setblocking(False)
            self._connections[sock] = _Connection(sock, time.monotonic() + DEADLINE)
            self._selector.register(sock, selectors.EVENT_READ)

    def _serve_one(self, sock: socket.socket, mask: int) -> None:
        connection = self._connections.get(sock) or self._followers.get(sock)
        if connection is None:
            return
        try:
            if mask & selectors.EVENT_READ:
                self._read(connection)
            if connection.to_send:
                self._write(connection)
        except BlockingIOError:
            return
        except OSError:
            self._drop(connection)

    def _read(self, connection: _Connection) -> None:
        data = connection.sock.recv(_READ)
        if connection.answered:
            # A body, or more requests: they are ignored, but closing now would reset the
            # connection and discard the response (RFC 9112, section 9.6).
            if not data:
                self._drop(connection)
            return
        try:
            request = connection.request(data)
        except h11.RemoteProtocolError as error:
            if not data:
                self._drop(connection)
                return
            connection.answer(plain(error.error_status_hint, str(error)), head=False)
            return
        if request is not None:
            connection.answer(self._answer_to(request), head=request.method == "HEAD")
            if connection.follows and self._live is not None:
                self._let_follow(connection, self._live)
        elif not data:
            self._drop(connection)

    def _answer_to(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return plain(
                405, "only GET and HEAD are allowed: nothing can be changed", ("Allow", "GET, HEAD")
            )
        try:
            response = self._respond(request)
        except Exception as error:  # noqa: BLE001 - it is logged, and the next request is served
            self._complain(f"{request.path}: {type(error).__name__}: {error}")
            return plain(500, "a bug in leaderexec; its log says more")
        if response.follows and len(self._followers) >= self.most_followers:
            return plain(
                503,
                f"{self.most_followers} clients follow already; close a page, or poll /status",
                ("Retry-After", "5"),
            )
        return response

    def _let_follow(self, connection: _Connection, live: "Live") -> None:
        del self._connections[connection.sock]
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNREAD)
        if not self._followers:
            live.follow(on=True)
        self._followers[connection.sock] = connection
        if (message := self._message(live.event)) is not None:
            connection.tell(message)

    def _message(self, made: Callable[[], bytes]) -> bytes | None:
        """Return a message; None, and no follower is left, if there is a bug in it."""
        try:
            return made()
        except Exception as error:  # noqa: BLE001 - it is logged, and the next request is served
            self._complain(f"to followers: {type(error).__name__}: {error}")
            for connection in list(self._followers.values()):
                self._drop(connection)
            return None

    def _tell_followers(self, live: "Live") -> None:
        message = self._message(live.message)
        if message is None:
            return
        now = time.monotonic()
        for connection in list(self._followers.values()):
            if not connection.to_send:
                connection.tell(message)
                connection.deadline = now + DEADLINE
                self._serve_one(connection.sock, selectors.EVENT_WRITE)
            elif connection.deadline <= now:
                self._drop(connection)

    def _write(self, connection: _Connection) -> None:
        with suppress(BlockingIOError):
            sent = connection.sock.send(connection.to_send)
            connection.to_send = connection.to_send[sent:]
        if connection.to_send:
            self._selector.modify(connection.sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
            return
        self._selector.modify(connection.sock, selectors.EVENT_READ)
        if not connection.follows:
            connection.sock.shutdown(socket.SHUT_WR)

    def _drop(self, connection: _Connection) -> None:
        if self._followers.pop(connection.sock, None) is None:
            del self._connections[connection.sock]
        elif self._live is not None and not self._followers:
            self._live.follow(on=False)
        # It may have hung up in the middle of its response.
        connection.to_send = b""
        self._selector.unregister(connection.sock)
        with suppress(OSError):
            connection.sock.close()
