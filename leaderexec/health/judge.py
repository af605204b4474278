"""The meaning of a series of probe results. Pure: times are passed in."""

from leaderexec.core.events import Health
from leaderexec.core.record import Record

# How often to probe a command that has not proved healthy yet, in seconds: before that it is not
# ready for traffic.
_WHILE_STARTING = 1.0


class Rules(Record):
    """How results are judged; durations in seconds."""

    interval: float = 10.0
    threshold: int = 3
    start_period: float = 30.0


class Judge:
    """Judges one run of the command. It returns at most two verdicts: when the command first proves
    healthy, and when it is unhealthy, which ends the run."""

    def __init__(self, rules: Rules, started_at: float) -> None:
        self._rules = rules
        self.started_at = started_at
        self._healthy = False
        self._failures = 0
        self._failing_since = started_at

    def take(self, failure: str | None, asked_at: float) -> Health | None:
        """Take in a result, None for success; return the verdict if there is a new one."""
        if failure is None:
            self._failures = 0
            if self._healthy:
                return None
            self._healthy = True
            return Health(True, self.started_at, asked_at)
        if self._is_starting(asked_at):
            return None
        if self._failures == 0:
            self._failing_since = asked_at
        self._failures += 1
        if self._failures != self._rules.threshold:
            return None
        row = f" ({self._failures} times in a row)" if self._failures > 1 else ""
        return Health(False, self.started_at, self._failing_since, f"{failure}{row}")

    def next_after(self, asked_at: float) -> float:
        """Return when to probe again."""
        interval = self._rules.interval
        starting = self._is_starting(asked_at)
        return asked_at + (min(interval, _WHILE_STARTING) if starting else interval)

    def _is_starting(self, now: float) -> bool:
        return not self._healthy and now < self.started_at + self._rules.start_period
