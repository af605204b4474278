"""The only caller of waitpid(2) for any child: whoever else waited for all of them could take the
command's exit code away."""

import os
from collections.abc import Collection
from dataclasses import replace

from leaderexec.core.events import Event, Exited, HookEnded, Stopped, TreeGone
from leaderexec.process.child import Command

# A storm of dying orphans must not keep the deciding loop from its deadlines.
BATCH = 256


def reap(command: Command, hooks: Collection[Command] = ()) -> tuple[list[Event], bool]:
    """Reap what has ended, up to BATCH processes, without waiting.

    Returns what that means for the command and for a hook that runs, and whether there may be
    more to reap at once.
    """
    seen: list[Event] = []
    for _ in range(BATCH):
        try:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            return _with_nothing_left(seen), False
        if pid == 0:
            return seen, False
        hook = next((hook for hook in hooks if hook.pid == pid), None)
        if hook is not None:
            if not os.WIFSTOPPED(status):
                seen.append(HookEnded(_code(status), hook.reaped()))
            continue
        if pid != command.pid:
            command.was_reaped(pid)
            continue
        if os.WIFSTOPPED(status):
            seen.append(Stopped(os.WSTOPSIG(status)))
            continue
        seen.append(Exited(_code(status), command.reaped()))
    return seen, True


def _code(status: int) -> int:
    """Return the exit code as shells tell it."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _with_nothing_left(seen: list[Event]) -> list[Event]:
    """Say with the exit, if it is among them, that no descendant is left."""
    if seen and isinstance(seen[-1], Exited | HookEnded):
        return [*seen[:-1], replace(seen[-1], alone=True)]
    return [*seen, TreeGone()]
