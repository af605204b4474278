"""Decides whether the Pod should have the label, and how to get there. Pure.

A request that timed out may still take effect later. So each write names the version of the Pod
that it changes, and is refused once that has changed; a write whose result is unknown is followed
by another one that always changes something, so that none can take effect after the last one.
"""

from enum import Enum

from leaderexec.core.actions import Cause
from leaderexec.core.lifecycle import State
from leaderexec.core.run import at_work

# Stops that no other replica waits for: they may be delayed briefly until the label is gone.
_UNHURRIED = (Cause.ORDERED, Cause.STEPPED_DOWN, Cause.UNHEALTHY)


def is_wanted(state: State, *, probed: bool, says_ready: bool = False) -> bool:
    """Return whether the label is wanted: the command is running, is healthy if it is `probed`, and
    has reported ready if it has to. No longer once the command has reported that it is stopping."""
    run = at_work(state.run)
    if run is None:
        return False
    if run.ready is False or (says_ready and run.ready is None):
        return False
    return not probed or state.healthy_since is not None


def may_wait(state: State) -> bool:
    """Return whether the stop that begins may wait for the label's removal; after a loss none
    may."""
    return state.cause in _UNHURRIED


class Step(Enum):
    """What to do next."""

    READ = "read the Pod"
    SET = "set the label"
    REMOVE = "remove the label"
    CLEAR = "remove the label of earlier leaders"
    REST = "nothing, until something else is wanted"


class Course:
    """What is known of the Pod, and what follows from it. The latest wish counts."""

    def __init__(self) -> None:
        self.wanted = False
        # Each wish has a number: the label of an earlier term is written again.
        self.wish_number = 0
        # The Pod's resourceVersion, None if it has to be read; whether it has the label in that
        # version.
        self.version: str | None = None
        self.is_on = False
        self._written_for = 0
        self._cleared_for = 0
        # What a write would have changed whose result is unknown.
        self._doubt: str | None = None

    def wish(self, *, wanted: bool) -> None:
        """Note what is wanted from now on."""
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
        """Take in the state of the Pod."""
        self.version, self.is_on = version, is_on
        if version != self._doubt:
            # Done by now, or refused whenever it arrives.
            self._doubt = None

    def has_written(self, version: str, wish_number: int, *, is_on: bool) -> None:
        """Take in the result of a write for that wish."""
        self.version, self.is_on, self._doubt = version, is_on, None
        self._written_for = wish_number

    def has_cleared(self, wish_number: int) -> None:
        """Note that no earlier leader has the label."""
        self._cleared_for = wish_number

    def was_refused(self) -> None:
        """Note that a write changed nothing: the Pod had been changed by then, or it is
        forbidden."""
        self.version = None

    def is_in_doubt(self) -> None:
        """Note that the result of a write is unknown."""
        self._doubt, self.version = self.version, None
