"""Ask all replicas at once, each at its own ``--http`` address. Every answer is bounded in time and
size, and so is the number of replicas."""

import socket
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from leaderexec import optional_imports
from leaderexec.config.options import Address, host_and_optional_port
from leaderexec.peers import replica
from leaderexec.timestamps import rfc_3339

with optional_imports.imports():
    from http.client import HTTPException

    from leaderexec.election.http_client import Connection

PATIENCE = 2.0
MOST = 64
# /leader of a replica is 1 kB, and as long as its reason.
_MOST_BYTES = 65536
# It leads, and it does not.
_SAID = (200, 503)
# A hostile answer becomes 25 times as large when it is parsed, so that is done one by one.
_parsing = threading.Lock()

Replica = dict[str, Any]


class _Question(threading.Thread):
    """One that is asked by a thread of its own. Any may hang in the system's resolver."""

    def __init__(self, peer: str, ask: Callable[[], Any]) -> None:
        super().__init__(name="peer", daemon=True)
        self.peer = peer
        self.said: Any = None
        self._ask = ask

    def run(self) -> None:
        """Ask."""
        self.said = self._ask()

    def wait(self, give_up: float) -> Any:
        """Return what was said until then (monotonic); None if nothing was."""
        if self.is_alive():
            self.join(max(0.0, give_up - time.monotonic()))
        return self.said


class Asking:
    """Asks all replicas, each by a thread of its own, and again. Who has not answered after
    PATIENCE is reported as silent, and asked again only once that thread has ended: however often
    somebody looks, threads can't pile up. For a single thread."""

    def __init__(self, peers: Sequence[str], port: int | None) -> None:
        """`port` is used for the peers that name none."""
        self._peers = peers
        self._port = port
        self._name: _Question | None = None
        self._asked: list[_Question] = []

    def ask(self) -> dict[str, Any]:
        """Return all replicas, with a sentence that sums them up; `left_out` counts those beyond
        MOST that were not asked."""
        asked_at, give_up = time.time(), time.monotonic() + PATIENCE
        questions, replicas = self._questions(give_up)
        hanging = {one.peer: one for one in self._asked if one.is_alive()}
        self._asked = [hanging.get(peer) or _begun(peer, ask) for peer, ask in questions[:MOST]]
        for one in self._asked:
            replicas.append(one.wait(give_up) or replica.silent(one.peer, _slow()))
        replicas = replica.in_order(replicas)
        return {
            "asked": rfc_3339(asked_at),
            "summary": replica.summary(replicas),
            "replicas": replicas,
            "left_out": len(questions[MOST:]),
        }

    def _questions(
        self, give_up: float
    ) -> tuple[list[tuple[str, Callable[[], Replica]]], list[Replica]]:
        """Return each question with the name of what it asks; without any, what is reported
        instead. The only peer may be a name for all."""
        if len(self._peers) > 1:
            return [(peer, partial(_ask_by_name, peer, self._port)) for peer in self._peers], []
        (peer,) = self._peers
        if self._name is None or not self._name.is_alive():
            self._name = _begun(peer, partial(_all_of, peer, self._port))
        found = self._name.wait(give_up)
        if isinstance(found, list):
            return [(str(one), partial(_ask, one)) for one in found], []
        return [], [found or replica.silent(peer, _slow("its name was not resolved"))]


def _begun(peer: str, ask: Callable[[], Any]) -> _Question:
    question = _Question(peer, ask)
    try:
        question.start()
    except RuntimeError as error:
        question.said = replica.silent(peer, f"it was not asked: {error}")
    return question


def _all_of(peer: str, port: int | None) -> list[Address] | Replica:
    """Resolve a name for all."""
    try:
        return sorted(_addresses(peer, port), key=str)
    except OSError as error:
        return replica.silent(peer, _unknown(error))


def _addresses(peer: str, port: int | None) -> list[Address]:
    """Resolve a peer. A headless Service has each pod under both families; one is enough. Raises
    OSError."""
    host, own_port = host_and_optional_port(peer)
    # As bytes: for a str Python would load its tables of international names.
    found = socket.getaddrinfo(host.encode(), own_port or port, type=socket.SOCK_STREAM)
    first = socket.AF_INET if any(one[0] == socket.AF_INET for one in found) else socket.AF_INET6
    return [
        Address(str(target[0]), int(target[1])) for family, *_, target in found if family == first
    ]


def _ask_by_name(peer: str, port: int | None) -> Replica:
    try:
        return {**_ask(_addresses(peer, port)[0]), "address": peer}
    except OSError as error:
        return replica.silent(peer, _unknown(error))


def _ask(address: Address) -> Replica:
    connection = Connection(address.host, address.port)
    connection.bound(PATIENCE, _MOST_BYTES)
    try:
        # By address, which needs no --http-hosts there.
        connection.request("GET", "/leader", headers={"Connection": "close"})
        answer = connection.getresponse()
        body = answer.read(_MOST_BYTES)
    except TimeoutError:
        return replica.silent(str(address), _slow())
    except (OSError, HTTPException, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return replica.silent(str(address), f"no answer: {why}")
    finally:
        connection.close()
    if answer.status not in _SAID:
        return replica.silent(str(address), f"it answered with {answer.status}")
    with _parsing:
        return replica.described(str(address), body)


def _slow(what: str = "no answer") -> str:
    return f"{what} within {PATIENCE:g}s"


def _unknown(error: OSError) -> str:
    return f"its name can't be resolved: {error.strerror or error}"
