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
# /status of a replica with thousands of processes is not longer.
_MOST_BYTES = 1_000_000
_OK = 200
# A hostile answer of that size becomes 25 times as large when it is parsed, so that is done one by
# one.
_parsing = threading.Lock()

Replica = dict[str, Any]


class Round:
    """One round of questions, each asked by a thread of its own. What is not answered after
    PATIENCE is reported as silent; `wait` waits until the last thread has ended, too, as one may
    hang in the system's resolver for longer."""

    def __init__(self, peers: Sequence[str], port: int | None) -> None:
        """`port` is used for the peers that name none."""
        self._asked_at = time.time()
        asked, self._left_out = _questions(peers, port)
        self._names = [name for name, _ in asked]
        self._said: list[Replica | None] = [None] * len(asked)
        self._give_up = time.monotonic() + PATIENCE
        self._threads: list[threading.Thread] = []
        for at, (name, ask) in enumerate(asked):
            thread = threading.Thread(target=self._ask, args=(at, ask), name="peer", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                self._said[at] = replica.silent(name, f"it was not asked: {error}")
            else:
                self._threads.append(thread)

    def _ask(self, at: int, ask: Callable[[], Replica]) -> None:
        self._said[at] = ask()

    def answers(self) -> dict[str, Any]:
        """Return all replicas, with a sentence that sums them up; `left_out` counts those beyond
        MOST that were not asked."""
        for thread in self._threads:
            thread.join(max(0.0, self._give_up - time.monotonic()))
        replicas = replica.in_order(
            [
                said or replica.silent(name, _slow())
                for name, said in zip(self._names, self._said, strict=True)
            ]
        )
        return {
            "asked": rfc_3339(self._asked_at),
            "summary": replica.summary(replicas),
            "replicas": replicas,
            "left_out": self._left_out,
        }

    def wait(self) -> None:
        """Wait until every thread has ended."""
        for thread in self._threads:
            thread.join()


def _questions(
    peers: Sequence[str], port: int | None
) -> tuple[list[tuple[str, Callable[[], Replica]]], int]:
    """Return each question with the name of what it asks. The only peer may be a name for all."""
    if len(peers) > 1:
        each = [(name, partial(_ask_by_name, name, port)) for name in peers[:MOST]]
        return [*each], len(peers[MOST:])
    (name,) = peers
    try:
        found = sorted(_addresses(name, port), key=str)
    except OSError as error:
        unknown = partial(replica.silent, name, _unknown(error))
        return [(name, unknown)], 0
    return [(str(one), partial(_ask, one)) for one in found[:MOST]], len(found[MOST:])


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
        connection.request("GET", "/status", headers={"Connection": "close"})
        answer = connection.getresponse()
        body = answer.read(_MOST_BYTES)
    except TimeoutError:
        return replica.silent(str(address), _slow())
    except (OSError, HTTPException, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return replica.silent(str(address), f"no answer: {why}")
    finally:
        connection.close()
    if answer.status != _OK:
        return replica.silent(str(address), f"it answered with {answer.status}")
    with _parsing:
        return replica.described(str(address), body)


def _slow() -> str:
    return f"no answer within {PATIENCE:g}s"


def _unknown(error: OSError) -> str:
    return f"its name can't be resolved: {error.strerror or error}"
