"""A small HTTP server for probes and scrapes: one thread, many connections, nothing without bound.

h11 speaks the protocol; this is its I/O. Each connection gets one answer, DEADLINE seconds and
MAX_REQUEST bytes. When there are too many, the oldest is dropped: whoever opens a thousand and says
nothing loses them to the probe that comes next. No request can change anything, and nothing here
waits for the deciding thread but the one question whether it turns.
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
    """What was asked for."""

    method: str
    path: str
    headers: dict[str, str]


class Response(NamedTuple):
    """What is answered."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def plain(status: int, text: str, *headers: tuple[str, str]) -> Response:
    """Return a line of text."""
    return Response(status, "text/plain; charset=utf-8", f"{text}\n".encode(), headers)


class _Connection:
    """One caller: read its request, write the answer, wait for it to hang up."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self.sock = sock
        self.deadline = deadline
        self.protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST)
        self.to_send = b""
        self.answered = False

    def request(self, data: bytes) -> Request | None:
        """Take bytes in; return the request once it is whole. Raises h11.RemoteProtocolError."""
        self.protocol.receive_data(data)
        event = self.protocol.next_event()
        if not isinstance(event, h11.Request):
            return None
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
        path = event.target.decode("latin-1").partition("?")[0]
        return Request(event.method.decode("latin-1"), path, headers)

    def answer(self, response: Response, *, head: bool) -> None:
        """Queue the answer."""
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
    """Answers requests in its own thread."""

    def __init__(
        self,
        listener: socket.socket,
        respond: Callable[[Request], Response],
        complain: Callable[[str], None],
    ) -> None:
        """`respond` must not wait; `complain` is told of bugs of ours."""
        self._listener = listener
        self._respond = respond
        self._complain = complain
        self._selector = selectors.DefaultSelector()
        # In the order of their deadlines, which are all equally long.
        self._connections: dict[socket.socket, _Connection] = {}
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # Descriptors are for starting and stopping the command, first of all.
        self.most_connections = max(8, min(MAX_CONNECTIONS, soft // 4))
        self._hang_up, self._closed = socket.socketpair()

    def serve(self) -> None:
        """Answer until closed."""
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
        """Have the serving thread hang up on everybody and end."""
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
                # None waits, it hung up already, or we are out of descriptors: then the oldest
                # must go before another can come.
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
            # A body, or more requests: nobody reads them, but to close now would reset the
            # connection and take the answer back (RFC 9112, section 9.6).
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
                405, "only GET and HEAD: nothing can be changed here", ("Allow", "GET, HEAD")
            )
        try:
            return self._respond(request)
        except Exception as error:  # noqa: BLE001 - told, and the next request is answered
            self._complain(f"{request.path}: {type(error).__name__}: {error}")
            return plain(500, "a bug in leaderexec; its log says more")

    def _write(self, connection: _Connection) -> None:
        sent = connection.sock.send(connection.to_send)
        connection.to_send = connection.to_send[sent:]
        if connection.to_send:
            self._selector.modify(connection.sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
            return
        self._selector.modify(connection.sock, selectors.EVENT_READ)
        connection.sock.shutdown(socket.SHUT_WR)

    def _drop(self, connection: _Connection) -> None:
        del self._connections[connection.sock]
        self._selector.unregister(connection.sock)
        with suppress(OSError):
            connection.sock.close()
