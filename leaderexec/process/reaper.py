"""The only caller of waitpid(2) for any child: whoever else waited for all of them could take the
command's exit code away."""

import os
from dataclasses import replace

from leaderexec.core.events import Event, Exited, Stopped, TreeGone
from leaderexec.process.child import Command

# A storm of dying orphans must not keep the deciding loop from its deadlines.
BATCH = 256


def reap(command: Command) -> tuple[list[Event], bool]:
    """Reap what has ended, up to BATCH processes, without waiting.

    Returns what that means for the command, and whether there may be more to reap at once.
    """
    seen: list[Event] = []
    for _ in range(BATCH):
        try:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            return _with_nothing_left(seen), False
        if pid == 0:
            return seen, False
        if pid != command.pid:
            command.was_reaped(pid)
            continue
        if os.WIFSTOPPED(status):
            seen.append(Stopped(os.WSTOPSIG(status)))
            continue
        code = os.waitstatus_to_exitcode(status)
        seen.append(Exited(code if code >= 0 else 128 - code, command.reaped()))
    return seen, True


def _with_nothing_left(seen: list[Event]) -> list[Event]:
    """Say with the command's exit, if it is among them, that no descendant is left."""
    if seen and isinstance(seen[-1], Exited):
        return [*seen[:-1], replace(seen[-1], alone=True)]
    return [*seen, TreeGone()]
