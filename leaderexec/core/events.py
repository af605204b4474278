"""Everything that can happen, as plain facts.

Times are seconds of the one injected clock (CLOCK_BOOTTIME in the program, any number in a
test). An event says what was seen and when; what follows from it is `machine.decide`'s business.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Announced:
    """The election source named the leader, unasked (a stream event, a lock taken or let go)."""

    leader: str | None
    at: float


@dataclass(frozen=True, slots=True)
class Polled:
    """The elector answered a question that was asked at `asked_at`."""

    leader: str
    asked_at: float


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The announcement stream is open; nothing has been announced on it yet."""

    at: float


@dataclass(frozen=True, slots=True)
class StreamClosed:
    """The announcement stream ended."""

    at: float


@dataclass(frozen=True, slots=True)
class Signalled:
    """This process received a signal. `sender` is the sending pid, 0 when the kernel or a
    process outside this PID namespace sent it (signalfd(2), ssi_pid)."""

    number: int
    sender: int = 0


@dataclass(frozen=True, slots=True)
class Exited:
    """The command itself was reaped. `code` is as a shell tells it: 128+n when signal n ended
    it. `failure` says why it could not even be executed. `alone`: it was the last of its tree."""

    code: int
    failure: str | None = None
    alone: bool = False


@dataclass(frozen=True, slots=True)
class HookEnded:
    """The hook itself was reaped; its fields are those of `Exited`."""

    code: int
    failure: str | None = None
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Stopped:
    """The command was stopped by signal `number` (job control), not ended."""

    number: int


@dataclass(frozen=True, slots=True)
class TreeGone:
    """No descendant is left: waitpid(2) said ECHILD."""


@dataclass(frozen=True, slots=True)
class StartFailed:
    """No process could be made for the command (fork(2) failed)."""

    reason: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed. Sent whenever the inbox has been emptied, so that a deadline is met only
    after everything that is already known was taken into account."""


Event = (
    Announced
    | Polled
    | StreamOpened
    | StreamClosed
    | Signalled
    | Exited
    | HookEnded
    | Stopped
    | TreeGone
    | StartFailed
    | Tick
)
