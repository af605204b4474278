"""Leave nothing running: at the exit, and when the main loop itself has failed. SIGCHLD has to be
blocked."""

import os
import signal
import time

from leaderexec.process import tree

# How long the exit waits for processes that were sent KILL: one may hang in the kernel.
_GONE_WITHIN = 1.0


def stop_all(number: int, grace: float) -> None:
    """Send the stop signal to every descendant, wait at most `grace` seconds, then kill the
    rest."""
    tree.stop_leftovers(number)
    give_up = time.monotonic() + grace
    while (left := give_up - time.monotonic()) > 0:
        if not _reap():
            return
        signal.sigtimedwait([signal.SIGCHLD], left)
    kill_all()


def kill_all() -> None:
    """Kill every descendant, and wait until all are gone, but no longer than a second."""
    killed: set[tree.Owner] = set()
    give_up = time.monotonic() + _GONE_WITHIN
    while True:
        tree.kill_all(killed)
        if not _reap() or (left := give_up - time.monotonic()) <= 0:
            return
        signal.sigtimedwait([signal.SIGCHLD], left)


def _reap() -> bool:
    """Reap what has exited; return whether anything is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True
