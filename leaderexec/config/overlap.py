"""How long an old and a new leader's command can both run, cause by cause, if all replicas have the
same options. Pure.

The new leader starts `--takeover-delay` after it has won. The old one's command is gone after a
grace, which begins when its replica learns of the loss: at once by the stream; at the next poll
where its subscription was lost; after `--contact-timeout` where its elector is dead. A Pod object
that was deleted by force has its containers ended as any other, within `--grace`, while leadership
moves at once.
"""

from typing import NamedTuple

from leaderexec.config import OPTIONS, Config
from leaderexec.config.options import find, show_duration

# An option and its value; None where nothing is ever noticed by it.
_Term = tuple[str, float | None]


class Overlap(NamedTuple):
    """The longest overlap for one cause; `seconds` is None where nothing bounds it."""

    cause: str
    seconds: float | None
    what: str
    sum: str

    def __str__(self) -> str:
        if self.seconds is None:
            return f"{self.what}: no bound ({self.sum})"
        return f"{self.what}: {show_duration(self.seconds)} ({self.sum})"


def overlaps(config: Config) -> tuple[Overlap, ...]:
    """Return what can make two commands run at once, and for how long."""
    if config.election == "elector":
        return _by_elector(config)
    if config.election == "file":
        return (
            _overlap(
                config,
                "lock-file-removed",
                "the lock file is removed by hand",
                (("poll-interval", config.look_interval), ("grace-lost", config.grace_lost)),
            ),
        )
    return ()


def ordinary_move(config: Config) -> str | None:
    """Return what a move costs while all is well, and how to choose otherwise; None where the
    election itself waits for the old leader's command."""
    if config.election != "elector":
        return None
    if config.takeover_delay == 0:
        lost = show_duration(config.grace_lost)
        return f"no wait, and two commands for up to {lost}; --takeover-delay auto for safety"
    delay = show_duration(config.takeover_delay)
    return f"{delay} without a command; --takeover-delay 0s for speed, and two commands at once"


def _by_elector(config: Config) -> tuple[Overlap, ...]:
    lost = ("grace-lost", config.grace_lost)
    return (
        _overlap(config, "move", "leadership moves (a Lease deleted by hand)", (lost,)),
        _overlap(
            config,
            "lost-subscriber",
            "the elector has lost a subscriber",
            (("poll-interval", config.poll_interval), lost),
        ),
        _overlap(
            config,
            "dead-elector",
            "the old leader's elector is dead or hangs",
            (_noticed(config), lost),
        ),
        _overlap(
            config,
            "forced-deletion",
            "a Pod object is deleted by force and its elector dies before its command",
            (("grace", config.grace),),
        ),
    )


def _noticed(config: Config) -> _Term:
    """Return when a dead elector is noticed: without polls an open stream is contact, however long
    nobody has spoken on it."""
    if config.poll_interval is None:
        return "poll-interval", None
    return "contact-timeout", config.contact_timeout


def _overlap(config: Config, cause: str, what: str, terms: tuple[_Term, ...]) -> Overlap:
    names = " + ".join(name for name, _ in terms)
    unbounded = [name for name, seconds in terms if seconds is None]
    if unbounded:
        setting = f"--{unbounded[0]} {find(unbounded[0], OPTIONS).none}"
        return Overlap(cause, None, what, f"nobody notices, because of {setting}")
    total = sum(seconds or 0.0 for _, seconds in terms) - config.takeover_delay
    return Overlap(cause, max(0.0, total), what, f"{names} - takeover-delay, at least 0")
