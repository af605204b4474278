"""What a page is told while it is open: the whole state, by server-sent events, when something has
changed and once a second. While nobody follows, nothing wakes up for it."""

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from leaderexec.printable import all_printable
from leaderexec.status.document import Document
from leaderexec.status.processes import Processes
from leaderexec.status.snapshot import Published
from leaderexec.timestamps import rfc_3339

EVERY = 1.0
# However often something changes, followers are told no more often than this.
SOONEST = 0.1
MOST_PROCESSES = 100

Look = Callable[[], dict[str, Any] | None]


class Live:
    """The messages, for the HTTP thread. Each has everything, so one may be left out."""

    def __init__(
        self,
        published: Published,
        document: Document,
        processes: Processes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._published = published
        self._document = document
        self._processes = processes
        # Returns what is known of the --peers; None without them.
        self.look: Look | None = None
        self._clock = clock
        self._changed = False
        self._told_at = clock()
        self._news = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        """Return a descriptor that is readable when there are news."""
        return self._news

    def follow(self, *, on: bool) -> None:
        """Begin, or end, to hear of changes."""
        self._published.follow(self.news if on else None)

    def news(self) -> None:
        """Say that something has changed; safe from any thread, never waits."""
        # Once is enough until the next message: a flood of changes must not wake us for each.
        if not self._changed:
            self._changed = True
            os.eventfd_write(self._news, 1)

    def heard(self) -> None:
        """Make the descriptor unreadable again."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._news)

    def due_in(self) -> float:
        """Return the seconds until the next message is due."""
        wait = SOONEST if self._changed else EVERY
        return max(0.0, self._told_at + wait - self._clock())

    def message(self) -> bytes:
        """Return the message for all followers, and begin to wait for the next."""
        self._told_at = self._clock()
        # Before looking: what changes from here on is told next time.
        self._changed = False
        return self.event()

    def event(self) -> bytes:
        """Return the state as a server-sent event."""
        now = self._published.latest
        status = self._document.status(now, self._processes.tree(now))
        told = {
            "now": rfc_3339(time.time()),
            "status": _shortened(status),
            "peers": None if self.look is None else self.look() or {},
        }
        return b"data: %s\n\n" % json.dumps(all_printable(told), ensure_ascii=False).encode()


def _shortened(status: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what no page shows, once a second and for each that is open."""
    left = len(status["tree"]) - MOST_PROCESSES
    shown = {name: value for name, value in status.items() if name != "options"}
    return shown | {"tree": status["tree"][:MOST_PROCESSES], "tree_left_out": max(0, left)}
