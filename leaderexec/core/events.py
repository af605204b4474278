"""Everything that can happen, as plain facts.

Times are seconds of the one injected clock (CLOCK_BOOTTIME in the program, any number in a
test). An event says what was seen and when; `lifecycle.decide` determines what follows from it.
"""

from leaderexec.core.actions import Job
from leaderexec.core.record import Record


class Announced(Record):
    """The election source named the leader on its own (a stream event, a lock taken or released).
    `fence` is the term's number if the source has one: greater in every later term. `slot` is which
    of several leaders this one is, with --slots."""

    leader: str | None
    at: float
    fence: int | None = None
    slot: int | None = None


class Polled(Record):
    """The elector responded to a poll sent at `asked_at`; `fence` as in Announced."""

    leader: str
    asked_at: float
    fence: int | None = None


class Pod(Record):
    """A Pod; its uid tells it from others of the same name."""

    name: str
    uid: str


class LeaseSeen(Record):
    """The API server told of the elector's Lease, which was asked for at `asked_at`: whom it names,
    its uid and resourceVersion, and the Pod that owns it. `leader` is None where there is no such
    Lease."""

    asked_at: float
    leader: str | None
    uid: str = ""
    version: int = 0
    pod: Pod | None = None


class LeaseRefused(Record):
    """The API server does not let us see the elector's Lease."""

    asked_at: float


class PodEnded(Record):
    """All containers of the Pod with this uid were seen terminated, so that nothing of it runs."""

    uid: str


class StreamOpened(Record):
    """The announcement stream is open; nothing has been announced on it yet."""

    at: float


class StreamClosed(Record):
    """The announcement stream ended."""

    at: float


class Failed(Record):
    """The election source itself broke down: nothing is confirmed until it reports again."""

    reason: str
    at: float


class Done(Record):
    """For the key of --once, the election keeps that the command has succeeded: here, or on another
    replica, now or earlier."""


class NotKept(Record):
    """The election can't keep our command's success any more; `reason` says why."""

    reason: str


class Signalled(Record):
    """This process received a signal. `sender` is the sending pid, 0 if the kernel or a
    process outside this PID namespace sent it (signalfd(2), ssi_pid). `hung_up`: it is a HUP, and
    our controlling terminal is gone."""

    number: int
    sender: int = 0
    hung_up: bool = False


class StepDown(Record):
    """This replica is asked to release leadership, and not to compete for `hold_off` seconds.
    `asked_by` says by whom, for people."""

    hold_off: float
    asked_by: str


class Health(Record):
    """A verdict of the health probes about the command that was started at `started_at`, which
    identifies the run. `at` is when the first probe behind the verdict was sent; `reason` says what
    is wrong."""

    healthy: bool
    started_at: float
    at: float
    reason: str = ""


class Ready(Record):
    """The command has said that it is ready (READY=1), or that it ends (STOPPING=1), by
    sd_notify(3)."""

    ready: bool


class Exited(Record):
    """The command's or the hook's main process was reaped. `code` is as in a shell: 128+n if
    signal n killed it. `failure` says why it could not even be executed. `alone`: it was the
    last of its tree."""

    job: Job
    code: int
    failure: str | None = None
    alone: bool = False


class Suspended(Record):
    """The command was stopped by signal `number` (job control), and can be continued."""

    number: int


class TreeGone(Record):
    """No descendant is left: waitpid(2) failed with ECHILD."""


class StartFailed(Record):
    """No process could be created for the job to be started (fork(2) failed)."""

    reason: str


class Tick(Record):
    """Time has passed. Sent whenever the inbox has been emptied, so that a deadline is acted on
    only after everything that is already known."""


Event = (
    Announced
    | Polled
    | LeaseSeen
    | LeaseRefused
    | PodEnded
    | StreamOpened
    | StreamClosed
    | Failed
    | Done
    | NotKept
    | Signalled
    | StepDown
    | Health
    | Ready
    | Exited
    | Suspended
    | TreeGone
    | StartFailed
    | Tick
)
