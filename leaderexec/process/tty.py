"""The controlling terminal: its foreground process group, and job control as under a shell.

The command runs in its own process group, so that must be made the terminal's foreground
group, or reading would stop it (termios(3), SIGTTIN). This is only done if we were in the
foreground: a background job must not take the terminal from the shell.
"""

import os
import signal
from contextlib import suppress

from leaderexec.core.record import Record


class Terminal(Record):
    """Our controlling terminal. `foreground`: we were in its foreground at start-up."""

    descriptor: int
    foreground: bool

    def give_to(self, group: int) -> None:
        """Make `group` the foreground process group, if we were in the foreground (tcsetpgrp(3)).
        SIGTTOU must be blocked."""
        if self.foreground:
            with suppress(OSError):
                os.tcsetpgrp(self.descriptor, group)

    def is_gone(self) -> bool:
        """Return whether it has hung up, or is no longer our controlling terminal. The kernel does
        this (EIO and ENOTTY here) before it sends HUP, so it can be checked on receiving one."""
        try:
            os.tcgetpgrp(self.descriptor)
        except OSError:
            return True
        return False


def controlling_terminal() -> Terminal | None:
    """Open our controlling terminal; None if there is none, as is usual in a container."""
    try:
        descriptor = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        foreground = os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:
        # It has just hung up.
        foreground = False
    return Terminal(descriptor, foreground)


def is_job_of_a_shell() -> bool:
    """Return whether a parent can continue us once we are stopped: our process group is not
    orphaned (POSIX.1-2017 XBD 3.264; the kernel discards terminal stops for an orphaned one)."""
    parent = os.getppid()
    try:
        return os.getsid(parent) == os.getsid(0) and os.getpgid(parent) != os.getpgrp()
    except OSError:
        return False


def suspend() -> None:
    """Stop this process until it receives CONT."""
    os.kill(os.getpid(), signal.SIGSTOP)
