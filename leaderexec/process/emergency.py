"""Stop everything when the main loop itself has failed."""

import os
import signal
import time

from leaderexec.process import tree


def end_all(number: int, grace: float) -> None:
    """Send the stop signal to every descendant, wait at most `grace` seconds, then kill the rest.

    SIGCHLD must be blocked.
    """
    tree.stop_leftovers(number)
    give_up = time.monotonic() + grace
    while (left := give_up - time.monotonic()) > 0:
        if not _reap():
            return
        signal.sigtimedwait([signal.SIGCHLD], left)
    tree.kill_all(set())


def _reap() -> bool:
    """Reap what has exited; return whether anything is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True
