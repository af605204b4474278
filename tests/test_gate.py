"""How a program waits to be told that its replica leads."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from leaderexec import fence, gate

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The end of a gate that leaderexec would write to."""
    reading, writing = os.pipe()
    monkeypatch.setattr(gate, "_told", None)
    monkeypatch.setenv("LEADEREXEC_GATE", str(reading))
    for name in ("LEADEREXEC_TERM", "LEADEREXEC_FENCE"):
        # Deleted here, and again after the test.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    yield writing
    for descriptor in (reading, writing):
        try:
            os.close(descriptor)
        except OSError:
            continue


def end(descriptor: int, text: bytes) -> None:
    """Write this, and nothing more."""
    os.write(descriptor, text)
    os.close(descriptor)


def test_a_line_has_term_and_fence_also_for_processes_started_later(said: int) -> None:
    """By the same variables as in a program that is started only once it leads."""
    end(said, b"3 12345678901234567890\n")
    assert gate.wait(say_ready=False) == gate.Lead(3, 12345678901234567890)
    assert os.environ["LEADEREXEC_TERM"] == "3"
    assert fence() == 12345678901234567890


def test_a_line_without_a_fence_has_none(said: int) -> None:
    """Its second word is empty."""
    end(said, b"1 \n")
    assert gate.wait(say_ready=False) == gate.Lead(1, None)
    with pytest.raises(LookupError):
        fence()


def test_a_second_call_returns_the_same(said: int) -> None:
    """The gate is closed by then."""
    end(said, b"1 7\n")
    assert gate.wait(say_ready=False) is gate.wait()


@pytest.mark.parametrize("text", [b"", b"1", b"1 7"])
def test_end_of_file_without_a_whole_line_ends_the_program(said: int, text: bytes) -> None:
    """With 0, unless the program catches that: half of a line was taken back."""
    end(said, text)
    with pytest.raises(SystemExit) as raised:
        gate.wait(say_ready=False)
    assert isinstance(raised.value, gate.Closed)
    assert raised.value.code == 0


def test_a_program_that_is_started_only_once_it_leads_need_not_wait(
    said: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs without --warm."""
    del said
    monkeypatch.delenv("LEADEREXEC_GATE")
    monkeypatch.setenv("LEADEREXEC_TERM", "2")
    monkeypatch.setenv("LEADEREXEC_FENCE", "9")
    assert gate.wait() == gate.Lead(2, 9)


def test_without_leaderexec_no_program_leads(said: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error says what is missing."""
    del said
    monkeypatch.delenv("LEADEREXEC_GATE")
    with pytest.raises(LookupError, match="leaderexec --warm"):
        gate.wait()


def test_it_says_ready_before_it_waits(said: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a program can't forget it."""
    heard = []
    monkeypatch.setattr(gate, "ready", lambda: heard.append(True))
    end(said, b"1 \n")
    gate.wait()
    assert heard == [True]


def test_the_import_is_light(run: Run) -> None:
    """What only `ready` needs is loaded there."""
    script = (
        "import sys; before = set(sys.modules); from leaderexec import gate;"
        " print('socket' in sys.modules.keys() - before)"
    )
    assert run(sys.executable, "-c", script).stdout == "False\n"
