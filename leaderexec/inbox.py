"""The one queue that everything that happens goes through."""

import os
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Making the event classes takes longer than all else that is ours before the subscription.
    from leaderexec.core.events import Event


# As many as the reaper takes at once.
BATCH = 256


class Inbox:
    """Events from any thread, for the deciding thread, which waits on `fileno` with poll(2)."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._turn = threading.Lock()
        try:
            self._arrived = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except OSError as error:
            raise OSError(error.errno, error.strerror, "eventfd") from None

    def fileno(self) -> int:
        """Return the descriptor that is readable while something may be in the queue."""
        return self._arrived

    def put(self, event: "Event") -> None:
        """Add an event; safe from any thread.

        Of announcements in a row that nobody has taken yet the last two that differ are kept: the
        last one decides, and the one before it shows a loss that came between, were it only by
        another fence under the same name. So a flood of them fills nothing.
        """
        with self._turn:
            waiting = self._events
            if _announces(event) and waiting and _announces(waiting[-1]):
                if _said(waiting[-1]) == _said(event):
                    waiting.pop()
                elif len(waiting) > 1 and _announces(waiting[-2]):
                    del waiting[-2]
            waiting.append(event)
        os.eventfd_write(self._arrived, 1)

    def wake(self) -> None:
        """Make the deciding loop turn, with nothing to decide; safe from any thread."""
        os.eventfd_write(self._arrived, 1)

    def take(self) -> "list[Event]":
        """Remove and return what is in the queue now, in order, BATCH events at most. What arrives
        meanwhile stays for the next time, so that a flood can't keep the loop from its deadlines
        or from signals.

        The descriptor is cleared only when nothing was found, and then the queue is looked at once
        more: a system call in between would hand the interpreter to the thread that has just put
        the event, and the event would wait for it.
        """
        if not self._events:
            with suppress(BlockingIOError):
                os.eventfd_read(self._arrived)
        with self._turn:
            return [self._events.popleft() for _ in range(min(BATCH, len(self._events)))]


def _announces(event: "Event") -> bool:
    # By its name: to import the class would take longer than all else before the subscription.
    return type(event).__name__ == "Announced"


def _said(announced: "Event") -> tuple[str | None, int | None]:
    return announced.leader, announced.fence  # type: ignore[union-attr]
