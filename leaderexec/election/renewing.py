"""The times of kinds that renew their leadership, and the sums that they must satisfy."""

from typing import TYPE_CHECKING, NamedTuple

from leaderexec.config.options import UsageError, show_duration

if TYPE_CHECKING:
    from leaderexec.config.settings import Config

# For the KILL at the end of --grace-lost, and until the rest of the tree has exited.
MARGIN = 1.0
# client-go's JitterFactor: there must be time for two attempts.
JITTER = 1.2


class Now(NamedTuple):
    """Seconds of the two clocks, CLOCK_MONOTONIC and CLOCK_BOOTTIME."""

    monotonic: float
    boot: float


class Terms(NamedTuple):
    """Seconds: how long we lead without a renewal, and between two renewals."""

    renew_deadline: float
    retry_period: float


class Term(NamedTuple):
    """What is known of leadership. `at`: boot time of the proof. `fence`: only if we lead."""

    leader: str | None
    at: float
    fence: int | None


def check_duration(config: "Config") -> None:
    """Refuse a lease that may expire before the old leader's command has exited. Raises
    UsageError."""
    duration, deadline = config.lease_duration, config.renew_deadline
    least = deadline + config.grace_lost + MARGIN
    if duration < least:
        raise UsageError(
            f"--lease-duration is {show_duration(duration)}, but the old command may run for up"
            f" to {show_duration(least)} = {show_duration(deadline)} (--renew-deadline)"
            f" + {show_duration(config.grace_lost)} (--grace-lost)"
            f" + {show_duration(MARGIN)} for the KILL; allowed: that or more"
        )


def check_retries(config: "Config") -> None:
    """Refuse a deadline that leaves no time for a second renewal. Raises UsageError."""
    deadline, period = config.renew_deadline, config.retry_period
    if deadline <= JITTER * period:
        raise UsageError(
            f"--renew-deadline is {show_duration(deadline)}; allowed: more than {JITTER:g} x"
            f" --retry-period ({show_duration(period)}), so that a failed renewal can be"
            " retried"
        )


def startup_fields(config: "Config") -> dict[str, object]:
    """Return the times for the start-up line."""
    return {
        "lease_duration": show_duration(config.lease_duration),
        "renew_deadline": show_duration(config.renew_deadline),
        "retry_period": show_duration(config.retry_period),
    }
