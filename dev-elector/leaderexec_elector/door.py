"""A listening socket that can be closed and reopened without losing its port."""

import asyncio
import socket
from collections.abc import Callable

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]


class Door:
    """Accepts connections at an address while it is open.

    Raises OSError if the address is not available.
    """

    def __init__(self, host: str, port: int, serve: Serve) -> None:
        # A socket that is bound but never listens keeps the port: connections are refused, and
        # no other process gets the port while the door is shut.
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._reservation = _bound(family, host, port)
        self._serve = serve
        self._server: asyncio.Server | None = None
        self._listener: socket.socket | None = None
        self._closing: asyncio.Future[None] | None = None
        self.host: str = host
        self.port: int = self._reservation.getsockname()[1]

    @property
    def url(self) -> str:
        """The address as a URL, with its final slash."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"

    async def open(self) -> None:
        """Listen; does nothing if it is open, or was closed."""
        if self._server is None and self._reservation.fileno() != -1:
            self._listener = _bound(self._reservation.family, self.host, self.port)
            self._server = await asyncio.start_server(self._serve, sock=self._listener, backlog=512)

    def shut(self) -> None:
        """Refuse new connections; accepted ones continue."""
        if self._server is not None and self._listener is not None:
            server, self._server = self._server, None
            asyncio.get_running_loop().remove_reader(self._listener.fileno())
            # Refuses at once (shutdown(2) of a listening socket, tcp(7)). asyncio's server must
            # outlive it by a few iterations: it would drop what it is accepting without closing it.
            self._listener.shutdown(socket.SHUT_RDWR)
            self._closing = asyncio.ensure_future(_close_later(server))

    def close(self) -> None:
        """Give up the port."""
        self.shut()
        self._reservation.close()


async def turns() -> None:
    """Let the loop finish what it has begun: asyncio accepts and closes in a few steps."""
    for _ in range(5):
        await asyncio.sleep(0)


async def _close_later(server: asyncio.Server) -> None:
    await turns()
    server.close()


def _bound(family: socket.AddressFamily | int, host: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return sock
