"""Everything that `lifecycle.decide` can order the shell to do, and all that it reports."""

from enum import Enum

from leaderexec.core.record import Record


class Job(Enum):
    """What a process is started for."""

    ON_START = "on-start"
    COMMAND = "command"
    # The command as well, but it waits to be told that it leads.
    WARM = "warm"
    ON_STOP = "on-stop"
    # Beside the command, and no business of `decide`'s.
    PROBE = "health-cmd"
    ON_CHANGE = "on-change"


HOOKS = frozenset({Job.ON_START, Job.ON_STOP})
BESIDE = frozenset({Job.PROBE, Job.ON_CHANGE})


class Role(Enum):
    """What the replica is doing, in one word for people."""

    STANDBY = "standby"
    BLOCKED = "blocked"
    TAKEOVER = "takeover"
    PREPARING = "preparing"
    WARMING = "warming"
    RUNNING = "running"
    BACKOFF = "backoff"
    STOPPING = "stopping"
    KILLING = "killing"
    CLEANING = "cleaning"
    RECORDING = "recording"
    ENDED = "ended"


class Cause(Enum):
    """Why the role changed, in one word for counters."""

    STARTED = "started"
    WON = "won"
    RESTART = "restart"
    MOVED = "moved"
    UNCONFIRMED = "unconfirmed"
    NEW_FENCE = "new-fence"
    ORDERED = "ordered"
    STEPPED_DOWN = "stepped-down"
    UNHEALTHY = "unhealthy"
    HUNG_UP = "hung-up"
    COMMAND_ENDED = "command-ended"
    HOOK_ENDED = "hook-ended"
    HOOK_TIMEOUT = "hook-timeout"
    START_FAILED = "start-failed"
    GRACE_OVER = "grace-over"
    STOPPED = "stopped"
    SURVIVORS = "survivors"
    WAITED = "waited"
    DONE = "done"
    NOT_KEPT = "not-kept"


class Start(Record):
    """Start the command or a hook for this term. `leader` and `leader_since` are as believed now:
    after a loss --on-stop gets the successor. `fence` and `slot` are the term's own, None if the
    source has none; `code`, for a hook, is the command's, None if it did not run."""

    job: Job
    term: int
    leader: str
    leader_since: float
    fence: int | None = None
    code: int | None = None
    slot: int | None = None


class Lead(Record):
    """Tell the warm command that it leads: `start` is that of the command, but its process is there
    already."""

    start: Start


class Stop(Record):
    """Send the stop signal to the main process of what runs (or to its group, with
    ``--signal-group``)."""

    signal: int


class StopLeftovers(Record):
    """Send the stop signal to every process that the main process left behind when it exited."""

    signal: int


class Forward(Record):
    """Forward a signal to the command."""

    signal: int


class KillTree(Record):
    """Send SIGKILL to every descendant."""


class NameSurvivors(Record):
    """Log which processes have survived SIGKILL: they are given up on."""


class Suspend(Record):
    """The command was suspended from a terminal: suspend this process as well, like any job."""

    signal: int


class Resubscribe(Record):
    """The stream has missed an announcement that a poll found: open a new one."""


class Release(Record):
    """Release leadership, as nothing of the command is left, and do not compete for `hold_off`
    seconds."""

    hold_off: float


class KeepSuccess(Record):
    """Keep with the election that the command has succeeded, for --once. `fence` is that of the
    term in which it ran, None if the source has none."""

    fence: int | None = None


class Exit(Record):
    """Exit with this code. `release`: release leadership before that, as nothing of the command is
    left."""

    code: int
    release: bool = True


class Note(Record):
    """A fact for people to read; `fields` are (name, value) pairs."""

    level: str
    event: str
    fields: tuple[tuple[str, object], ...] = ()


class Changed(Record):
    """A fact: the replica's role, or its term, has changed. `due_at` is when time alone will change
    the role again; `exit_code` is leaderexec's own, once it is known."""

    before: Role
    after: Role
    cause: Cause
    reason: str
    term: int
    due_at: float | None = None
    exit_code: int | None = None


class Ended(Record):
    """A fact: a run's main process exited, or none could be created for it (`code` is None then).
    `failure` says why it could not be executed, or what is wrong with a hook that did exit."""

    job: Job
    code: int | None
    failure: str | None
    ran_seconds: float = 0.0


Action = (
    Start
    | Lead
    | Stop
    | StopLeftovers
    | Forward
    | KillTree
    | NameSurvivors
    | Suspend
    | Resubscribe
    | Release
    | KeepSuccess
    | Exit
    | Note
    | Changed
    | Ended
)
