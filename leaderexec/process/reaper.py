"""The only caller of waitpid(2) for any child: any other waiter could take the command's exit
code."""

import os
from collections.abc import Mapping

from leaderexec.core.actions import BESIDE, Job
from leaderexec.core.events import Event, Exited, Suspended, TreeGone
from leaderexec.core.record import replace
from leaderexec.process import tree
from leaderexec.process.command import Command

# Many orphans exiting at once must not keep the main loop from its deadlines.
BATCH = 256


def reap(commands: Mapping[Job, Command]) -> tuple[list[Event], bool]:
    """Reap what has exited, up to BATCH processes, without waiting.

    Returns the events that follow, and whether there may be more to reap at once. The command or
    hook is checked first: its exit must not be delayed by many orphans.
    """
    seen: list[Event] = []
    for job, command in commands.items():
        if command.pid is not None:
            pid, status = os.waitpid(command.pid, os.WNOHANG | os.WUNTRACED)
            if pid:
                seen += _meaning(job, command, status, commands)
    for _ in range(BATCH):
        try:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            return _with_nothing_left(seen), False
        if pid == 0:
            beside = groups_beside(commands)
            alone = bool(beside) and tree.are_all_in(beside)
            return _with_nothing_left(seen) if alone else seen, False
        for job, command in commands.items():
            if command.pid == pid:
                seen += _meaning(job, command, status, commands)
            elif not os.WIFSTOPPED(status):
                command.was_reaped(pid)
    return seen, True


def groups_beside(commands: Mapping[Job, Command]) -> frozenset[int]:
    """Return the process groups of what runs beside the command, and is no part of its tree."""
    pids = (commands[job].pid for job in BESIDE if job in commands)
    return frozenset(pid for pid in pids if pid is not None)


def _meaning(
    job: Job, command: Command, status: int, commands: Mapping[Job, Command]
) -> list[Event]:
    if not os.WIFSTOPPED(status):
        by_a_warm_one = job is Job.ON_START and commands[Job.COMMAND].pid is not None
        if job in BESIDE or by_a_warm_one:
            # What it leaves behind has no owner. As long as there is any, its group id is not free.
            command.kill()
        return [Exited(job, _code(status), command.reaped())]
    return [Suspended(os.WSTOPSIG(status))] if job is Job.COMMAND else []


def _code(status: int) -> int:
    """Return the exit code as in a shell."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _with_nothing_left(seen: list[Event]) -> list[Event]:
    """If the exit is among them, note on it that no descendant is left, other than what runs beside
    the command."""
    if seen and isinstance(seen[-1], Exited) and seen[-1].job not in BESIDE:
        return [*seen[:-1], replace(seen[-1], alone=True)]
    return [*seen, TreeGone()]
