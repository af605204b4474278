"""A long-running process loads nothing it does not use, since every replica would pay for it."""

import subprocess
import sys
from collections.abc import Callable

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

CONNECTION = """\
import socket
from leaderexec.election.http_client import Connection
server = socket.create_server(("127.0.0.1", 0))
connection = Connection("localhost", server.getsockname()[1])
connection.bound(5, 100)
connection.request("GET", "/")
"""


@pytest.mark.parametrize(
    ("program", "module"),
    [("import leaderexec.control.server\n", "psutil"), (CONNECTION, "encodings.idna")],
)
def test_what_is_not_needed_is_not_loaded(run: Run, program: str, module: str) -> None:
    """psutil, which only /status uses; tables of international names, when the name is ASCII."""
    question = f"import sys; print({module!r} in sys.modules)"
    assert run(sys.executable, "-c", program + question).stdout == "False\n"
