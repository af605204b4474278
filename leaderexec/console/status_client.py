"""``--status``: ask a running wrapper at its own ``--http`` address."""

import http.client
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

from leaderexec.config.options import Address
from leaderexec.console.render import picture

PATIENCE = 5.0
REFRESH = 1.0
_MOST_BYTES = 10_000_000
# Alternate screen with the cursor hidden, and back; from the top, and what is below erased
# (ECMA-48; xterm's private modes 1049 and 25).
_ENTER, _LEAVE, _TOP, _REST = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l", "\x1b[H", "\x1b[J"


class CannotAsk(Exception):
    """Nobody answers there, or not as leaderexec does."""


class _Unix(http.client.HTTPConnection):
    """HTTP over unix(7)."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self._path)


def ask(address: Address) -> dict[str, Any]:
    """Return what /status says; raise CannotAsk."""
    wildcard = address.host in ("", "0.0.0.0", "::")  # noqa: S104 - where it listens, we ask loopback
    host = "localhost" if wildcard else address.host
    connection = (
        http.client.HTTPConnection(host, address.port, timeout=PATIENCE)
        if address.path is None
        else _Unix(address.path)
    )
    try:
        connection.request("GET", "/status")
        answer = connection.getresponse()
        said = json.loads(answer.read(_MOST_BYTES))
        if answer.status != 200 or "role" not in said:  # noqa: PLR2004 - HTTP
            raise CannotAsk(f"what listens at {address} is no leaderexec")
        return dict(said)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CannotAsk(
            f"no leaderexec answers at {address} ({type(error).__name__}: {error});"
            " is it running, with this --http address?"
        ) from None
    finally:
        connection.close()


def show(address: Address) -> None:
    """Print the picture once. Raises CannotAsk."""
    sys.stdout.write(_draw(ask(address)))


def watch(address: Address) -> None:
    """Draw the picture again and again, until Ctrl-C. Raises CannotAsk when nobody answers at
    first; later that is told in the picture's place."""
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
