"""Servers whose answers don't end."""

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

Serve = Callable[[socket.socket], None]


@contextmanager
def serving(serve: Serve) -> Iterator[int]:
    """Serve each connection with a function, once something was asked; yield the port."""

    def each(client: socket.socket) -> None:
        with client, suppress(OSError):
            client.settimeout(20)
            if client.recv(65536):
                serve(client)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = server.accept()
                thread = threading.Thread(target=each, args=(client,))
                thread.start()
                threads.callback(thread.join)

    with ExitStack() as threads, socket.create_server(("127.0.0.1", 0)) as server:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            accepting.join()


def trickle(first: bytes, again: bytes) -> Serve:
    """Write byte by byte, so that no single receive takes long, until the client leaves."""

    def serve(client: socket.socket) -> None:
        client.settimeout(0.02)
        for byte in itertools.chain(first, itertools.cycle(again)):
            with suppress(TimeoutError):
                if not client.recv(1):
                    return
            client.sendall(bytes((byte,)))

    return serve


def flood(first: bytes, again: bytes) -> Serve:
    """Write as much as is taken, until the client leaves."""

    def serve(client: socket.socket) -> None:
        client.sendall(first)
        while True:
            client.sendall(again * 4096)

    return serve
