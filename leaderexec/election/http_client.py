"""HTTP to an elector or an API server, by the standard library: no other client is as light.

Nothing is waited for, or read, without a bound. A bound for each read would let an answer come byte
by byte for ever, so one deadline and one size hold for all of it, headers and interim answers too.
"""

import http.client
import socket
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

# A socket's timeout of 0 would mean that it does not wait at all.
_LEAST = 0.001


class TooSlow(TimeoutError):
    """An answer began, and did not end in time."""

    def __init__(self) -> None:
        super().__init__("its answer took longer than the request's timeout")


class TooLong(http.client.HTTPException):
    """An answer is longer than any that is meant."""

    def __init__(self) -> None:
        super().__init__("its answer is longer than any that is meant")


class Bounds:
    """Of a socket: one deadline for all its reads and writes, and one size for all its reads."""

    _deadline: float | None = None
    _left: int | None = None
    _begun = False

    def bound(self, seconds: float, most: int | None) -> None:
        """Bound all that follows to so many seconds from now, and so many bytes (None: any)."""
        self._deadline = time.monotonic() + seconds
        self._left, self._begun = most, False

    def unbind(self) -> None:
        """From now on wait and read without a bound."""
        self._deadline = self._left = None
        self.settimeout(None)  # type: ignore[attr-defined]

    def recv_into(self, *arguments: Any) -> int:
        """Receive, as a file made of this socket does. Raises TooLong and TooSlow beyond the
        bounds, and TimeoutError where no answer has begun: nobody is there."""
        try:
            self._limit()
            count: int = super().recv_into(*arguments)  # type: ignore[misc]
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
    """One without TLS."""


class Connection(http.client.HTTPConnection):
    """A connection, plain or by TLS; never by a proxy. To be bounded before it is used."""

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
        """Bound all that follows, connecting included; see Bounds."""
        self.timeout, self._most = max(_LEAST, seconds), most
        if self.sock is not None:
            self.sock.bound(seconds, most)

    def connect(self) -> None:
        """Connect. Raises OSError, ssl.SSLError among them."""
        give_up = time.monotonic() + self.timeout
        opened: Any = socket.create_connection((self.host, self.port), self.timeout)
        try:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._tls is None:
                plain = BoundedSocket(opened.family, opened.type, fileno=opened.detach())
                plain.settimeout(self.timeout)
                opened = plain
            else:
                context = _bounding(self._tls())
                opened = context.wrap_socket(opened, server_hostname=self._server_name)
            opened.bound(give_up - time.monotonic(), self._most)
        except BaseException:
            opened.close()
            raise
        self.sock = opened


def _bounding(context: Any) -> Any:
    import ssl

    class _TlsSocket(Bounds, ssl.SSLSocket):
        pass

    context.sslsocket_class = _TlsSocket
    return context
