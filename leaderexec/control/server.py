"""The control socket: the request is one line of JSON, the response is lines of JSON.

    {"ask": "leader"}                                            what ``/leader`` returns, and more
    {"ask": "step-down", "hold_off": 30.0, "until_taken": true}  each step as it happens

It is served by separate threads. They decide nothing: a step-down is an event like any other.
"""

import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from leaderexec.config import options
from leaderexec.config.settings import Config
from leaderexec.control.following import Request, StepDown
from leaderexec.control.place import UNFINISHED
from leaderexec.core import events
from leaderexec.election.kind import ElectionUnknown
from leaderexec.process.threads import begun
from leaderexec.status.document import Document
from leaderexec.status.snapshot import Published

_LONGEST_QUESTION = 4096
_PATIENCE = 5.0
_MOST_CLIENTS = 8
_BACKLOG = 16
# struct ucred of unix(7): pid, uid, gid.
_CREDENTIALS = struct.Struct("iII")


class Server:
    """Serves one socket."""

    def __init__(
        self,
        config: Config,
        shown: Mapping[str, str],
        published: Published,
        put: Callable[[events.Event], None],
        clock: Callable[[], float],
    ) -> None:
        self._config = config
        self._published = published
        self._document = Document(config, shown, dict, clock)
        self._setting = config.kind.which(shown)
        self._step_down = StepDown(config.identity, published, put, self._who_leads, clock)
        self._clients = threading.BoundedSemaphore(_MOST_CLIENTS)

    def serve(self, path: str) -> None:
        """Serve, forever. Raises OSError if it can't listen there."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            # Whoever finds a socket that refuses connections removes it as stale, so it gets its
            # name only once it listens. The other one is not longer: there is a limit.
            directory, name = os.path.split(path)
            beside = os.path.join(directory, f"{os.urandom(4).hex()[: len(name) - 1]}{UNFINISHED}")
            listener.bind(beside)
            os.chmod(beside, 0o600)
            listener.listen(_BACKLOG)
            os.link(beside, path)
            os.unlink(beside)
            while True:
                client, _ = listener.accept()
                self._clients.acquire()
                answer = partial(self._answer, client)
                if begun("control-client", answer) is None:
                    # Others wait meanwhile.
                    answer()

    def _answer(self, client: socket.socket) -> None:
        try:
            with client, suppress(OSError):
                client.settimeout(_PATIENCE)
                pid, uid, _ = _CREDENTIALS.unpack(
                    client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
                )
                if uid not in (0, os.geteuid()):
                    return
                for line in self._lines(_question(client), pid):
                    client.sendall(json.dumps(line).encode() + b"\n")
        finally:
            self._clients.release()

    def _lines(self, question: Mapping[str, Any], pid: int) -> Iterator[dict[str, Any]]:
        match question.get("ask"):
            case "leader":
                yield {
                    **self._document.leader(self._published.latest),
                    "pid": os.getpid(),
                    "election": self._config.election,
                    "setting": self._setting,
                }
            case "step-down":
                hold_off = question.get("hold_off", self._config.hold_off)
                if not isinstance(hold_off, int | float) or not 0 < hold_off <= options.LONGEST:
                    hold_off = self._config.hold_off
                asked_by = f"pid {pid}" if pid else "a process of another PID namespace"
                request = Request(hold_off, question.get("until_taken") is True, asked_by)
                yield from self._step_down.follow(request)
            case _:
                yield {"error": "no such request"}

    def _who_leads(self, slot: int | None) -> str | None:
        kind = self._config.kind
        try:
            if slot is not None:
                return kind.ask_slots(self._config, was_named=True)[slot][0]
            return kind.ask(self._config, was_named=True)[0]
        except (ElectionUnknown, options.UsageError):
            return None


def _question(client: socket.socket) -> dict[str, Any]:
    data = b""
    while b"\n" not in data and len(data) <= _LONGEST_QUESTION:
        more = client.recv(_LONGEST_QUESTION)
        if not more:
            break
        data += more
    try:
        asked = json.loads(data.partition(b"\n")[0])
    except (ValueError, RecursionError):
        return {}
    return asked if isinstance(asked, dict) else {}
