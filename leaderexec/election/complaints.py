"""Trouble with an election is counted each time, and logged once until it is over."""

import threading
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leaderexec.logs import Log


_LONGEST = 400


class Trouble(Exception):
    """A request has failed; `kind` groups what is logged once, `remedy` says what to do, `pause` is
    the number of seconds that the server asked us to wait."""

    def __init__(self, kind: str, reason: str, remedy: str, *, pause: float = 0.0) -> None:
        # It may quote what a server has sent, which has a line of any length.
        super().__init__(reason[:_LONGEST])
        self.kind = kind
        self.remedy = remedy
        self.pause = pause


class Complaints:
    """The complaints of the parts of a source, such as its requests and its watch. `election` is
    the first word of the log lines (``lease trouble``), and `where` is in each of them."""

    def __init__(self, log: "Log", election: str, /, **where: object) -> None:
        self._log = log
        self._election = election
        self._where = where
        self._turn = threading.Lock()
        self._said: dict[str, set[str]] = {}
        self.counts: Counter[tuple[str, str]] = Counter()

    def say(self, part: str, trouble: Trouble) -> None:
        """Count it, and log it unless it was logged since the part last recovered."""
        with self._turn:
            self.counts[part, trouble.kind] += 1
            said = self._said.setdefault(part, set())
            if trouble.kind in said:
                return
            said.add(trouble.kind)
        self._log.warning(
            f"{self._election} trouble",
            part=part,
            kind=trouble.kind,
            **self._where,
            reason=str(trouble),
            remedy=trouble.remedy,
        )

    def settle(self, part: str) -> None:
        """Log the recovery of a part, if there was trouble."""
        with self._turn:
            after = sorted(self._said.pop(part, ()))
        if after:
            self._log.info(f"{self._election} recovered", part=part, after=after)
