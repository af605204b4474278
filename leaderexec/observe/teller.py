"""What the deciding thread did, told: one log line per fact, and counted."""

import signal
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from leaderexec.config import Config
from leaderexec.core import events
from leaderexec.core.actions import Hook
from leaderexec.core.machine import Phase, Role, State, role
from leaderexec.core.naming import signal_name
from leaderexec.observe.ledger import Ledger, Transition
from leaderexec.observe.logs import Logger

_HOOK_RUNS = {Phase.PREPARING: Hook.ON_START, Phase.CLEANING: Hook.ON_STOP}


class _Told(NamedTuple):
    """The last transition that was told: to which role, in which term, and when."""

    role: Role
    term: int
    since: float


class Teller:
    """Compares the state before and after each event, once everything was done."""

    def __init__(self, config: Config, log: Logger, clock: Callable[[], float]) -> None:
        self._config = config
        self._log = log
        self._clock = clock
        self._told = _Told(Role.STANDBY, 0, clock())
        self.ledger = Ledger()

    @property
    def role_since(self) -> float:
        """When the present role began, on the injected clock."""
        return self._told.since

    def tell(self, before: State, event: events.Event, after: State, pid: int | None) -> None:
        """Log and count what changed; `pid` is the command's or the hook's."""
        self.ledger.count(before, event, after, self._clock())
        self._tell_belief(before, after)
        if isinstance(event, events.Exited):
            self._tell_exit(before, event)
        self._tell_hook(before, event, after, pid)
        self._tell_transition(before, event, after)
        if after.phase is Phase.UP and before.phase is not Phase.UP:
            self._log.info("command started", pid=pid, term=after.term, leader=after.belief.leader)

    def _tell_belief(self, before: State, after: State) -> None:
        if after.belief.leader != before.belief.leader:
            self._log.info("leader changed", from_=before.belief.leader, to=after.belief.leader)
        if after.belief.confirmed == before.belief.confirmed:
            return
        if after.belief.confirmed and after.belief.leader is not None:
            self._log.info("leadership confirmed", leader=after.belief.leader)
        elif not after.belief.confirmed:
            self._log.warning(
                "leadership unconfirmed",
                leader=after.belief.leader,
                reason="nothing was heard from the elector for longer than --contact-timeout",
                timeout_seconds=self._config.contact_timeout,
                remedy="check the elector's container; the command runs again once it answers",
            )

    def _tell_transition(self, before: State, event: events.Event, after: State) -> None:
        now, clock = role(after), self._clock()
        if now is Role.TAKEOVER and (after.start_at or 0) <= clock:
            # Without a delay to wait out, the start is told as one transition.
            return
        told, self._told = self._told, _Told(now, after.term, clock)
        if (told.role, told.term) == (now, after.term):
            self._told = told
            return
        fields: dict[str, object] = {"from_": told.role.value, "to": now.value}
        if now in (Role.STOPPING, Role.KILLING) and after.kill_at is not None:
            fields["kill_in_seconds"] = round(after.kill_at - clock, 3)
        if now in (Role.TAKEOVER, Role.BACKOFF) and after.start_at is not None:
            fields["start_in_seconds"] = round(after.start_at - clock, 3)
        if now is Role.ENDED:
            fields["code"] = after.exit_code
        lasted = round(clock - told.since, 3)
        self._log.info(
            "transition", term=after.term, reason=after.reason, after_seconds=lasted, **fields
        )
        self.ledger.transition(
            Transition(
                datetime.now(UTC), told.role.value, now.value, after.term, after.reason, lasted
            ),
            before,
            event,
            after,
        )

    def _tell_exit(self, before: State, event: events.Exited) -> None:
        fields: dict[str, object] = {
            "code": event.code,
            "ran_seconds": round(self._clock() - before.started_at, 3),
        }
        if event.failure is not None:
            self._log.error("command could not be executed", reason=event.failure, **fields)
            return
        if event.code > 128 and event.code - 128 in signal.valid_signals():  # noqa: PLR2004
            fields["signal"] = signal_name(event.code - 128)
        self._log.info("command ended", **fields)

    def _tell_hook(self, before: State, event: events.Event, after: State, pid: int | None) -> None:
        started = _HOOK_RUNS.get(after.phase)
        if started is not None and before.phase is not after.phase:
            self._log.info("hook started", hook=started.value, pid=pid, term=after.term)
        ran = _HOOK_RUNS.get(before.phase)
        if ran is None or after.phase is before.phase:
            return
        failure = None
        if after.phase is Phase.KILLING:
            failure = "it took longer than its time-out"
        elif isinstance(event, events.HookEnded):
            failure = event.failure or (f"it ended with {event.code}" if event.code else None)
        elif isinstance(event, events.StartFailed):
            failure = event.reason
        if failure is not None:
            self.ledger.hook_failures[ran.value] += 1
            self._log.warning(
                "hook failed",
                hook=ran.value,
                reason=failure,
                remedy=f"run --{ran.value} by hand to see why;"
                f" --hook-failure is {self._config.hook_failure}",
            )
        elif isinstance(event, events.HookEnded):
            self._log.info("hook ended", hook=ran.value)
