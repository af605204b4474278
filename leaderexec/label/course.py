"""Whether the Pod is to carry the label, and the way there. Pure.

A request that timed out may still be carried out later. So each write names the version of the Pod
that it changes, and is refused once that has changed; a write in doubt is followed by another one,
which always changes something, so that none can arrive after the last word.
"""

from enum import Enum

from leaderexec.core.actions import Cause
from leaderexec.core.lifecycle import State
from leaderexec.core.run import at_work

# Stops that nobody else depends on: they may wait a moment until the label is gone.
_UNHURRIED = (Cause.ORDERED, Cause.STEPPED_DOWN, Cause.UNHEALTHY)


def is_wanted(state: State, *, probed: bool, says_ready: bool = False) -> bool:
    """Tell whether the label is wanted: the command runs, is healthy where it is `probed`, and has
    said that it is ready where it has to. It is not once the command says that it ends."""
    run = at_work(state.run)
    if run is None:
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
    CLEAR = "remove the label of earlier leaders"
    REST = "nothing, until something else is wanted"


class Course:
    """What is known of the Pod, and what follows. The newest wish counts."""

    def __init__(self) -> None:
        self.wanted = False
        # Each wish has a number: the label of an earlier term is written anew.
        self.wish_number = 0
        # The Pod's resourceVersion, None where it has to be read; whether it has the label then.
        self.version: str | None = None
        self.is_on = False
        self._written_for = 0
        self._cleared_for = 0
        # What a write would have changed whose outcome is not known.
        self._doubt: str | None = None

    def wish(self, *, wanted: bool) -> None:
        """Take in what is wanted from now on."""
        self.wanted = wanted
        self.wish_number += 1

    def next(self) -> Step:
        """Return the next step."""
        if self.version is None:
            return Step.READ
        if self.wanted:
            if not self.is_on or self._written_for != self.wish_number or self._doubt is not None:
                return Step.SET
            return Step.REST if self._cleared_for == self.wish_number else Step.CLEAR
        return Step.REMOVE if self.is_on or self._doubt is not None else Step.REST

    def has_read(self, version: str, *, is_on: bool) -> None:
        """Take in what the Pod is like."""
        self.version, self.is_on = version, is_on
        if version != self._doubt:
            # Carried out by now, or refused whenever it comes.
            self._doubt = None

    def has_written(self, version: str, wish_number: int, *, is_on: bool) -> None:
        """Take in what a write for that wish made of it."""
        self.version, self.is_on, self._doubt = version, is_on, None
        self._written_for = wish_number

    def has_cleared(self, wish_number: int) -> None:
        """Take in that no earlier leader has the label."""
        self._cleared_for = wish_number

    def was_refused(self) -> None:
        """Take in that a write changed nothing: the Pod was another by then, or it is forbidden."""
        self.version = None

    def is_in_doubt(self) -> None:
        """Take in that nobody knows what came of a write."""
        self._doubt, self.version = self.version, None
