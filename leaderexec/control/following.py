"""The progress of a step-down, step by step, from what the main thread publishes."""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from leaderexec.core import events
from leaderexec.core.actions import Role
from leaderexec.core.belief import Belief
from leaderexec.core.run import is_idle
from leaderexec.status.snapshot import Published

_LOOK_EVERY = 0.02
# Asking the election itself who leads costs a request.
_ASK_EVERY = 0.2


class Request(NamedTuple):
    """A requested step-down: how long to hold off, and whether to wait until another leads."""

    hold_off: float
    until_taken: bool
    asked_by: str


class StepDown:
    """One step-down, as seen by the client that requested it."""

    def __init__(
        self,
        identity: str,
        published: Published,
        put: Callable[[events.Event], None],
        who_leads: Callable[[int | None], str | None],
        clock: Callable[[], float],
    ) -> None:
        """`who_leads` queries the election itself, with --slots about one slot; it returns None if
        it can't tell."""
        self._identity = identity
        self._published = published
        self._put = put
        self._who_leads = who_leads
        self._clock = clock

    def follow(self, request: Request) -> Iterator[dict[str, Any]]:
        """Request it, and yield each step with the seconds since then. The last one has `done`:
        true if everything that was requested has happened."""
        belief = self._published.latest.state.belief
        if not self._leads(belief):
            who = belief.leader or self._who_leads(None)
            yield {"step": "not the leader", "after_seconds": 0.0, "leader": who, "done": False}
            return
        began, slot = self._clock(), belief.slot

        def step(name: str, **more: object) -> dict[str, Any]:
            return {"step": name, "after_seconds": round(self._clock() - began, 3), **more}

        yield step("asked", identity=self._identity, term=self._published.latest.state.term)
        self._put(events.StepDown(request.hold_off, request.asked_by))
        stopped_at, blocked = None, False
        while stopped_at is None:
            time.sleep(_LOOK_EVERY)
            state = self._published.latest.state
            if state.exit_code is not None:
                yield step("ended", code=state.exit_code, done=not request.until_taken)
                return
            if state.role is Role.BLOCKED and not blocked:
                blocked = True
                yield step("blocked", reason=state.reason)
            if is_idle(state.run) and not self._leads(state.belief):
                stopped_at = self._clock()
                yield step("stopped")
        until = stopped_at + request.hold_off
        if not self._is_released(until):
            yield step("not released", done=False)
            return
        yield step("released", done=None if request.until_taken else True)
        if request.until_taken:
            taken_by = self._taken_by(until, slot)
            if taken_by is None:
                yield step("not taken", done=False, hold_off=request.hold_off)
            else:
                yield step("taken", leader=taken_by, done=True)

    def _leads(self, belief: Belief) -> bool:
        return belief.confirmed and belief.leader == self._identity

    def _is_released(self, until: float) -> bool:
        """Wait until the source has reported that leadership is released."""
        while self._published.latest.state.belief.let_go is not None:
            if self._clock() > until:
                return False
            time.sleep(_LOOK_EVERY)
        return True

    def _taken_by(self, until: float, slot: int | None) -> str | None:
        """Wait for another leader, in the same slot."""
        while self._clock() < until:
            leader = self._published.latest.state.belief.leader or self._who_leads(slot)
            if leader is not None and leader != self._identity:
                return leader
            time.sleep(_ASK_EVERY)
        return None
