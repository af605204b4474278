"""The bounds of a response."""

import socket
from contextlib import closing

import pytest

from leaderexec.election.http_client import BoundedSocket, TooLong


def test_what_a_reader_reads_ahead_is_no_part_of_the_response() -> None:
    """A file made from the socket asks for as much as its buffer takes, and more than the response
    may have come by then."""
    far, near = socket.socketpair()
    with far, closing(BoundedSocket(near.family, near.type, fileno=near.detach())) as bounded:
        far.sendall(b"head\n" + b"x" * 1000)
        bounded.bound(60, 5)
        with bounded.makefile("rb", buffering=100) as file:
            assert file.readline() == b"head\n"
            with pytest.raises(TooLong):
                file.read(1)
