"""Each probe, with a real target."""

import http.server
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from leaderexec.config.options import listen_address
from leaderexec.health.http_probe import HttpProbe
from leaderexec.health.probes import FileProbe, TcpProbe

LONG = 20.0


class Handler(http.server.BaseHTTPRequestHandler):
    """Responds with the status in the path."""

    def do_GET(self) -> None:
        """Respond."""
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, format: str, *_args: object) -> None:  # noqa: A002 - as it is called there
        """Drop the message."""


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a server."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a program that hangs: the kernel accepts for it, and no response follows."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.mark.parametrize("status", [200, 204, 302])
def test_http_is_healthy_with_2xx_and_3xx(port: int, status: int) -> None:
    """Redirects are not followed."""
    assert HttpProbe(f"http://127.0.0.1:{port}/{status}").ask(LONG) is None


@pytest.mark.parametrize("status", [404, 500, 503])
def test_http_says_which_status_it_got(port: int, status: int) -> None:
    """For the log."""
    probe = HttpProbe(f"http://127.0.0.1:{port}/{status}")
    assert probe.ask(LONG) == f"answered with {status}"


def test_http_waits_no_longer_than_its_timeout(silent: int) -> None:
    """Even if the connection is accepted."""
    before = time.monotonic()
    assert HttpProbe(f"http://127.0.0.1:{silent}/").ask(0.05) == "no answer within 0.05s"
    assert time.monotonic() - before < LONG


def test_a_missing_server_is_reported() -> None:
    """The connection is refused, or there is no such socket."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    refused = "Connection refused"
    assert refused in str(HttpProbe(f"http://127.0.0.1:{port}/").ask(LONG))
    assert refused in str(TcpProbe(listen_address(f"127.0.0.1:{port}")).ask(LONG))
    assert "No such file" in str(TcpProbe(listen_address("unix:/no/such/socket")).ask(LONG))


def test_tcp_is_healthy_if_a_connection_is_accepted(silent: int, tmp_path: Path) -> None:
    """Over TCP, and over a Unix socket."""
    assert TcpProbe(listen_address(f"127.0.0.1:{silent}")).ask(LONG) is None
    path = os.path.relpath(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        assert TcpProbe(listen_address(f"unix:{tmp_path}/socket")).ask(LONG) is None


def test_a_file_has_to_be_written_between_two_looks(tmp_path: Path) -> None:
    """A file left by an earlier run proves nothing, whatever the clock says."""
    path = tmp_path / "alive"
    path.touch()
    probe = FileProbe(str(path))
    probe.begin()
    assert "was not written" in str(probe.ask(LONG))
    os.utime(path, (1, 1))
    assert probe.ask(LONG) is None
    assert "was not written" in str(probe.ask(LONG))
    path.unlink()
    assert "No such file" in str(probe.ask(LONG))
    path.touch()
    assert probe.ask(LONG) is None
