"""A command that is started in standby, and told by one line that this replica leads: `--warm`.

The line comes through a pipe, the gate. Only one is ever written to it, and its end-of-file
follows, so that it can be emptied without waiting: we keep a copy of its read end for that.
"""

import fcntl
import os
from collections.abc import Mapping

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
        self._told = False

    def start(self, additions: Mapping[str, str], inherited: tuple[int, ...] = ()) -> int:
        """Start the command with a new gate, whose number is in LEADEREXEC_GATE; see Command."""
        self.close_gate()
        reader, self._writer = os.pipe()
        os.dup2(reader, self._number, inheritable=False)
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
        # If nothing was written there is nothing to take back.
        while self._told and os.read(self._number, _MOST_BYTES):
            pass
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
    """Return a descriptor that a gate can take the place of. Raises UsageError if none is free."""
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
