"""A server that answers with given bytes, in this thread: on each connection one answer lies in the
socket before it is asked."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock


class _Near(socket.socket):
    """One end of a pair. It has no options of TCP."""

    def setsockopt(self, *arguments: Any) -> None:
        """Set what such a socket has."""
        if arguments[0] != socket.IPPROTO_TCP:
            super().setsockopt(*arguments)


@contextmanager
def answering(*answers: bytes) -> Iterator[None]:
    """Let every connection of `http_client` that is opened meanwhile lead to such a server. After
    the last answer it closes each without any."""
    servers = []
    left = iter(answers)

    def connect(*_: object) -> socket.socket:
        ours, servers_end = socket.socketpair()
        servers.append(servers_end)
        servers_end.sendall(next(left, b""))
        servers_end.shutdown(socket.SHUT_WR)
        return _Near(ours.family, ours.type, fileno=ours.detach())

    try:
        with mock.patch("socket.create_connection", connect):
            yield
    finally:
        for server in servers:
            server.close()
