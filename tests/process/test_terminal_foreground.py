"""On a terminal the command works just as well as without a wrapper."""

import os
import select
from collections.abc import Callable

from support import Wrapper, wait_for

Start = Callable[..., Wrapper]

ASKS = (
    "import os, sys; print('<', os.tcgetpgrp(0) == os.getpgrp(), '>', flush=True);"
    " print('<', sys.stdin.readline().strip(), '>', flush=True)"
)


def read_until(descriptor: int, text: bytes) -> None:
    """Wait until the terminal shows this."""
    shown = b""

    def look() -> bool:
        nonlocal shown
        if select.select([descriptor], [], [], 0)[0]:
            shown += os.read(descriptor, 4096)
        return text in shown

    wait_for(look, f"{text!r} on the terminal")


def test_the_command_is_the_terminals_foreground_group(
    leaderexec: Start, environ: dict[str, str]
) -> None:
    """It may read without being stopped by SIGTTIN, and gets Ctrl-C."""
    ours, theirs = os.openpty()
    try:
        wrapper = leaderexec(
            "--election",
            "off",
            "--",
            "python3",
            "-c",
            ASKS,
            env=environ,
            stdin=theirs,
            stdout=theirs,
            prefix=["setsid", "--ctty"],
        )
        read_until(ours, b"< True >")
        os.write(ours, b"typed\n")
        read_until(ours, b"< typed >")
        assert wrapper.wait() == 0
    finally:
        os.close(theirs)
        os.close(ours)
