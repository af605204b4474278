"""What is drawn once, or again and again on a terminal's other screen."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

REFRESH = 1.0
_NOT_A_TERMINAL = 10_000
# Enter the alternate screen with the cursor hidden, and leave it; move to the top, and erase the
# rest (ECMA-48; xterm's private modes 1049 and 25).
_ENTER, _LEAVE, _TOP, _REST = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l", "\x1b[H", "\x1b[J"

Draw = Callable[[], str]


class CannotAsk(Exception):
    """Nothing responds there, or something other than leaderexec."""


def show(draw: Draw) -> None:
    """Print the picture once. Raises CannotAsk."""
    sys.stdout.write(draw())


def watch(draw: Draw) -> None:
    """Refresh the picture until Ctrl-C. Raises CannotAsk if it fails the first time; later the
    error is shown in place of the picture."""
    drawn = draw()
    on_terminal = sys.stdout.isatty()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if on_terminal:
            sys.stdout.write(_ENTER)
        while True:
            if on_terminal:
                drawn = _TOP + drawn.replace("\n", "\x1b[K\n") + _REST
            sys.stdout.write(drawn)
            sys.stdout.flush()
            time.sleep(REFRESH)
            try:
                drawn = draw()
            except CannotAsk as error:
                drawn = f"{error}\n"
    except KeyboardInterrupt:
        return
    finally:
        if on_terminal:
            sys.stdout.write(_LEAVE)


def width() -> int:
    """Return the columns of the terminal; plenty where it is none."""
    return shutil.get_terminal_size((200, 50)).columns if sys.stdout.isatty() else _NOT_A_TERMINAL


def colours() -> bool:
    """Return whether to use them."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def age(moment: str) -> float:
    """Return the seconds since a time, as /status writes it. Raises ValueError."""
    return (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
