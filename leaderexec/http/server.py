"""A small HTTP server for probes and scrapes: one thread, many connections, everything bounded.

h11 handles the protocol; this is its I/O. Each connection gets one response, DEADLINE seconds and
MAX_REQUEST bytes. When there are too many, the oldest is dropped: a client that opens a thousand
idle ones loses them to the next probe. No request can change anything, and nothing here
waits for the main thread except the check whether it responds.
"""

import resource
import selectors
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import NamedTuple

import h11

DEADLINE = 5.0
MAX_REQUEST = 8192
MAX_CONNECTIONS = 512
_READ = 8192
_ACCEPTS = 64


class Request(NamedTuple):
    """A request."""

    method: str
    path: str
    headers: dict[str, str]


class Response(NamedTuple):
    """A response."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


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
        headers = [
            ("Content-Type", response.content_type),
            ("Content-Length", str(len(response.body))),
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
            self.to_send += protocol.send(h11.Data(data=response.body)) or b""


class Server:
    """Serves requests in its own thread."""

    def __init__(
        self,
        listener: socket.socket,
        respond: Callable[[Request], Response],
        complain: Callable[[str], None],
    ) -> None:
        """`respond` must not wait; `complain` is called with descriptions of our bugs."""
        self._listener = listener
        self._respond = respond
        self._complain = complain
        self._selector = selectors.DefaultSelector()
        # In the order of their deadlines: every connection gets the same time.
        self._connections: dict[socket.socket, _Connection] = {}
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # Starting and stopping the command has priority in the use of descriptors.
        self.most_connections = max(8, min(MAX_CONNECTIONS, soft // 4))
        self._hang_up, self._closed = socket.socketpair()

    def serve(self) -> None:
        """Serve until closed."""
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._closed, selectors.EVENT_READ)
        while True:
            for key, mask in self._selector.select(self._until_next_deadline()):
                if key.fileobj is self._closed:
                    self._end()
                    return
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket):
                    self._serve_one(key.fileobj, mask)
            self._drop_late()

    def close(self) -> None:
        """Make the serving thread close all connections and exit."""
        self._hang_up.close()

    def _end(self) -> None:
        for connection in list(self._connections.values()):
            self._drop(connection)
        self._selector.close()
        self._closed.close()
        self._listener.close()

    def _until_next_deadline(self) -> float | None:
        for connection in self._connections.values():
            return max(0.0, connection.deadline - time.monotonic())
        return None

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
        connection = self._connections.get(sock)
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
        elif not data:
            self._drop(connection)

    def _answer_to(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return plain(
                405, "only GET and HEAD are allowed: nothing can be changed", ("Allow", "GET, HEAD")
            )
        try:
            return self._respond(request)
        except Exception as error:  # noqa: BLE001 - it is logged, and the next request is served
            self._complain(f"{request.path}: {type(error).__name__}: {error}")
            return plain(500, "a bug in leaderexec; its log says more")

    def _write(self, connection: _Connection) -> None:
        with suppress(BlockingIOError):
            sent = connection.sock.send(connection.to_send)
            connection.to_send = connection.to_send[sent:]
        if connection.to_send:
            self._selector.modify(connection.sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
            return
        self._selector.modify(connection.sock, selectors.EVENT_READ)
        connection.sock.shutdown(socket.SHUT_WR)

    def _drop(self, connection: _Connection) -> None:
        del self._connections[connection.sock]
        # It may have hung up in the middle of its response.
        connection.to_send = b""
        self._selector.unregister(connection.sock)
        with suppress(OSError):
            connection.sock.close()
