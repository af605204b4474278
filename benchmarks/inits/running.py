"""A compared program, running: bounded waits, and nothing left behind.

Every process has a mark in its environment, by which it is found even if the program
lost it.
"""

import os
import select
import signal
import subprocess
import sys
import termios
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from inits.programs import Program

MARK = "FIDELITY_MARK"
PATIENCE = 15.0
PROBE = (sys.executable, "-I", "-S", str(Path(__file__).with_name("probe.py")))

_T = TypeVar("_T")


class Mode(Enum):
    """How the program runs."""

    PID_1 = "as PID 1"
    ORDINARY = "as an ordinary process"


UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc")


def until(condition: Callable[[], _T], patience: float = PATIENCE) -> _T:
    """Return the condition's first true value, or its last one when the time is up."""
    give_up = time.monotonic() + patience
    while not (value := condition()) and time.monotonic() < give_up:
        select.select([], [], [], 0.005)
    return value


class Seen(NamedTuple):
    """A process as /proc shows it."""

    pid: int
    state: str
    parent: int


def look(pid: int) -> Seen | None:
    """Return the process, if there is one."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, parent = line.rpartition(")")[2].split()[:2]
    return Seen(pid, state, int(parent))


def children(parent: int) -> list[Seen]:
    """Return the children of a process, zombies included."""
    seen = (look(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return [one for one in seen if one is not None and one.parent == parent]


class Running:
    """A program in front of a command."""

    def __init__(
        self,
        program: Program,
        command: Sequence[str],
        mode: Mode = Mode.ORDINARY,
        *,
        options: Sequence[str] = (),
        before: Sequence[str] = (),
        pty: bool = False,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self._mark = uuid.uuid4().hex
        self._mode = mode
        self._read = b""
        words = [*before, *program.prefix(*options), *command]
        if pty:
            words = ["setsid", "--ctty", *words]
        if mode is Mode.PID_1:
            words = [*UNSHARE, *words]
        environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("LEADEREXEC", "ELECTOR_", "TINI_"))
        } | {MARK: self._mark, "PS1": "$ ", "HISTFILE": "/dev/null", "TERM": "dumb"}
        ours_in, theirs_in, ours_out, theirs_out = _terminal() if pty else _pipes()
        self._in, self._out = ours_in, ours_out
        try:
            self.process = subprocess.Popen(
                words,
                stdin=theirs_in,
                stdout=theirs_out,
                stderr=theirs_out if pty else subprocess.DEVNULL,
                env=environ,
                pass_fds=pass_fds,
            )
        finally:
            for descriptor in {theirs_in, theirs_out}:
                os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None
    ) -> None:
        self.close()

    def pid(self) -> int:
        """Return the wrapper's pid, once it has replaced unshare(1)'s child; 0 if it is gone."""
        if self._mode is Mode.ORDINARY:
            return self.process.pid
        return until(self._child_of_unshare)

    def _child_of_unshare(self) -> int:
        for child in children(self.process.pid):
            with suppress(OSError):
                name = Path(f"/proc/{child.pid}/comm").read_text().strip()
                if name not in ("unshare", "setsid", "sh"):
                    return child.pid
        return 0

    def send(self, number: int) -> None:
        """Signal the wrapper."""
        pid = self.pid()
        if pid and self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def write(self, text: str) -> None:
        """Type."""
        with suppress(OSError):
            os.write(self._in, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        """Change the terminal's size."""
        termios.tcsetwinsize(self._in, (rows, columns))

    def said(self, text: str, patience: float = PATIENCE) -> bool:
        """Wait until this was printed; return whether it was."""
        return until(lambda: self._has_said(text), patience)

    def _has_said(self, text: str) -> bool:
        while select.select([self._out], [], [], 0)[0]:
            try:
                part = os.read(self._out, 65536)
            except OSError:
                break
            if not part:
                break
            self._read += part
        return text.encode() in self._read

    def closed(self, patience: float = PATIENCE) -> bool:
        """Wait until no process has the output open; return whether that happened."""
        give_up = time.monotonic() + patience
        while (left := give_up - time.monotonic()) > 0:
            if select.select([self._out], [], [], left)[0] and not os.read(self._out, 65536):
                return True
        return False

    def output(self) -> str:
        """Return everything printed so far."""
        self._has_said("")
        return self._read.decode(errors="replace")

    def forget(self) -> None:
        """Discard everything printed so far."""
        self._has_said("")
        self._read = b""

    def code(self, patience: float = PATIENCE) -> int | None:
        """Wait for the end; return the exit code as a shell reports it, None if it still runs."""
        if not until(lambda: self.process.poll() is not None, patience):
            return None
        code = int(self.process.returncode)
        return code if code >= 0 else 128 - code

    def marked(self, word: str = "") -> list[Seen]:
        """Return the living processes of this run, or those with `word` as an argument."""
        wanted = f"{MARK}={self._mark}".encode()
        found = []
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                environ = Path(f"/proc/{name}/environ").read_bytes().split(b"\0")
                arguments = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            seen = look(int(name))
            if wanted in environ and (not word or word.encode() in arguments) and seen:
                found.append(seen)
        return [one for one in found if one.state not in "ZX"]

    def close(self) -> None:
        """Kill every process of this run, whether or not the wrapper still knows it."""
        until(self._kill_marked)
        self.process.wait(PATIENCE)
        for descriptor in {self._in, self._out}:
            os.close(descriptor)

    def _kill_marked(self) -> bool:
        found = self.marked()
        for one in found:
            with suppress(OSError):
                os.kill(one.pid, signal.SIGKILL)
        return not found and self.process.poll() is not None


def _pipes() -> tuple[int, int, int, int]:
    their_in, our_in = os.pipe()
    our_out, their_out = os.pipe()
    return our_in, their_in, our_out, their_out


def _terminal() -> tuple[int, int, int, int]:
    ours, theirs = os.openpty()
    return ours, theirs, ours, theirs
