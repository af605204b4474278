"""``--election off``: this replica always leads, so that an image works without an election."""

from collections.abc import Mapping

from leaderexec.election.kind import Clock, Kind, Put, Source
from leaderexec.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leaderexec.config.settings import Config
    from leaderexec.logs import Log


class AlwaysKind(Kind):
    """Always leads: a pass-through."""

    name = "off"
    leads_when = "always, a pass-through"
    ways = "--election off (no election: this replica always leads)"
    can_be_lost = False
    free_when_gone = True
    prepares = True

    def open(self, config: "Config", put: Put, log: "Log", clock: Clock) -> Source:
        """Return the source that names us."""
        del log, clock
        return Always(config.identity, put)

    def ask(self, config: "Config", *, was_named: bool) -> tuple[str | None, bool | None]:
        """We lead."""
        del was_named
        return config.identity, True


class Always:
    """The source that names us once, forever."""

    def __init__(self, identity: str, put: Put) -> None:
        self._identity = identity
        self._put = put

    def start(self, now: float) -> None:
        """Name the leader."""
        from leaderexec.core.events import Announced

        self._put(Announced(self._identity, now))

    def resubscribe(self) -> None:
        """Do nothing: there is no stream."""

    def release(self) -> None:
        """Do nothing: no other replica takes over."""

    def step_down(self, hold_off: float) -> None:
        """Do nothing: leadership is not ours to release."""

    def inherited(self) -> tuple[int, ...]:
        """Return nothing: this leadership is not tied to a descriptor."""
        return ()

    def troubles(self) -> Mapping[tuple[str, str], int]:
        """Return nothing: nothing can go wrong."""
        return {}
