"""The keys, on a real pseudo-terminal."""

import os
import re
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from develector.wire_client import Client, request, told

PROGRAM = str(Path(sys.executable).with_name("leaderexec-elector"))
# A new session with the pseudo-terminal as its own, which Popen can't provide without preexec_fn.
LAUNCH = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """The program on a pseudo-terminal."""

    def __init__(self, *arguments: str, launch: str = LAUNCH) -> None:
        self.fd, self.inner = os.openpty()
        command = [PROGRAM, "--listen=127.0.0.1:0", *arguments]
        self.process = subprocess.Popen(
            [sys.executable, "-c", launch, *command],
            stdin=self.inner,
            stdout=self.inner,
            stderr=self.inner,
        )
        self._text = ""

    def until(self, pattern: str) -> str:
        """Read until the pattern appears; everything up to its end is then discarded."""
        while not (found := re.search(pattern, self._text)):
            if select.select([self.fd], [], [], 1)[0]:
                self._text += os.read(self.fd, 4096).decode()
            else:
                assert self.process.poll() is None, f"it has ended, after printing {self._text!r}"
        self._text = self._text[found.end() :]
        return found[found.lastindex or 0]

    def press(self, keys: str) -> None:
        """Press keys."""
        os.write(self.fd, keys.encode())

    def cooked(self) -> bool:
        """Return whether the terminal edits lines and echoes, as a shell leaves it."""
        modes: int = termios.tcgetattr(self.inner)[3]
        return modes & (termios.ICANON | termios.ECHO) == termios.ICANON | termios.ECHO


@contextmanager
def _running(*arguments: str, launch: str = LAUNCH) -> Iterator[tuple[Terminal, str]]:
    terminal = Terminal(*arguments, launch=launch)
    try:
        yield terminal, terminal.until(r"listening on (http://[\d.:]+/) ")
    finally:
        terminal.process.terminate()
        terminal.process.wait(30)
        os.close(terminal.fd)
        os.close(terminal.inner)


@pytest.fixture
def keyed() -> Iterator[tuple[Terminal, str]]:
    """The program with three candidates, after it has printed its help."""
    with _running("app-a", "app-b", "app-c") as (terminal, url):
        terminal.until("q quit")
        yield terminal, url


@pytest.mark.parametrize(
    ("keys", "leader"),
    [
        ("2", "app-b"),
        ("3", "app-c"),
        ("n", "app-b"),
        ("3n", "app-a"),
        ("0n", "app-a"),
        ("0", "nobody"),
        ("zé92", "app-b"),
    ],
)
def test_keys_move_leadership(keyed: tuple[Terminal, str], keys: str, leader: str) -> None:
    """Digits name a candidate, n the next, 0 none; other keys do nothing."""
    terminal, url = keyed
    terminal.press(keys)
    terminal.until(f"leader {leader} of app-a, app-b, app-c; 0 subscribers; faults none")
    expected = b"{}" if leader == "nobody" else f'"{leader}"'.encode()
    assert expected in request(url)[1]


def test_the_key_f_makes_leadership_flap(keyed: tuple[Terminal, str]) -> None:
    terminal, url = keyed
    with Client(url) as client:
        client.ask("/sse")
        client.head()
        client.event()
        terminal.press("f")
        assert [told(client.event())["name"] for _ in range(6)][::2] == ["app-a", "app-b", "app-a"]


def test_keys_show_the_state_and_the_help(keyed: tuple[Terminal, str]) -> None:
    """The key s shows the state with its faults, h the keys."""
    terminal, url = keyed
    request(url, "/dev/fault/slow", "POST")
    terminal.press("s")
    terminal.until("leader app-a of app-a, app-b, app-c; 0 subscribers; faults slow")
    terminal.press("h")
    terminal.until("q quit")


def test_quitting_restores_the_terminal(keyed: tuple[Terminal, str]) -> None:
    """The key q exits with 0 and the terminal is as before."""
    terminal, _ = keyed
    assert not terminal.cooked()
    terminal.press("q")
    assert terminal.process.wait(30) == 0
    assert terminal.cooked()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_restores_the_terminal(
    keyed: tuple[Terminal, str], number: signal.Signals
) -> None:
    """A signal leaves the terminal as it was, too."""
    terminal, _ = keyed
    terminal.process.send_signal(number)
    assert terminal.process.wait(30) == 0
    assert terminal.cooked()


def test_ctrl_c_ends_the_program(keyed: tuple[Terminal, str]) -> None:
    """Ctrl-C works as usual."""
    terminal, _ = keyed
    terminal.press("\x03")
    assert terminal.process.wait(30) == 0
    assert terminal.cooked()


def test_no_keyboard_leaves_the_terminal_alone() -> None:
    """Keys are not read."""
    with _running("--no-keyboard", "app-a", "app-b") as (terminal, url):
        request(url)
        assert terminal.cooked()
        terminal.press("2\n")
        assert b"app-a" in request(url)[1]


def test_without_candidates_keys_move_nothing() -> None:
    """The keys that would move leadership do nothing."""
    with _running() as (terminal, _):
        terminal.until("q quit")
        terminal.press("n1fs")
        terminal.until("leader nobody of none")


def test_a_terminal_of_another_session_is_left_alone() -> None:
    """A terminal that is not the program's controlling terminal is not read."""
    with _running("app-a", launch="import os, sys; os.execv(sys.argv[1], sys.argv[1:])") as (
        terminal,
        url,
    ):
        request(url)
        assert terminal.cooked()


def test_a_hang_up_ends_the_program(keyed: tuple[Terminal, str]) -> None:
    """A terminal that hangs up ends the program."""
    terminal, _ = keyed
    other, unused = os.openpty()
    os.dup2(other, terminal.fd)
    os.close(other)
    os.close(unused)
    assert terminal.process.wait(30) == 0
