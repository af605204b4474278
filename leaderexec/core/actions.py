"""Everything that `machine.decide` can ask the shell to do."""

from dataclasses import dataclass
from enum import Enum


class Hook(Enum):
    """What runs before the command starts, and after its tree is gone."""

    ON_START = "on-start"
    ON_STOP = "on-stop"


@dataclass(frozen=True, slots=True)
class Start:
    """Start the command for this term."""

    term: int
    leader: str
    leader_since: float


@dataclass(frozen=True, slots=True)
class RunHook:
    """Run a hook; `result` is the command's exit code, None where it did not run in this term."""

    hook: Hook
    term: int
    leader: str
    leader_since: float
    result: int | None


@dataclass(frozen=True, slots=True)
class Stop:
    """Send the stop signal to what runs, the command or a hook, itself (or to its group, with
    ``--signal-group``)."""

    signal: int


@dataclass(frozen=True, slots=True)
class StopLeftovers:
    """Send the stop signal to every process that the ended command left behind."""

    signal: int


@dataclass(frozen=True, slots=True)
class Forward:
    """Pass a signal on to the command."""

    signal: int


@dataclass(frozen=True, slots=True)
class KillTree:
    """Send SIGKILL to every descendant."""


@dataclass(frozen=True, slots=True)
class Suspend:
    """The command was stopped from a terminal: stop as well, as a job of the shell above."""

    signal: int


@dataclass(frozen=True, slots=True)
class Resubscribe:
    """The stream has missed an announcement that a poll found: open a new one."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something a person should read; `fields` are (name, value) pairs."""

    level: str
    event: str
    fields: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True, slots=True)
class Exit:
    """End leaderexec with this code."""

    code: int


Action = (
    Start
    | RunHook
    | Stop
    | StopLeftovers
    | Forward
    | KillTree
    | Suspend
    | Resubscribe
    | Note
    | Exit
)
