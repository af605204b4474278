"""Everything that `lifecycle.decide` can ask of the shell, and all that it tells."""

from enum import Enum

from leaderexec.core.record import Record


class Job(Enum):
    """What a process is started for."""

    ON_START = "on-start"
    COMMAND = "command"
    ON_STOP = "on-stop"
    # Beside the command, and no business of `decide`'s.
    PROBE = "health-cmd"


class Role(Enum):
    """What the replica is doing, in one word for people."""

    STANDBY = "standby"
    BLOCKED = "blocked"
    TAKEOVER = "takeover"
    PREPARING = "preparing"
    RUNNING = "running"
    BACKOFF = "backoff"
    STOPPING = "stopping"
    KILLING = "killing"
    CLEANING = "cleaning"
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


class Start(Record):
    """Start the command or a hook for this term. `leader` and `leader_since` are as believed now:
    after a loss --on-stop is told the successor. `fence` is the term's own, None where the source
    has none; `code` is the command's, for a hook: None where it did not run."""

    job: Job
    term: int
    leader: str
    leader_since: float
    fence: int | None = None
    code: int | None = None


class Stop(Record):
    """Send the stop signal to the main process of what runs (or to its group, with
    ``--signal-group``)."""

    signal: int


class StopLeftovers(Record):
    """Send the stop signal to every process that the ended main process left behind."""

    signal: int


class Forward(Record):
    """Pass a signal on to the command."""

    signal: int


class KillTree(Record):
    """Send SIGKILL to every descendant."""


class NameSurvivors(Record):
    """Say which processes have survived SIGKILL: they are given up."""


class Suspend(Record):
    """The command was stopped from a terminal: stop as well, as a job of the shell above."""

    signal: int


class Resubscribe(Record):
    """The stream has missed an announcement that a poll found: open a new one."""


class LetGo(Record):
    """Let leadership go, as nothing of the command is left to do the leader's work, and do not
    compete for `hold_off` seconds."""

    hold_off: float


class Exit(Record):
    """End leaderexec with this code. `release`: let leadership go before that, as nothing of the
    command is left to do the leader's work."""

    code: int
    release: bool = True


class Note(Record):
    """A fact that a person should read; `fields` are (name, value) pairs."""

    level: str
    event: str
    fields: tuple[tuple[str, object], ...] = ()


class Changed(Record):
    """A fact: the replica's role, or its term, is another. `due_at` is when time alone will change
    the role again; `exit_code` is that of the end."""

    before: Role
    after: Role
    cause: Cause
    reason: str
    term: int
    due_at: float | None = None
    exit_code: int | None = None


class Ended(Record):
    """A fact: a run's main process ended, or none could be made for it (`code` is None then).
    `failure` says why it could not be executed, or what is wrong with a hook that did end."""

    job: Job
    code: int | None
    failure: str | None
    ran_seconds: float = 0.0


Action = (
    Start
    | Stop
    | StopLeftovers
    | Forward
    | KillTree
    | NameSurvivors
    | Suspend
    | Resubscribe
    | LetGo
    | Exit
    | Note
    | Changed
    | Ended
)
