"""A client that shows the bytes as they arrive."""

import json
import re
import socket
import struct
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import pytest

_DATE = re.compile(rb"Date: [A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT")
_TIME = re.compile(rb'"last_update":"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z"')


def settled(data: bytes) -> bytes:
    """Replace the timestamps by fixed values."""
    return _TIME.sub(b'"last_update":"TIME"', _DATE.sub(b"Date: DATE", data))


class Client:
    """A connection to an elector; every wait is bounded by ten seconds."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.socket.close()

    def ask(self, target: str, method: str = "GET", version: str = "1.1", more: str = "") -> None:
        """Send a request."""
        head = f"{method} {target} HTTP/{version}\r\nHost: localhost\r\n{more}\r\n"
        self.socket.sendall(head.encode())

    def until(self, end: bytes) -> bytes:
        """Read until the bytes end like this."""
        data = b""
        while not data.endswith(end):
            got = self.socket.recv(1)
            assert got, f"closed after {data!r}"
            data += got
        return data

    def rest(self) -> bytes:
        """Read until the connection is closed."""
        data = b""
        while got := self.socket.recv(65536):
            data += got
        return data

    def reset(self) -> None:
        """Close by RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def until_reset(self) -> bytes:
        """Read until RST; a clean close fails."""
        data = b""
        try:
            while got := self.socket.recv(65536):
                data += got
        except ConnectionResetError:
            return data
        pytest.fail(f"closed cleanly after {data!r}")

    def segment(self) -> bytes:
        """Read what has arrived in one piece."""
        return self.socket.recv(65536)

    def head(self) -> bytes:
        """Read the head of a response."""
        return self.until(b"\r\n\r\n")

    def answer(self) -> tuple[int, bytes, bytes]:
        """Read a response with a Content-Length: its status, head and body."""
        head = self.head()
        found = re.search(rb"Content-Length: (\d+)", head)
        assert found, head
        body = b""
        while len(body) < int(found[1]):
            got = self.socket.recv(int(found[1]) - len(body))
            assert got, f"closed after {body!r}"
            body += got
        return int(head.split()[1]), head, body

    def event(self) -> bytes:
        """Read one chunk's data."""
        size = int(self.until(b"\r\n"), 16)
        data = b""
        while len(data) < size + 2:
            got = self.socket.recv(size + 2 - len(data))
            assert got, f"closed after {data!r}"
            data += got
        return data[:-2]

    def silent(self) -> bool:
        """Return whether the connection is open and nothing has arrived."""
        self.socket.setblocking(False)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(10)
        return False


def request(url: str, target: str = "/", method: str = "GET") -> tuple[int, bytes]:
    """Send one request; return the status and the body."""
    with Client(url) as client:
        client.ask(target, method)
        status, _, body = client.answer()
        return status, body


def told(event: bytes) -> Any:
    """Return the document of an event."""
    assert event.startswith(b"data: ")
    return json.loads(event.removeprefix(b"data: "))
