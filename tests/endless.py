"""A server that answers as a test says, and answers that don't end."""

import itertools
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

Serve = Callable[[socket.socket], None]


@contextmanager
def serving(serve: Serve) -> Iterator[int]:
    """Serve connections, one after the other, with a function; yield the port."""

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = server.accept()
                with client, suppress(OSError):
                    client.settimeout(20)
                    serve(client)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def dribble(client: socket.socket, data: Iterable[int]) -> None:
    """Write byte by byte, so that no single read takes long, until the client leaves."""
    client.settimeout(0.02)
    for byte in data:
        with suppress(TimeoutError):
            if not client.recv(1):
                return
        client.sendall(bytes((byte,)))


def trickle(first: bytes, again: bytes) -> Serve:
    """Answer a question with `first`, and then `again` and again, byte by byte."""

    def serve(client: socket.socket) -> None:
        if client.recv(65536):
            dribble(client, itertools.chain(first, itertools.cycle(again)))

    return serve


def flood(first: bytes, again: bytes) -> Serve:
    """The same, as fast as it is taken."""

    def serve(client: socket.socket) -> None:
        if client.recv(65536):
            client.sendall(first)
            while True:
                client.sendall(again * 4096)

    return serve
