"""For programs that want to know in-process whether they lead.

The two ways of the platform's own guide: ask once by a GET, or have a handler called, in a
thread, for each change announced on the stream. Both find the elector as the program
does: by ELECTOR_SSE_URL, ELECTOR_GET_URL or ELECTOR_PATH. Neither ever guesses.
"""

import http.client  # noqa: F401 - completely, before Elector would load it without OpenSSL
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from leaderexec.config import settings as configuration
from leaderexec.config.options import UsageError
from leaderexec.core.belief import Belief, ContactPolicy, contact_deadline, expire, hear
from leaderexec.election.elector.answer import ask_elector
from leaderexec.election.elector.client import Elector
from leaderexec.election.elector.kind import ElectorSettings
from leaderexec.election.kind import ElectionUnknown

if TYPE_CHECKING:
    from leaderexec.core.events import Event

__all__ = ["ElectionUnknown", "Leadership", "Subscription", "UsageError", "is_leader", "subscribe"]

_logger = logging.getLogger("leaderexec")


class Leadership(NamedTuple):
    """Who leads, as last announced. `confirmed` is False after `contact_timeout` without contact:
    then no replica should act as the leader. `fence`: the number of the leader's term, greater in
    every later one; None if the election provides none."""

    leader: str | None
    identity: str
    confirmed: bool
    fence: int | None = None

    @property
    def is_leader(self) -> bool:
        """True while this replica leads and that is confirmed."""
        return self.confirmed and self.leader == self.identity


def is_leader(
    *, identity: str | None = None, get_url: str | None = None, timeout: float = 5.0
) -> bool:
    """Return whether this replica leads; ask the elector again while it knows no leader yet.

    `identity` defaults to the kernel's hostname, `get_url` to the environment; `timeout` is in
    seconds, for all of it. Raises ElectionUnknown if the elector gives no valid response or
    knows no leader for all that time, and UsageError if no elector is configured.
    """
    settings = _settings(identity, None, get_url)
    url = settings.of(ElectorSettings).get_url or ""
    return ask_elector(url, settings.identity, timeout) == settings.identity


def subscribe(
    handler: Callable[[Leadership], None],
    *,
    identity: str | None = None,
    sse_url: str | None = None,
    get_url: str | None = None,
    poll_interval: float | None = 10.0,
    contact_timeout: float | None = 30.0,
) -> "Subscription":
    """Call `handler` in a thread with each change of leadership, including the initial state.

    The stream is followed and cross-checked by GET every `poll_interval` (None: not at all);
    without contact for `contact_timeout` (None: forever) the handler is called with unconfirmed
    leadership. Both are in seconds. An exception in the handler is logged to the logger
    "leaderexec" and does not end the subscription. Raises UsageError if no elector is configured.

    Returns a Subscription; close it, or use it as a context manager.
    """
    settings = _settings(identity, sse_url, get_url)
    return Subscription(settings, handler, poll_interval, contact_timeout)


def _settings(
    identity: str | None, sse_url: str | None, get_url: str | None
) -> configuration.Config:
    given = {"identity": identity, "sse-url": sse_url, "get-url": get_url}
    return configuration.load(
        {"election": "elector", **{name: text for name, text in given.items() if text}},
        (),
        {name: text for name, text in os.environ.items() if name.startswith("ELECTOR_")},
        os.uname().nodename,
    )


class Subscription:
    """A running subscription."""

    def __init__(
        self,
        settings: configuration.Config,
        handler: Callable[[Leadership], None],
        poll_interval: float | None,
        contact_timeout: float | None,
    ) -> None:
        self._identity = settings.identity
        self._handler = handler
        self._policy = ContactPolicy(contact_timeout, open_stream_counts=poll_interval is None)
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        urls = settings.of(ElectorSettings)
        self._elector = Elector(
            settings.identity,
            urls.sse_url or "",
            urls.get_url or "",
            poll_interval,
            min(configuration.LONGEST_REQUEST, poll_interval or configuration.LONGEST_REQUEST),
            self._events.put,
            _Logger(),
            _clock,
        )
        self._elector.start(_clock())
        self._thread = threading.Thread(target=self._run, name="leadership", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the subscription; the handler is not called again once this has returned (unless
        the handler itself calls it)."""
        self._elector.release()
        self._events.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> Self:
        """Return the subscription."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def _run(self) -> None:
        belief, last = Belief(), None
        while True:
            deadline = contact_deadline(belief, self._policy)
            try:
                event = self._events.get(
                    timeout=None if deadline is None else max(0.0, deadline - _clock())
                )
                if event is None:
                    return
                belief = hear(belief, event, self._policy)
            except queue.Empty:
                pass
            belief = expire(belief, self._policy, _clock())
            if belief.lost_subscriber():
                belief = belief.with_new_stream()
                self._elector.resubscribe()
            now = Leadership(belief.leader, self._identity, belief.confirmed, belief.fence)
            # Before the first contact there is nothing to report.
            if now != last and (last is not None or now.confirmed):
                last = now
                self._notify(now)

    def _notify(self, now: Leadership) -> None:
        try:
            self._handler(now)
        except Exception:
            _logger.exception("the handler of a leadership change failed on %s", now)


class _Logger:
    """Passes the elector client's log lines to the program's own logging."""

    def info(self, event: str, **fields: object) -> None:
        _logger.info("%s %s", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        _logger.warning("%s %s", event, fields)

    def error(self, event: str, **fields: object) -> None:
        _logger.error("%s %s", event, fields)


def _clock() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
