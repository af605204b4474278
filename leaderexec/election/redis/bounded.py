"""Bounds for what Redis answers: redis-py limits each receive, so that an answer could trickle in,
or go on, forever."""

import socket
import time
from contextlib import suppress
from typing import Any

# The longest answer is a key's content, which something else may have written.
_MOST_BYTES = 64 * 1024
# A socket timeout of 0 would make it non-blocking.
_LEAST = 0.001


def bound(client: Any, seconds: float) -> "Bounds":
    """Bound what is received on the connections that the client opens from now on; return the
    bounds. Beyond them redis-py raises its TimeoutError and ConnectionError."""
    bounds, pool = Bounds(seconds), client.connection_pool
    plain: Any = pool.connection_class

    class Bounded(plain):  # type: ignore[misc]
        def _connect(self) -> "_BoundedSocket":
            bounds.opened = super()._connect()
            return _BoundedSocket(bounds.opened, bounds)

    pool.connection_class = Bounded
    return bounds


class Bounds:
    """`seconds` from what is sent to the end of the answer, and 64 kB. `opened`: the connection
    opened last."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.opened: socket.socket | None = None
        self.begin()

    def begin(self) -> None:
        """Begin again, as whenever something is sent."""
        self._deadline = time.monotonic() + self._seconds
        self._left = _MOST_BYTES

    def end(self) -> None:
        """End the connection: who waits for an answer wakes up."""
        if self.opened is not None:
            with suppress(OSError):
                # Not an SSLSocket's method, which would discard the state that the reader uses.
                socket.socket.shutdown(self.opened, socket.SHUT_RDWR)

    def limit(self, opened: Any) -> None:
        """Wait no longer than until the deadline. Raises TimeoutError after it."""
        # redis-py only looks, without waiting, whether an idle connection was closed.
        if opened.gettimeout() == 0:
            return
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        opened.settimeout(max(_LEAST, left))

    def count(self, received: int) -> None:
        """Count what was received. Raises OSError if that is too much."""
        self._left -= received
        if self._left < 0:
            raise OSError("its answer is longer than any valid one")


class _BoundedSocket:
    """A socket as redis-py and hiredis use it."""

    def __init__(self, opened: Any, bounds: Bounds) -> None:
        self._opened = opened
        self._bounds = bounds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._opened, name)

    def sendall(self, data: bytes) -> None:
        self._bounds.begin()
        self._bounds.limit(self._opened)
        self._opened.sendall(data)

    def recv(self, size: int, *flags: int) -> bytes:
        self._bounds.limit(self._opened)
        data: bytes = self._opened.recv(size, *flags)
        self._bounds.count(len(data))
        return data

    def recv_into(self, buffer: Any) -> int:
        self._bounds.limit(self._opened)
        count: int = self._opened.recv_into(buffer)
        self._bounds.count(count)
        return count
