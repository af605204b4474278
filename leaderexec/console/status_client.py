"""``--status``: query a running leaderexec at its ``--http`` address."""

import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from leaderexec import optional_imports
from leaderexec.config.options import Address
from leaderexec.console.render import picture

with optional_imports.imports():
    import requests
    import urllib3

PATIENCE = 5.0
REFRESH = 1.0
_MOST_BYTES = 10_000_000
# Enter the alternate screen with the cursor hidden, and leave it; move to the top, and erase the
# rest (ECMA-48; xterm's private modes 1049 and 25).
_ENTER, _LEAVE, _TOP, _REST = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l", "\x1b[H", "\x1b[J"


class CannotAsk(Exception):
    """Nothing responds there, or something other than leaderexec."""


class _UnixConnection(urllib3.connection.HTTPConnection):
    """HTTP over unix(7)."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self._path)


class _UnixPool(urllib3.HTTPConnectionPool):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def _new_conn(self) -> _UnixConnection:
        return _UnixConnection(self._path)


class _UnixAdapter(requests.adapters.HTTPAdapter):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> _UnixPool:
        return _UnixPool(self._path)


def ask(address: Address) -> dict[str, Any]:
    """Return the content of /status; raise CannotAsk."""
    wildcard = address.host in ("", "0.0.0.0", "::")  # noqa: S104 - we connect to loopback instead
    host = "localhost" if wildcard else f"[{address.host}]" if ":" in address.host else address.host
    url = (
        f"http://{host}:{address.port}/status"
        if address.path is None
        else "http://localhost/status"
    )
    try:
        with requests.Session() as session:
            session.trust_env = False
            if address.path is not None:
                session.mount("http://", _UnixAdapter(address.path))
            answer = session.get(url, timeout=PATIENCE, stream=True, allow_redirects=False)
            said = json.loads(answer.raw.read(_MOST_BYTES))
        if answer.status_code != requests.codes.ok or "role" not in said:
            raise CannotAsk(f"the server at {address} is not leaderexec")
        return dict(said)
    except (OSError, urllib3.exceptions.HTTPError, ValueError) as error:
        cause = _innermost(error)
        raise CannotAsk(
            f"no leaderexec responds at {address} ({type(cause).__name__}: {cause});"
            " is it running, with this --http address?"
        ) from None


def _innermost(error: BaseException) -> BaseException:
    """Return the cause at the bottom: the layers above repeat themselves."""
    while error.__context__ is not None:
        error = error.__context__
    return error


def show(address: Address) -> None:
    """Print the picture once. Raises CannotAsk."""
    sys.stdout.write(_draw(ask(address)))


def watch(address: Address) -> None:
    """Refresh the picture until Ctrl-C. Raises CannotAsk if the first request fails; later the
    error is shown in place of the picture."""
    drawn = _draw(ask(address))
    on_terminal = sys.stdout.isatty()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if on_terminal:
            sys.stdout.write(_ENTER)
        while True:
            if on_terminal:
                drawn = _TOP + drawn.replace("\n", "\x1b[K\n") + _REST
            sys.stdout.write(drawn)
            sys.stdout.flush()
            time.sleep(REFRESH)
            try:
                drawn = _draw(ask(address))
            except CannotAsk as error:
                drawn = f"{error}\n"
    except KeyboardInterrupt:
        return
    finally:
        if on_terminal:
            sys.stdout.write(_LEAVE)


def _draw(status: Mapping[str, Any]) -> str:
    on_terminal = sys.stdout.isatty()
    now = datetime.now(UTC)
    ago = {
        moment: (now - datetime.fromisoformat(moment)).total_seconds()
        for moment in _moments(status)
    }
    width = shutil.get_terminal_size((200, 50)).columns if on_terminal else 10_000
    return picture(status, ago, width, colours=on_terminal and not os.environ.get("NO_COLOR"))


def _moments(status: Mapping[str, Any]) -> Iterator[str]:
    for moment in (status["since"], status["role_since"], status["command"]["started"]):
        if moment is not None:
            yield moment
