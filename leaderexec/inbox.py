"""The one queue that everything that happens goes through."""

import os
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Making the event classes takes longer than all else that is ours before the subscription.
    from leaderexec.core.events import Event


class Inbox:
    """Events from any thread, for the deciding thread, which waits on `fileno` with poll(2)."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        try:
            self._arrived = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except OSError as error:
            raise OSError(error.errno, error.strerror, "eventfd") from None

    def fileno(self) -> int:
        """Return the descriptor that is readable while something may be in the queue."""
        return self._arrived

    def put(self, event: "Event") -> None:
        """Add an event; safe from any thread, never waits."""
        self._events.append(event)
        os.eventfd_write(self._arrived, 1)

    def wake(self) -> None:
        """Make the deciding loop turn, with nothing to decide; safe from any thread."""
        os.eventfd_write(self._arrived, 1)

    def take(self) -> "list[Event]":
        """Remove and return what is in the queue now, in order. What arrives meanwhile stays for
        the next time, so that a flood can't keep the loop from its deadlines.

        The descriptor is cleared only when nothing was found, and then the queue is looked at once
        more: a system call in between would hand the interpreter to the thread that has just put
        the event, and the event would wait for it.
        """
        if not self._events:
            with suppress(BlockingIOError):
                os.eventfd_read(self._arrived)
        return [self._events.popleft() for _ in range(len(self._events))]
