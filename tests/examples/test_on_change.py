"""The webhook tells who leads, and why."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from examples.json_api import json_api
from examples.reading import ROOT, command_lines
from support import BIN, Wrapper, wait_for

EXAMPLE = ROOT / "on-change" / "webhook.py"


@pytest.fixture
def chat() -> Iterator[tuple[list[str], str]]:
    """What a chat was told, and its webhook's URL."""
    told: list[str] = []

    def answer(_path: str, asked: Any) -> object:
        told.append(asked["text"])
        return {}

    with json_api(answer) as url:
        yield told, f"{url}/hooks/ID"


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
