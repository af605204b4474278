"""The webhook tells who leads, and why."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from examples.reading import ROOT, command_lines
from support import BIN, Wrapper, wait_for

EXAMPLE = ROOT / "on-change" / "webhook.py"


@pytest.fixture
def chat() -> Iterator[tuple[list[str], str]]:
    """What a chat was told, and its webhook's URL."""
    told: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.append(json.loads(body)["text"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield told, f"http://127.0.0.1:{server.server_port}/hooks/ID"
        server.shutdown()


def test_the_chat_is_told_of_each_role(
    leaderexec: Callable[..., Wrapper], chat: tuple[list[str], str], tmp_path: object
) -> None:
    """By the command line in its header, its URL replaced."""
    told, url = chat
    (words,) = command_lines(EXAMPLE)
    call = words[words.index("--on-change") + 1].split()
    hook = " ".join([str(BIN / "python"), str(EXAMPLE), *call[2:-1], url])
    lock = ("--lock-file", f"{tmp_path}/lock", "--identity", "a")
    leaderexec(*lock, "--on-change", hook, "--", "sleep", "600")
    wait_for(lambda: told == ["a: running (won leadership)"])
