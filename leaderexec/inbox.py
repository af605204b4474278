"""The single queue for all events."""

import os
import threading
from collections import deque
from contextlib import suppress

from leaderexec.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Creating the event classes takes longer than all our other work before the subscription.
    from leaderexec.core.events import Event


# As many as the reaper handles at once.
BATCH = 256


class Inbox:
    """Events from any thread, for the main thread, which waits for `fileno` with poll(2)."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._turn = threading.Lock()
        try:
            self._arrived = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except OSError as error:
            raise OSError(error.errno, error.strerror, "eventfd") from None

    def fileno(self) -> int:
        """Return a descriptor that is readable while there may be events in the queue."""
        return self._arrived

    def put(self, event: "Event") -> None:
        """Add an event; safe from any thread.

        Of consecutive announcements that have not been taken yet, the last two different ones are
        kept: the last one decides, and the one before it shows a loss in between, even if only by
        another fence or slot under the same name. So a flood of them does not fill the queue.
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
        """Make the main loop run once with nothing to decide; safe from any thread."""
        os.eventfd_write(self._arrived, 1)

    def take(self) -> "list[Event]":
        """Remove and return what is in the queue now, in order, at most BATCH events. What arrives
        meanwhile waits for the next time, so that a flood can't keep the loop from its deadlines
        or from signals.

        The descriptor is cleared only when nothing was found, and then the queue is checked once
        more: a system call in between would hand the GIL to the thread that has just put
        the event, and the event would wait for it.
        """
        if not self._events:
            with suppress(BlockingIOError):
                os.eventfd_read(self._arrived)
        with self._turn:
            return [self._events.popleft() for _ in range(min(BATCH, len(self._events)))]


def _announces(event: "Event") -> bool:
    # By name: importing the class would take longer than everything else before the subscription.
    return type(event).__name__ == "Announced"


def _said(announced: "Event") -> tuple[object, ...]:
    return announced.leader, announced.fence, announced.slot  # type: ignore[union-attr]
