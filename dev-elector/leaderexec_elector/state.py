"""Who leads, what was requested, and which faults are set. Pure: the time is passed in."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from leaderexec_elector import wire
from leaderexec_elector.faults import Armed
from leaderexec_elector.manner import Manner, Moment


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The elector at one time, as shown by `/dev/state`.

    `subscribers` are the streams that announcements reach, `streams` all that are open;
    `connects`, `gets` and `followed` (redirects that were followed) count from the start.
    """

    leader: str | None
    candidates: tuple[str, ...]
    subscribers: int
    streams: int
    connects: int
    gets: int
    followed: int
    faults: tuple[dict[str, Any], ...]


@dataclass(slots=True)
class State:
    """The elector's state. `booting`: restarted, no election held yet."""

    candidates: list[str]
    leader: str | None
    last_update: datetime
    booting: bool = False
    connects: int = 0
    gets: int = 0
    followed: int = 0
    armed: list[Armed] = field(default_factory=list)

    def lead(self, name: str | None, now: datetime) -> None:
        """Move leadership; a name not seen before becomes a candidate."""
        if name is not None and name not in self.candidates:
            self.candidates.append(name)
        self.leader, self.last_update = name, now

    @property
    def announcement(self) -> bytes:
        """The current JSON document."""
        return wire.announcement(None if self.booting else self.leader, self.last_update)

    def manner(self, moment: Moment) -> Manner:
        """Return how to respond now; this uses up one of each counted fault that applies."""
        manner = Manner()
        for armed in [each for each in self.armed if each.applies(moment)]:
            changed = armed.change(manner, moment)
            if changed is not manner:
                self.use(armed)
            manner = changed
        return manner

    def use(self, armed: Armed) -> None:
        """Count one use of a fault, which is cleared by its last."""
        if armed.left is None:
            return
        armed.left -= 1
        if armed.left == 0:
            self.armed.remove(armed)
