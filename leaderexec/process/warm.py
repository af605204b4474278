"""A command that is started in standby, and told by one line that this replica leads: `--warm`.

The line comes through a pipe, the gate. Only one is ever written to it, and its end-of-file
follows. It is taken back through a read end of our own that never waits: the command may have
opened the pipe for writing, too (/proc/self/fd), and then there is no end-of-file.
"""

import fcntl
import os
from collections.abc import Mapping
from contextlib import suppress

from leaderexec.config.options import UsageError
from leaderexec.process.command import Command, Launch

# What a shell can write as `<&N`.
_FIRST, _LAST = 3, 9
_MOST_BYTES = 4096


class WarmCommand(Command):
    """The command, one process at a time, each with a gate of its own."""

    def __init__(self, launch: Launch, number: int) -> None:
        """`number`: the descriptor that is reserved for the gate."""
        super().__init__(launch)
        self._number = number
        self._writer: int | None = None
        self._reader: int | None = None
        self._told = False

    def start(self, additions: Mapping[str, str], inherited: tuple[int, ...] = ()) -> int:
        """Start the command with a new gate, whose number is in LEADEREXEC_GATE; see Command."""
        self.close_gate()
        reader, self._writer = os.pipe()
        os.dup2(reader, self._number, inheritable=False)
        # Opened anew, so that its O_NONBLOCK is not the command's, nor the command's ours.
        self._reader = os.open(
            f"/proc/self/fd/{reader}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        )
        os.close(reader)
        self._told = False
        additions = {**additions, "LEADEREXEC_GATE": str(self._number)}
        return super().start(additions, (*inherited, self._number))

    def lead(self, term: int, fence: int | None) -> None:
        """Tell the command that it leads. Never waits: a pipe has room for one line."""
        if self._writer is not None:
            os.write(self._writer, f"{term} {'' if fence is None else fence}\n".encode())
            self._told = True
        self._close_writer()

    def close_gate(self) -> None:
        """See to it that nothing comes through the gate any more, not even a line that was written:
        a process that reads it later finds only its end."""
        self._close_writer()
        reader, self._reader = self._reader, None
        if reader is None:
            return
        # If nothing was written there is nothing to take back. What the command itself writes to
        # the pipe is none of ours, and could go on for ever.
        if self._told:
            with suppress(BlockingIOError):
                os.read(reader, _MOST_BYTES)
        os.close(reader)
        self._told = False

    def reaped(self) -> str | None:
        """Forget the process; see Command."""
        self.close_gate()
        return super().reaped()

    def _close_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            os.close(writer)


def reserve_number() -> int:
    """Return a descriptor that a gate can take the place of. Raises UsageError if none is free,
    or without /proc."""
    if not os.path.isdir("/proc/self/fd"):
        raise UsageError(
            "--warm needs /proc, to take back a line that was not read; mount it (proc(5)), or"
            " leave --warm out"
        )
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    out_of_the_way = fcntl.fcntl(nothing, fcntl.F_DUPFD_CLOEXEC, _LAST + 1)
    os.close(nothing)
    number = fcntl.fcntl(out_of_the_way, fcntl.F_DUPFD_CLOEXEC, _FIRST)
    os.close(out_of_the_way)
    if number > _LAST:
        os.close(number)
        raise UsageError(
            f"--warm needs a descriptor from {_FIRST} to {_LAST} to tell the command through, and"
            " all of them are open; close one of them for leaderexec"
        )
    return number
