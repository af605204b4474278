"""The life of one process tree that we started: the command's, or a hook's.

    RUNNING  ->  STOPPING  ->  KILLING  ->  GONE
    it runs      it, or what   KILL was     no process
                 it left, is   sent         is left
                 being stopped

A run knows nothing of leaders, terms or reasons. Six triggers act on it; `TABLE` says what each of
them does at each stage except GONE, where the run is dropped: a cell names the stage that it leads
to, or says why the trigger is ignored there. A run never goes back. Until it is gone it always has
a deadline, except for a command at RUNNING, which may run as long as it likes. A warm command is a
run of its own job, which becomes the command's at RUNNING, when it is told that it leads.
"""

import signal
from collections.abc import Callable
from enum import Enum

from leaderexec.core.actions import Action, Forward, Job, KillTree, Stop, StopLeftovers
from leaderexec.core.backoff import doubling
from leaderexec.core.record import Record, replace

KILL_AGAIN_FIRST = 0.1
KILL_AGAIN_CAP = 1.0
# What survives SIGKILL for this long hangs in the kernel (state D) or can't be killed (EPERM).
KILL_PATIENCE = 5.0


class Stage(Enum):
    """How far a run has progressed."""

    RUNNING = "running"
    STOPPING = "stopping"
    KILLING = "killing"
    GONE = "gone"


class Trigger(Enum):
    """What acts on a run."""

    STOP = "we want it stopped"
    SIGNAL = "a signal is forwarded to it"
    EXITED = "its main process exited"
    TREE_GONE = "no descendant is left"
    DUE = "its deadline passed"
    GIVE_UP = "a process has survived KILL for too long"


class Run(Record):
    """One process tree. `deadline` is when a hook times out, when KILL is due, or when it is
    repeated; None for a command that may keep running. `alive`: its main process is not reaped yet.
    `code` and `failure` are those of `events.Exited`, or `failure` says that a hook timed out."""

    job: Job
    started_at: float
    deadline: float | None = None
    stop_signal: int = signal.SIGTERM
    stage: Stage = Stage.RUNNING
    alive: bool = True
    # What it last said of itself by sd_notify(3); None if nothing.
    ready: bool | None = None
    # A warm command's: --on-start runs beside it, as a part of its tree, until the deadline.
    preparing: bool = False
    # While this replica leads and its warm command is not ready: when it counts as unhealthy.
    ready_by: float | None = None
    code: int | None = None
    failure: str | None = None
    exited_at: float | None = None
    # It exited before we had sent it a stop signal.
    by_itself: bool = False
    # Its main process was alive when KILL was first sent.
    killed: bool = False
    kills: int = 0
    killing_since: float = 0.0
    # A process of it is known to live.
    survived: bool = False


def _running(run: Run | None, *jobs: Job) -> Run | None:
    return run if run is not None and run.job in jobs and run.stage is Stage.RUNNING else None


def started(run: Run | None) -> Run | None:
    """Return the run if it is the command's, warm or told that it leads, and is not being stopped;
    else None."""
    return _running(run, Job.COMMAND, Job.WARM)


def at_work(run: Run | None) -> Run | None:
    """Return the run if it is the command's and is not being stopped, else None."""
    return _running(run, Job.COMMAND)


def waiting(run: Run | None) -> Run | None:
    """Return the run if it is a warm command's that waits to be told that it leads, else None."""
    warm = _running(run, Job.WARM)
    return None if warm is None or warm.preparing else warm


def is_idle(run: Run | None) -> bool:
    """Return whether nothing works for the leader: nothing runs, or a warm command waits."""
    return run is None or waiting(run) is not None


def is_command(run: Run | None) -> bool:
    """Return whether the run is the command's, warm or told that it leads."""
    return run is not None and run.job in (Job.COMMAND, Job.WARM)


class Push(Record):
    """A trigger with its parameters: the signal of STOP and SIGNAL, the deadline `by` which a
    STOP or a clean-up after EXITED has to be complete, and the fields of `events.Exited`."""

    trigger: Trigger
    now: float
    signal: int = signal.SIGTERM
    by: float = float("inf")
    code: int = 0
    failure: str | None = None
    alone: bool = False


Step = tuple[Run, tuple[Action, ...]]
Handler = Callable[[Run, Push], Step]


class Cell(Record):
    """What a trigger does at a stage, and the next stage."""

    handler: Handler
    leads_to: Stage | None
    ignored: str | None = None


def push(run: Run, what: Push) -> Step:
    """Return the run after the trigger, and what to do."""
    return TABLE[run.stage][what.trigger].handler(run, what)


