"""``--status``: query a running leaderexec at its ``--http`` address."""

import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any

from leaderexec import optional_imports
from leaderexec.config.options import Address
from leaderexec.console import screen
from leaderexec.console.render import picture
from leaderexec.console.screen import CannotAsk

with optional_imports.imports():
    import requests
    import urllib3

PATIENCE = 5.0
_MOST_BYTES = 10_000_000


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


def draw(address: Address) -> str:
    """Return the picture of the status. Raises CannotAsk."""
    status = ask(address)
    ago = {moment: screen.age(moment) for moment in _moments(status)}
    return picture(status, ago, screen.width(), colours=screen.colours())


def in_json(address: Address) -> str:
    """Return the status as one line of JSON, in ASCII. Raises CannotAsk."""
    return f"{json.dumps(ask(address))}\n"


def _moments(status: Mapping[str, Any]) -> Iterator[str]:
    for moment in (status["since"], status["role_since"], status["command"]["started"]):
        if moment is not None:
            yield moment
