"""The times of kinds that hold leadership by renewing it, and the sums that they must fit."""

from typing import TYPE_CHECKING, NamedTuple

from leaderexec.config.options import UsageError, show_duration

if TYPE_CHECKING:
    from leaderexec.config.settings import Config

# For the KILL at the end of --grace-lost, and what is left of the tree to be seen through.
MARGIN = 1.0
# client-go's JitterFactor: two tries must fit.
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
    """What is known of leadership. `at`: boot time of the proof. `fence`: only of our own."""

    leader: str | None
    at: float
    fence: int | None


def check_duration(config: "Config") -> None:
    """Refuse a lease that may run out before the old leader's command is gone. Raises
    UsageError."""
    duration, deadline = config.lease_duration, config.renew_deadline
    least = deadline + config.grace_lost + MARGIN
    if duration < least:
        raise UsageError(
            f"--lease-duration is {show_duration(duration)}, but the old command is gone only"
            f" after {show_duration(least)} = {show_duration(deadline)} (--renew-deadline)"
            f" + {show_duration(config.grace_lost)} (--grace-lost)"
            f" + {show_duration(MARGIN)} for the KILL; allowed: that or more"
        )


def check_retries(config: "Config") -> None:
    """Refuse a deadline within which no second renewal can be tried. Raises UsageError."""
    deadline, period = config.renew_deadline, config.retry_period
    if deadline <= JITTER * period:
        raise UsageError(
            f"--renew-deadline is {show_duration(deadline)}; allowed: more than {JITTER:g} x"
            f" --retry-period ({show_duration(period)}), so that a renewal that failed can be"
            " tried again"
        )


def startup_fields(config: "Config") -> dict[str, object]:
    """Return what the start-up line says of the times."""
    return {
        "lease_duration": show_duration(config.lease_duration),
        "renew_deadline": show_duration(config.renew_deadline),
        "retry_period": show_duration(config.retry_period),
    }
