"""The facts reported by `decide`, as log lines and as counts. Compares nothing."""

import signal
import time
from collections.abc import Callable

from leaderexec.config.settings import Config
from leaderexec.core import events
from leaderexec.core.actions import Changed, Ended, Job, Note, Role, Start
from leaderexec.core.signals import signal_name
from leaderexec.logs import Logger
from leaderexec.status.counters import Counters, Transition

_KILL_IS_DUE = (Role.STOPPING, Role.KILLING)
_START_IS_DUE = (Role.TAKEOVER, Role.BACKOFF)


class TransitionLog:
    """Logs and counts, in the deciding thread."""

    def __init__(self, config: Config, log: Logger, clock: Callable[[], float]) -> None:
        self._config = config
        self._log = log
        self._clock = clock
        # When the current role began, on the injected clock.
        self.role_since = clock()
        self.counters = Counters()

    def count(self, event: events.Event) -> None:
        """Count an event, before the facts that follow from it."""
        self.counters.count(event)

    def tell(self, fact: Note | Changed | Ended) -> None:
        """Log and count a fact."""
        match fact:
            case Note(level, event, fields):
                self._log.log(level, event, **dict(fields))
            case Changed():
                self._tell_change(fact)
            case Ended(Job.COMMAND | Job.WARM):
                self._tell_command(fact)
            case Ended():
                self._tell_hook(fact)

    def started(self, start: Start, pid: int) -> None:
        """Log and count the start of a process for a job."""
        if start.job is Job.COMMAND:
            self.counters.starts += 1
            numbers = {"fence": start.fence, "slot": start.slot}
            known = {name: number for name, number in numbers.items() if number is not None}
            self._log.info(
                "command started", pid=pid, term=start.term, leader=start.leader, **known
            )
        elif start.job is Job.WARM:
            self.counters.starts += 1
            self._log.info("warm command started", pid=pid)
        else:
            self._log.info("hook started", hook=start.job.value, pid=pid, term=start.term)

    def led(self, start: Start, pid: int | None) -> None:
        """Log that the warm command was told that it leads."""
        fence = {} if start.fence is None else {"fence": start.fence}
        self._log.info("warm command leads", pid=pid, term=start.term, **fence)

    def _tell_change(self, change: Changed) -> None:
        now = self._clock()
        lasted, self.role_since = round(now - self.role_since, 3), now
        before, after = change.before.value, change.after.value
        fields: dict[str, object] = {"from_": before, "to": after}
        if change.due_at is not None:
            due = round(change.due_at - now, 3)
            if change.after in _KILL_IS_DUE:
                fields["kill_in_seconds"] = due
            if change.after in _START_IS_DUE:
                fields["start_in_seconds"] = due
        if change.exit_code is not None:
            fields["code"] = change.exit_code
        self._log.info(
            "transition", term=change.term, reason=change.reason, after_seconds=lasted, **fields
        )
        told = Transition(time.time(), before, after, change.term, change.reason, lasted)
        self.counters.transition(told, change, now)

    def _tell_command(self, ended: Ended) -> None:
        code = ended.code or 0
        self.counters.exit(code)
        fields: dict[str, object] = {"code": code, "ran_seconds": round(ended.ran_seconds, 3)}
        if ended.failure is not None:
            self._log.error("command could not be executed", reason=ended.failure, **fields)
            return
        if code > 128 and code - 128 in signal.valid_signals():  # noqa: PLR2004
            fields["signal"] = signal_name(code - 128)
        self._log.info("command ended", **fields)

    def _tell_hook(self, ended: Ended) -> None:
        name = ended.job.value
        if ended.failure is None:
            self._log.info("hook ended", hook=name)
            return
        self.counters.hook_failures[name] += 1
        self._log.warning(
            "hook failed",
            hook=name,
            reason=f"it {ended.failure}" if ended.code is not None else ended.failure,
            remedy=f"run --{name} by hand to see why; --hook-failure is"
            f" {self._config.hook_failure}",
        )
