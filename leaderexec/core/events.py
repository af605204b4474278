"""Everything that can happen, as plain facts.

Times are seconds of the one injected clock (CLOCK_BOOTTIME in the program, any number in a
test). An event says what was seen and when; what follows from it is `lifecycle.decide`'s business.
"""

from leaderexec.core.actions import Job
from leaderexec.core.record import Record


class Announced(Record):
    """The election source named the leader, unasked (a stream event, a lock taken or let go).
    `fence` is the term's number where the source has one: greater in every later term."""

    leader: str | None
    at: float
    fence: int | None = None


class Polled(Record):
    """The elector answered a question that was asked at `asked_at`; `fence` as in Announced."""

    leader: str
    asked_at: float
    fence: int | None = None


class StreamOpened(Record):
    """The announcement stream is open; nothing has been announced on it yet."""

    at: float


class StreamClosed(Record):
    """The announcement stream ended."""

    at: float


class Failed(Record):
    """The election source itself broke down: nothing is confirmed until it is heard from again."""

    reason: str
    at: float


class Signalled(Record):
    """This process received a signal. `sender` is the sending pid, 0 when the kernel or a
    process outside this PID namespace sent it (signalfd(2), ssi_pid). `hung_up`: it is a HUP, and
    our controlling terminal is gone."""

    number: int
    sender: int = 0
    hung_up: bool = False


class StepDown(Record):
    """Somebody asks this replica to let leadership go, and not to compete for `hold_off` seconds.
    `asked_by` says who, for people."""

    hold_off: float
    asked_by: str


class Health(Record):
    """A verdict of the health probes about the command that was started at `started_at`: that tells
    it from an earlier run. `at` is when the first answer behind the verdict was asked for; `reason`
    says what is wrong."""

    healthy: bool
    started_at: float
    at: float
    reason: str = ""


class Exited(Record):
    """The command's or the hook's main process was reaped. `code` is as a shell tells it: 128+n
    when signal n ended it. `failure` says why it could not even be executed. `alone`: it was the
    last of its tree."""

    job: Job
    code: int
    failure: str | None = None
    alone: bool = False


class Stopped(Record):
    """The command was stopped by signal `number` (job control), not ended."""

    number: int


class TreeGone(Record):
    """No descendant is left: waitpid(2) said ECHILD."""


class StartFailed(Record):
    """No process could be made for the job that was to start (fork(2) failed)."""

    reason: str


class Tick(Record):
    """Time has passed. Sent whenever the inbox has been emptied, so that a deadline is met only
    after everything that is already known was taken into account."""


Event = (
    Announced
    | Polled
    | StreamOpened
    | StreamClosed
    | Failed
    | Signalled
    | StepDown
    | Health
    | Exited
    | Stopped
    | TreeGone
    | StartFailed
    | Tick
)
