"""The compared programs."""

import shutil
import sys
from pathlib import Path
from typing import NamedTuple

GRACE = 0.5


class Program(NamedTuple):
    """A column: how to put the program in front of a command.

    `file` is None if it is not installed. `as_pid_1` is False for a variant that only makes
    sense as an ordinary process.
    """

    name: str
    file: str | None
    options: tuple[str, ...] = ()
    as_pid_1: bool = True

    def prefix(self, *more: str) -> list[str]:
        """Return the words in front of the command."""
        return [self.file or self.name, *self.options, *more, "--"]


def _leaderexec() -> str | None:
    beside = Path(sys.executable).parent / "leaderexec"
    return str(beside) if beside.exists() else shutil.which("leaderexec")


# With its default grace, and with one that rows need not wait for.
OURS_AS_IT_IS = Program("leaderexec", _leaderexec(), ("--election", "off", "--log-level", "error"))
OURS = OURS_AS_IT_IS._replace(options=(*OURS_AS_IT_IS.options, "--grace", f"{int(GRACE * 1000)}ms"))
PROGRAMS = (
    Program("tini", shutil.which("tini")),
    Program("tini -s", shutil.which("tini"), ("-s",), as_pid_1=False),
    Program("dumb-init", shutil.which("dumb-init")),
    Program("catatonit", shutil.which("catatonit")),
    OURS,
)
