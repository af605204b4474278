"""Whether the Pod is to carry the label, and the way there. Pure.

A request that timed out may still be carried out later. So each write names the version of the Pod
that it changes, and is refused once that has changed; a write in doubt is followed by another one,
which always changes something, so that none can arrive after the last word.
"""

from enum import Enum

from leaderexec.core.actions import Cause, Job
from leaderexec.core.lifecycle import State
from leaderexec.core.run import Stage

# Stops that nobody else depends on: they may wait a moment until the label is gone.
_UNHURRIED = (Cause.ORDERED, Cause.STEPPED_DOWN, Cause.UNHEALTHY)


def is_wanted(state: State, *, probed: bool, says_ready: bool = False) -> bool:
    """Tell whether the label is wanted: the command runs, is healthy where it is `probed`, and has
    said that it is ready where it has to. It is not once the command says that it ends."""
    run = state.run
    if run is None or run.job is not Job.COMMAND or run.stage is not Stage.RUNNING:
        return False
    if run.ready is False or (says_ready and run.ready is None):
        return False
    return not probed or state.healthy_since is not None


def may_wait(state: State) -> bool:
    """Tell whether the stop that begins may wait for the label; after a loss none may."""
    return state.cause in _UNHURRIED


class Step(Enum):
    """What is to be done next."""

    READ = "read the Pod"
    SET = "set the label"
    REMOVE = "remove the label"
    REST = "nothing, until something else is wanted"


class Course:
    """What is known of the Pod, and what follows. The newest wish counts."""

    def __init__(self) -> None:
        self.wanted = False
        # The Pod's resourceVersion, None where it has to be read; whether it has the label then.
        self.version: str | None = None
        self.is_on = False
        # What a write would have changed whose outcome is not known.
        self._doubt: str | None = None

    def next(self) -> Step:
        """Return the next step."""
        if self.version is None:
            return Step.READ
        if self.is_on == self.wanted and self._doubt is None:
            return Step.REST
        return Step.SET if self.wanted else Step.REMOVE

    def has_read(self, version: str, *, is_on: bool) -> None:
        """Take in what the Pod is like."""
        self.version, self.is_on = version, is_on
        if version != self._doubt:
            # Carried out by now, or refused whenever it comes.
            self._doubt = None

    def has_written(self, version: str, *, is_on: bool) -> None:
        """Take in what a write made of it."""
        self.version, self.is_on, self._doubt = version, is_on, None

    def was_refused(self) -> None:
        """Take in that a write changed nothing: the Pod was another by then, or it is forbidden."""
        self.version = None

    def is_in_doubt(self) -> None:
        """Take in that nobody knows what came of a write."""
        self._doubt, self.version = self.version, None
