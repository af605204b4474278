"""The controlling terminal: who is in its foreground, and job control as under a shell.

The command runs in a process group of its own, so it must be made the terminal's foreground
group, or reading would stop it (termios(3), SIGTTIN). It gets there only if we were there: a
background job must not take the terminal from the shell.
"""

import os
import signal
from contextlib import suppress

from leaderexec.core.record import Record


class Terminal(Record):
    """Our controlling terminal. `foreground`: we were in its foreground at the start."""

    descriptor: int
    foreground: bool

    def give_to(self, group: int) -> None:
        """Make `group` the foreground process group, if we were that (tcsetpgrp(3)). SIGTTOU must
        be blocked."""
        if self.foreground:
            with suppress(OSError):
                os.tcsetpgrp(self.descriptor, group)

    def is_gone(self) -> bool:
        """Tell whether it has hung up, or is our controlling terminal no longer. The kernel makes
        it so (EIO and ENOTTY here) before it sends the HUP, so that who got one can ask."""
        try:
            os.tcgetpgrp(self.descriptor)
        except OSError:
            return True
        return False


def controlling_terminal() -> Terminal | None:
    """Open our controlling terminal; None where there is none, the ordinary case in a container."""
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
