"""What goes wrong with a Lease is counted each time, and said once until it is over."""

import threading
from collections import Counter
from typing import TYPE_CHECKING

from leaderexec.election.lease.answers import Trouble

if TYPE_CHECKING:
    from leaderexec.logs import Log


class Complaints:
    """The complaints of the parts of a source: its requests, and its watch."""

    def __init__(self, log: "Log", where: str) -> None:
        self._log = log
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
            "lease trouble",
            part=part,
            kind=trouble.kind,
            api_server=self._where,
            reason=str(trouble),
            remedy=trouble.remedy,
        )

    def settle(self, part: str) -> None:
        """Log the recovery of a part, if there was trouble."""
        with self._turn:
            after = sorted(self._said.pop(part, ()))
        if after:
            self._log.info("lease recovered", part=part, after=after)
