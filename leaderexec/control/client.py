"""Query running leaderexec processes through their control sockets."""

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from leaderexec.control import place

PATIENCE = 5.0
_LONGEST_LINE = 65536


class CannotAsk(Exception):
    """Nothing responds there, or something other than leaderexec."""


class Wrapper(NamedTuple):
    """A running leaderexec, and what it reports about leadership."""

    path: str
    identity: str
    pid: int
    election: str
    setting: str
    leader: str | None
    confirmed: bool
    is_leader: bool


def running(environ: Mapping[str, str], control_socket: str | None) -> list[Wrapper]:
    """Return those that respond, by their names: at this socket, or with ``auto`` in all
    directories."""
    paths = place.sockets(environ) if control_socket == "auto" else (control_socket,)
    found = []
    for path in paths:
        with suppress(CannotAsk, KeyError, TypeError):
            if path is not None:
                found.append(_described(path))
    # The sockets' names begin with pids, whose order as text changes from 999 to 1000.
    return sorted(found, key=lambda one: (str(one.identity), one.path))


def _described(path: str) -> Wrapper:
    said = next(ask(path, {"ask": "leader"}, PATIENCE), None) or {}
    names = Wrapper._fields[1:]
    return Wrapper(path, *(said[name] for name in names))


def ask(path: str, question: Mapping[str, Any], timeout: float | None) -> Iterator[dict[str, Any]]:
    """Send a request, and yield each line of the response as it arrives; `timeout` is in seconds
    between two lines, None for no limit. Raises CannotAsk."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
            server.settimeout(PATIENCE)
            server.connect(path)
            server.sendall(json.dumps(question).encode() + b"\n")
            server.settimeout(timeout)
            with server.makefile("rb") as lines:
                while line := lines.readline(_LONGEST_LINE):
                    said = json.loads(line)
                    if not isinstance(said, dict):
                        raise CannotAsk(f"the server at {path} is not leaderexec")
                    yield said
    except (OSError, ValueError, RecursionError) as error:
        raise CannotAsk(f"no leaderexec responds at {path} ({error})") from None