def is_due(run: Run, now: float) -> Trigger | None:
    """Return the trigger that is due by now, if any."""
    if run.deadline is None or now < run.deadline:
        return None
    patient = run.stage is not Stage.KILLING or now < run.killing_since + KILL_PATIENCE
    return Trigger.DUE if patient else Trigger.GIVE_UP


def _to(stage: Stage, handler: Handler) -> Cell:
    def go(run: Run, what: Push) -> Step:
        after, actions = handler(run, what)
        return replace(after, stage=stage), actions

    return Cell(go, stage)


def _ignored(why: str) -> Cell:
    return Cell(lambda run, _what: (run, ()), None, why)


def _stop(run: Run, what: Push) -> Step:
    """Send the stop signal; KILL is due at the deadline, or at a hook's own."""
    by = _earlier(run.deadline, what.by)
    return replace(run, stop_signal=what.signal, deadline=by), (Stop(what.signal),)


def _hurry(run: Run, what: Push) -> Step:
    """It already has its stop signal; the earlier of both deadlines applies."""
    return replace(run, deadline=_earlier(run.deadline, what.by)), ()


def _pass_on(run: Run, what: Push) -> Step:
    """Forward the signal to the main process unless it was reaped: its pid may be reused."""
    return run, (Forward(what.signal),) if run.alive else ()


def _end_by_itself(run: Run, what: Push) -> Step:
    """Keep the code, and stop what it left behind within the deadline."""
    ended, actions = _keep_code(replace(run, by_itself=True, stop_signal=what.signal), what)
    return replace(ended, deadline=_earlier(run.deadline, what.by)), actions


def _keep_code(run: Run, what: Push) -> Step:
    """Keep the code, and send the same stop signal to what it left behind."""
    ended, _ = _keep_last_code(run, what)
    return ended, () if what.alone else (StopLeftovers(run.stop_signal),)


def _keep_last_code(run: Run, what: Push) -> Step:
    """Keep the code; the others were sent KILL as well."""
    ended = replace(
        run, alive=False, code=what.code, failure=run.failure or what.failure, exited_at=what.now
    )
    return ended, ()


def _kill(run: Run, what: Push) -> Step:
    """Kill all of it; a hook that was still running has timed out."""
    late = run.stage is Stage.RUNNING
    killing = replace(
        run,
        killed=run.alive,
        killing_since=what.now,
        failure="took longer than its timeout" if late else run.failure,
    )
    return _kill_again(killing, what)


def _kill_again(run: Run, what: Push) -> Step:
    """Kill what has survived, at growing intervals."""
    again = what.now + doubling(run.kills, base=KILL_AGAIN_FIRST, cap=KILL_AGAIN_CAP)
    by = _earlier(again, run.killing_since + KILL_PATIENCE)
    return replace(run, kills=run.kills + 1, deadline=by), (KillTree(),)


def _give_up(run: Run, _what: Push) -> Step:
    """Nothing more can be done about what is left."""
    return replace(run, survived=True, deadline=None), ()


def _over(run: Run, _what: Push) -> Step:
    """The tree is gone."""
    return replace(run, deadline=None), ()


def _earlier(one: float | None, other: float) -> float:
    return other if one is None else min(one, other)


TABLE: dict[Stage, dict[Trigger, Cell]] = {
    Stage.RUNNING: {
        Trigger.STOP: _to(Stage.STOPPING, _stop),
        Trigger.SIGNAL: _to(Stage.RUNNING, _pass_on),
        Trigger.EXITED: _to(Stage.STOPPING, _end_by_itself),
        Trigger.TREE_GONE: _ignored("the main process is reaped, which is EXITED, before this"),
        Trigger.DUE: _to(Stage.KILLING, _kill),
        Trigger.GIVE_UP: _ignored("nothing was killed yet"),
    },
    Stage.STOPPING: {
        Trigger.STOP: _to(Stage.STOPPING, _hurry),
        Trigger.SIGNAL: _to(Stage.STOPPING, _pass_on),
        Trigger.EXITED: _to(Stage.STOPPING, _keep_code),
        Trigger.TREE_GONE: _to(Stage.GONE, _over),
        Trigger.DUE: _to(Stage.KILLING, _kill),
        Trigger.GIVE_UP: _ignored("nothing was killed yet"),
    },
    Stage.KILLING: {
        Trigger.STOP: _ignored("nothing is stronger than KILL"),
        Trigger.SIGNAL: _ignored("nothing is stronger than KILL"),
        Trigger.EXITED: _to(Stage.KILLING, _keep_last_code),
        Trigger.TREE_GONE: _to(Stage.GONE, _over),
        Trigger.DUE: _to(Stage.KILLING, _kill_again),
        Trigger.GIVE_UP: _to(Stage.GONE, _give_up),
    },
}
