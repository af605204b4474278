"""However PostgreSQL answers, or what answers in its place, an exchange ends."""

import os
import socket
import struct
from collections.abc import Callable

import pytest
from endless import Serve, flood, serving, trickle

from leaderexec.election.postgres.answers import SessionOver
from leaderexec.election.postgres.kind import Target
from leaderexec.election.postgres.session import Session

# A text in a message that claims to be a gigabyte long.
LONG = struct.pack("!i", 1 << 30)


def message(kind: bytes, content: bytes) -> bytes:
    """Return a message (PostgreSQL's documentation, "Message Formats")."""
    return kind + struct.pack("!i", 4 + len(content)) + content


# How it begins, and how it goes on until the client leaves.
ENDLESS = {
    "a row": (b"D" + LONG, b"\0"),
    "an error": (b"E" + LONG, b"SERROR\0"),
    "notices": (b"", message(b"N", b"SINFO\0\0\0\0")),
}
each = pytest.mark.parametrize(("first", "again"), ENDLESS.values(), ids=ENDLESS)
READY = message(b"Z", b"I")
NO_AUTHENTICATION = message(b"R", struct.pack("!i", 0))


def after_the_greeting(answer: Serve) -> Serve:
    """Let a session begin, and answer its first query."""

    def serve(client: socket.socket) -> None:
        if client.recv(65536):
            client.sendall(NO_AUTHENTICATION + READY)
            answer(client)

    return serve


def trouble(answer: Serve, ask: Callable[[Session], object]) -> SessionOver:
    """Return what ends a session that asks, and is answered so."""
    with serving(after_the_greeting(answer)) as port:
        target = f"host=127.0.0.1 port={port} user=u dbname=d sslmode=disable gssencmode=disable"
        opened = Session(Target(target), "demo", 20.0)
        with pytest.raises(SessionOver) as caught:
            ask(opened)
    return caught.value


def wait_for_ever(opened: Session) -> None:
    """Ask something, and then wait for notifications."""
    wake = os.eventfd(0)
    try:
        opened.ask("SELECT 1", within=20.0)
        while True:
            opened.wait(20.0, wake)
    finally:
        os.close(wake)


@each
def test_an_answer_that_trickles_in_is_given_up(first: bytes, again: bytes) -> None:
    """Its time counts from the question, though each byte arrives within it."""
    answer = trickle(first, again)
    assert trouble(answer, lambda it: it.ask("SELECT 1", within=0.3)).kind == "unanswered"


@each
def test_an_answer_without_an_end_is_given_up(first: bytes, again: bytes) -> None:
    """However fast it comes."""
    said = trouble(flood(first, again), lambda it: it.ask("SELECT 1", within=20.0))
    assert "longer than any valid one" in str(said)


@each
def test_news_without_an_end_are_given_up(first: bytes, again: bytes) -> None:
    """While it waits for a notification."""
    done = message(b"C", b"SELECT 1\0") + READY
    said = trouble(flood(done + first, again), wait_for_ever)
    assert "longer than any valid one" in str(said)
