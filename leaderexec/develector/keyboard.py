"""Leadership moved by single keys on a terminal."""

import asyncio
import os
import sys
import termios
import tty
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from leaderexec.develector.server import Elector

HELP = """\
keys: 1..9 that candidate leads   n the next one   0 nobody
      f flap   s state   h this help   q quit
"""


def usable(fd: int) -> bool:
    """Whether keys can be read: a terminal, and not in its background."""
    try:
        # Setting a terminal from its background stops the process (termios(3), SIGTTOU).
        return os.isatty(fd) and os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False


@contextmanager
def keys(fd: int, elector: Elector, leave: Callable[[], None]) -> Iterator[None]:
    """Do what each key says while the context lasts; the terminal is restored after it."""
    before = termios.tcgetattr(fd)
    loop = asyncio.get_running_loop()
    keyboard = _Keyboard(elector, leave)

    def pressed() -> None:
        try:
            data = os.read(fd, 64)
        except OSError:
            data = b""
        if not data:
            loop.remove_reader(fd)
        for key in data.decode("ascii", "replace"):
            keyboard.press(key)

    try:
        tty.setcbreak(fd)
        loop.add_reader(fd, pressed)
        _say(HELP)
        yield
    finally:
        loop.remove_reader(fd)
        # A terminal that hung up has no settings left to restore.
        with suppress(termios.error):
            termios.tcsetattr(fd, termios.TCSADRAIN, before)


class _Keyboard:
    def __init__(self, elector: Elector, leave: Callable[[], None]) -> None:
        self._elector = elector
        self._leave = leave
        self._tasks: set[asyncio.Task[None]] = set()

    def press(self, key: str) -> None:
        candidates = self._elector.state.candidates
        if key == "q":
            self._leave()
        elif key == "h":
            _say(HELP)
        elif key == "s":
            _say(self._state())
        elif key == "f":
            self._do(self._elector.arm("flap", {}))
        elif key == "n" and candidates:
            self._do(self._elector.lead(self._next()))
        elif key == "0":
            self._do(self._elector.lead(None))
        elif key in "123456789" and int(key) <= len(candidates):
            self._do(self._elector.lead(candidates[int(key) - 1]))

    def _next(self) -> str:
        candidates, leader = self._elector.state.candidates, self._elector.state.leader
        place = candidates.index(leader) + 1 if leader is not None else 0
        return candidates[place % len(candidates)]

    def _state(self) -> str:
        state = self._elector.snapshot()
        faults = ", ".join(each["name"] for each in state.faults) or "none"
        return (
            f"leader {state.leader or 'nobody'} of {', '.join(state.candidates) or 'none'}; "
            f"{state.subscribers} subscribers; faults {faults}\n"
        )

    def _do(self, asked: Coroutine[Any, Any, None]) -> None:
        async def do() -> None:
            await asked
            _say(self._state())

        task = asyncio.create_task(do())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _say(text: str) -> None:
    # The terminal may be gone, which is no reason to end.
    with suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()
