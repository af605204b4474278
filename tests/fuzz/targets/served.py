"""Requests to leaderexec itself, and what others answer in its place."""

import json
import random
import socket
import threading
import time
from collections.abc import Mapping
from functools import cache
from typing import Any
from unittest import mock

import h11
from fuzz.targets.target import Target, check_shown

from leaderexec.config import settings
from leaderexec.console import peers_table
from leaderexec.control import client as control_client
from leaderexec.control import server as control
from leaderexec.http.routes import Pages
from leaderexec.http.server import MAX_REQUEST, Server
from leaderexec.peers import replica
from leaderexec.status.document import Document
from leaderexec.status.snapshot import Published

_ALLOWED = {200, 400, 403, 404, 405, 413, 414, 421, 431, 501, 503}
_ENOUGH = 1 << 20


@cache
def _parts() -> tuple[settings.Config, Mapping[str, str], Published, Document]:
    values = settings.settle({"election": "off", "http": "127.0.0.1:0"}, {}, "app-a")
    config = settings.build(values, ["true"])
    published = Published(lambda: published.publish(published.latest))
    shown = settings.shown(values)
    return config, shown, published, Document(config, shown, dict, time.monotonic)


class _NoProcesses:
    """A tree without processes."""

    def tree(self, _now: object) -> list[object]:
        """Return nothing."""
        return []


@cache
def _serving() -> tuple[socket.socket, list[str]]:
    """Return the listening socket of a server that runs, and its complaints."""
    _, _, published, document = _parts()
    pages = Pages(published, document, _NoProcesses(), None, frozenset({"localhost"}))  # type: ignore[arg-type]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("")
    listener.listen(16)
    listener.setblocking(False)
    complaints: list[str] = []
    server = Server(listener, pages.respond, complaints.append)
    threading.Thread(target=server.serve, daemon=True).start()
    return listener, complaints


def request(data: bytes) -> None:
    """A request to --http gets one well-formed response with a status that it may have, or the
    connection is closed; no bug is logged, and the next request is served."""
    listener, complaints = _serving()
    said = _exchanged(listener, data)
    assert not complaints, complaints.pop()
    if said:
        _check_response(said)
    assert len(data) > MAX_REQUEST or said or not data.endswith(b"\r\n\r\n")
    assert _exchanged(listener, b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").startswith(
        b"HTTP/1.1 200 OK\r\n"
    )


def _exchanged(listener: socket.socket, data: bytes) -> bytes:
    """Send it in two pieces, and no more; return everything that comes back until the end of it."""
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(60)
        caller.connect(listener.getsockname())
        said = b""
        try:
            cut = random.Random(data).randint(0, len(data))
            caller.sendall(data[:cut])
            caller.sendall(data[cut:])
            caller.shutdown(socket.SHUT_WR)
            while (part := caller.recv(65536)) and len(said) < _ENOUGH:
                said += part
                if b"\r\nContent-Type: text/event-stream\r\n" in said:
                    # It has no end.
                    return said + b"0\r\n\r\n" if said.endswith(b"\r\n") else said
        except (BrokenPipeError, ConnectionResetError):
            pass
        return said


def _check_response(said: bytes) -> None:
    reader = h11.Connection(h11.CLIENT)
    # A HEAD's response says how long it would be.
    is_head = b"Content-Length" in said and said.endswith(b"\r\n\r\n")
    reader.send(
        h11.Request(method="HEAD" if is_head else "GET", target="/", headers=[("Host", "a")])
    )
    reader.send(h11.EndOfMessage())
    reader.receive_data(said)
    reader.receive_data(b"")
    head = reader.next_event()
    assert isinstance(head, h11.Response), head
    assert head.status_code in _ALLOWED, head
    while not isinstance(event := reader.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data), event
    assert reader.next_event() in (h11.PAUSED, h11.NEED_DATA) or isinstance(
        reader.their_state, type(h11.CLOSED)
    )
    assert not reader.trailing_data[0], reader.trailing_data


@cache
def _controls() -> control.Server:
    config, shown, published, _ = _parts()
    return control.Server(config, shown, published, lambda _event: None, time.monotonic)


def control_request(data: bytes) -> None:
    """A request to the control socket is answered with lines of JSON."""
    ours, theirs = socket.socketpair()
    with ours:
        ours.sendall(data)
        ours.shutdown(socket.SHUT_WR)
        server = _controls()
        server._clients.acquire()
        server._answer(theirs)
        with ours.makefile("rb") as said:
            lines = [json.loads(line) for line in said]
    assert lines
    for line in lines:
        assert isinstance(line, dict)
        assert "error" in line or "is_leader" in line or "step" in line


def control_answer(data: bytes) -> None:
    """Whatever comes from a control socket, it is an object for each line, or it is said that no
    leaderexec answers there."""
    ours, theirs = socket.socketpair()
    ours.sendall(data)
    ours.shutdown(socket.SHUT_WR)
    with ours, mock.patch("socket.socket", return_value=_Connected(theirs)):
        try:
            assert all(
                isinstance(said, dict) for said in control_client.ask("/x", {"ask": "leader"}, 60)
            )
        except control_client.CannotAsk as error:
            check_shown(str(error), 300)
    ours, theirs = socket.socketpair()
    ours.sendall(data)
    ours.shutdown(socket.SHUT_WR)
    with ours, mock.patch("socket.socket", return_value=_Connected(theirs)):
        control_client.running({}, "/x")


class _Connected(socket.socket):
    """One that is connected already."""

    def __init__(self, to: socket.socket) -> None:
        super().__init__(to.family, to.type, fileno=to.detach())

    def connect(self, _address: object) -> None:
        """Do nothing."""


def peer(data: bytes) -> None:
    """Whatever answers in place of a replica, it is shown in one line of the table, and as fit to
    lead only if it says so."""
    found = replica.described("10.0.0.1:8080", data)
    silent = replica.silent("10.0.0.2:8080", "no answer")
    replicas = replica.in_order([found, silent])
    answers: dict[str, Any] = {
        "asked": "2026-01-02T03:04:05.000Z",
        "summary": replica.summary(replicas),
        "replicas": replicas,
        "left_out": 0,
    }
    check_shown(answers["summary"], 1000)
    json.dumps(answers).encode()
    lines = peers_table.table(answers, 100, colours=False).split("\n")
    assert len(lines) == 6
    assert all(line.isprintable() and len(line) <= 100 for line in lines)
    if found["unfit"] is None:
        assert json.loads(data)["confirmed"] is True


_REPLICA = tuple(f'"{name}":' for name in replica._FIELDS)
TARGETS = {
    "http-request": Target(
        request,
        1024,
        (
            "GET / HTTP/1.1\r\n",
            "HEAD /status HTTP/1.0\r\n",
            "POST /leader HTTP/1.1\r\n",
            "/livez",
            "/readyz",
            "/metrics",
            "/events",
            "Host: localhost\r\n",
            "Accept: text/html\r\n",
            "Origin: http://",
            "Sec-Fetch-Site: ",
            "Expect: 100-continue\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Content-Length: ",
            "Upgrade: h2c\r\nConnection: upgrade\r\n",
            "\r\n\r\n",
        ),
    ),
    "control-request": Target(
        control_request,
        512,
        ('{"ask": "leader"}\n', '"step-down"', '"hold_off": ', '"until_taken": true', "NaN"),
    ),
    "control-answer": Target(
        control_answer,
        512,
        tuple(f'"{name}":' for name in control_client.Wrapper._fields),
    ),
    "peer": Target(peer, 512, (*_REPLICA, '"running"', '"blocked"', "true", "1e9", "\\ud800")),
}
