"""HTTP to an elector or an API server, with the standard library: no other client is as light.

Every wait and every read is bounded. A timeout per read would let a response trickle in
byte by byte forever, so one deadline and one size apply to all of it, including headers and interim
responses.
"""

import http.client
import socket
import time

from leaderexec.light_typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

# A socket timeout of 0 would make it non-blocking.
_LEAST = 0.001


class TooSlow(TimeoutError):
    """A response began, and was not complete in time."""

    def __init__(self) -> None:
        super().__init__("its response took longer than the request's timeout")


class TooLong(http.client.HTTPException):
    """A response is longer than any valid one."""

    def __init__(self) -> None:
        super().__init__("its response is longer than any valid one")


class Bounds:
    """Bounds of a socket: one deadline for all reads and writes, and one size for all reads."""

    _deadline: float | None = None
    _left: int | None = None
    _begun = False

    def bound(self, seconds: float, most: int | None) -> None:
        """Limit everything that follows to `seconds` from now, and `most` bytes (None: any)."""
        self._deadline = time.monotonic() + seconds
        self._left, self._begun = most, False

    def unbind(self) -> None:
        """From now on wait and read without limits."""
        self._deadline = self._left = None
        self.settimeout(None)  # type: ignore[attr-defined]

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """Receive, like a file made from this socket. Raises TooLong and TooSlow beyond the
        bounds, and TimeoutError if no response has begun."""
        wanted = nbytes or len(buffer)
        if self._left is not None:
            # A file reads ahead, 128 kB with Python 3.14: of a stream, more than its head.
            wanted = min(wanted, max(1, self._left))
        try:
            self._limit()
            count: int = super().recv_into(buffer, wanted, flags)  # type: ignore[misc]
        except TimeoutError:
            if not self._begun:
                raise
            raise TooSlow from None
        self._begun = True
        if self._left is not None:
            self._left -= count
            if self._left < 0:
                raise TooLong
        return count

    def sendall(self, *arguments: Any) -> None:
        """Send. Raises TimeoutError."""
        self._limit()
        super().sendall(*arguments)  # type: ignore[misc]

    def _limit(self) -> None:
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self.settimeout(max(_LEAST, left))  # type: ignore[attr-defined]


class BoundedSocket(Bounds, socket.socket):
    """A socket without TLS."""


class Connection(http.client.HTTPConnection):
    """A connection, plain or with TLS; never through a proxy. Must be bounded before use."""

    # An ssl.SSLSocket with Bounds, or a BoundedSocket.
    sock: Any
    timeout: float
    _most: int | None = None

    def __init__(
        self,
        host: str,
        port: int,
        tls: "Callable[[], ssl.SSLContext] | None" = None,
        server_name: str | None = None,
    ) -> None:
        super().__init__(host, port)
        self._tls = tls
        self._server_name = server_name

    def bound(self, seconds: float, most: int) -> None:
        """Limit everything that follows, including connecting; see Bounds."""
        self.timeout, self._most = max(_LEAST, seconds), most
        if self.sock is not None:
            self.sock.bound(seconds, most)

    def connect(self) -> None:
        """Connect. Raises OSError, ssl.SSLError among them."""
        give_up = time.monotonic() + self.timeout
        opened: Any = socket.create_connection((_plain(self.host), self.port), self.timeout)
        try:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._tls is None:
                plain = BoundedSocket(opened.family, opened.type, fileno=opened.detach())
                plain.settimeout(self.timeout)
                opened = plain
            else:
                context = _bounding(self._tls())
                opened = context.wrap_socket(opened, server_hostname=_plain(self._server_name))
            opened.bound(give_up - time.monotonic(), self._most)
        except BaseException:
            opened.close()
            raise
        self.sock = opened


def _plain(host: str | None) -> Any:
    """Return a host's name as bytes if it is ASCII: for a str Python loads its tables of
    international names, which take 0.4 MB."""
    return host.encode() if host is not None and host.isascii() else host


def _bounding(context: Any) -> Any:
    import ssl

    class _TlsSocket(Bounds, ssl.SSLSocket):
        pass

    context.sslsocket_class = _TlsSocket
    return context
