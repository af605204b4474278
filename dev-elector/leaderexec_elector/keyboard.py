"""Leadership moved by single keys on a terminal."""

import asyncio
import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from leaderexec_elector.server import Elector
from leaderexec_elector.state import Snapshot

HELP = """\
keys: 1..9 that candidate leads   n the next one   0 none
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
    pressed: asyncio.Queue[str] = asyncio.Queue()

    def readable() -> None:
        try:
            data = os.read(fd, 64)
        except OSError:
            data = b""
        if not data:
            loop.remove_reader(fd)
        for key in data.decode("ascii", "replace"):
            pressed.put_nowait(key)
            if key == "q":
                leave()

    # One task runs them all, so that each key sees the effect of the one before it.
    doing = asyncio.create_task(_do_all(elector, pressed))
    try:
        tty.setcbreak(fd)
        loop.add_reader(fd, readable)
        _say(HELP)
        yield
    finally:
        doing.cancel()
        loop.remove_reader(fd)
        # A terminal that hung up has no settings left to restore.
        with suppress(termios.error):
            termios.tcsetattr(fd, termios.TCSADRAIN, before)


async def _do_all(elector: Elector, pressed: asyncio.Queue[str]) -> None:
    while True:
        await _do(elector, await pressed.get())


async def _do(elector: Elector, key: str) -> None:
    candidates = elector.state.candidates
    if key == "h":
        _say(HELP)
        return
    if key == "f":
        await elector.arm("flap", {})
    elif key == "n" and candidates:
        await elector.lead(_next(candidates, elector.state.leader))
    elif key == "0":
        await elector.lead(None)
    elif key in "123456789" and int(key) <= len(candidates):
        await elector.lead(candidates[int(key) - 1])
    elif key != "s":
        return
    _say(_state(elector.snapshot()))


def _next(candidates: Sequence[str], leader: str | None) -> str:
    place = candidates.index(leader) + 1 if leader is not None else 0
    return candidates[place % len(candidates)]


def _state(state: Snapshot) -> str:
    faults = ", ".join(each["name"] for each in state.faults) or "none"
    return (
        f"leader {state.leader or 'nobody'} of {', '.join(state.candidates) or 'none'}; "
        f"{state.subscribers} subscribers; faults {faults}\n"
    )


def _say(text: str) -> None:
    # The terminal may be gone, which is no reason to exit.
    with suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()
