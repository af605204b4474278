"""However PostgreSQL answers, or what answers in its place, an exchange ends."""

import os
import struct

import pytest
from endless import Serve, flood, serving, trickle

from leaderexec.election.postgres.answers import SessionOver
from leaderexec.election.postgres.kind import Target
from leaderexec.election.postgres.session import Session

# The message's type, and its length: PostgreSQL's documentation, "Message Formats".
LONG = struct.pack("!i", 1 << 30)
# How it begins, and how it goes on until the client leaves.
ENDLESS = {
    "a row": (b"D" + LONG, b"\0"),
    "an error": (b"E" + LONG, b"SERROR\0"),
    "notices": (b"", b"N" + struct.pack("!i", 13) + b"SINFO\0\0\0\0"[:9]),
}
each = pytest.mark.parametrize(("first", "again"), ENDLESS.values(), ids=ENDLESS)
# Authentication is not needed; it is ready for a query.
GREETING = b"R" + struct.pack("!ii", 8, 0) + b"Z" + struct.pack("!i", 5) + b"I"


def after_the_greeting(answer: Serve) -> Serve:
    """Let a session begin, and answer its first query."""

    def serve(client: object) -> None:
        client.sendall(GREETING)  # type: ignore[attr-defined]
        if client.recv(65536):  # type: ignore[attr-defined]
            answer(client)  # type: ignore[arg-type]

    return serve


def session(port: int) -> Session:
    """Return a session with it."""
    more = "sslmode=disable gssencmode=disable"
    return Session(Target(f"host=127.0.0.1 port={port} user=u dbname=d {more}"), "demo", 20.0)


def wait_for_ever(opened: Session) -> None:
    """Ask something, and then wait for notifications until the session is over."""
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
    with serving(after_the_greeting(trickle(first, again))) as port:
        opened = session(port)
        with pytest.raises(SessionOver) as caught:
            opened.ask("SELECT 1", within=0.3)
    assert caught.value.kind == "unanswered"


@each
def test_an_answer_without_an_end_is_given_up(first: bytes, again: bytes) -> None:
    """However fast it comes."""
    with serving(after_the_greeting(flood(first, again))) as port:
        opened = session(port)
        with pytest.raises(SessionOver) as caught:
            opened.ask("SELECT 1", within=20.0)
    assert "longer than any valid one" in str(caught.value)


@each
def test_news_without_an_end_are_given_up(first: bytes, again: bytes) -> None:
    """While it waits for a notification."""
    done = b"C" + struct.pack("!i", 13) + b"SELECT 1\0" + b"Z" + struct.pack("!i", 5) + b"I"
    with serving(after_the_greeting(flood(done + first, again))) as port:
        opened = session(port)
        with pytest.raises(SessionOver) as caught:
            wait_for_ever(opened)
    assert "longer than any valid one" in str(caught.value)
