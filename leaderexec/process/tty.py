"""The controlling terminal: who is in its foreground, and job control as under a shell.

The command runs in a process group of its own, so it must be made the terminal's foreground
group, or reading would stop it (termios(3), SIGTTIN). It gets there only if we were there: a
background job must not take the terminal from the shell.
"""

import os
import signal
from contextlib import suppress
from typing import NamedTuple


class Terminal(NamedTuple):
    """Our controlling terminal."""

    descriptor: int

    def give_to(self, group: int) -> None:
        """Make `group` the foreground process group, if we are or were (tcsetpgrp(3)). SIGTTOU
        must be blocked."""
        with suppress(OSError):
            os.tcsetpgrp(self.descriptor, group)

    def is_ours(self) -> bool:
        """Tell whether our group is in the foreground."""
        try:
            return os.tcgetpgrp(self.descriptor) == os.getpgrp()
        except OSError:
            return False


def controlling_terminal() -> Terminal | None:
    """Open our controlling terminal if we are in its foreground; None otherwise, which is the
    ordinary case in a container."""
    try:
        descriptor = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    terminal = Terminal(descriptor)
    if terminal.is_ours():
        return terminal
    os.close(descriptor)
    return None


def is_job_of_a_shell() -> bool:
    """Tell whether somebody above can continue us once we are stopped: our process group is not
    orphaned (POSIX.1-2017 XBD 3.264; the kernel discards terminal stops for an orphaned one)."""
    parent = os.getppid()
    try:
        return os.getsid(parent) == os.getsid(0) and os.getpgid(parent) != os.getpgrp()
    except OSError:
        return False


def suspend() -> None:
    """Stop this process until somebody sends CONT."""
    os.kill(os.getpid(), signal.SIGSTOP)
