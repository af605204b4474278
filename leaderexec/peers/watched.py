"""The replicas for the page: asked only while somebody looks, and at most once a second."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from leaderexec.peers.asking import Asking
from leaderexec.process.threads import begun

if TYPE_CHECKING:
    import threading

FRESH_FOR = 1.0
# Older answers are not shown as if they were true now: a leader among them may be gone.
OLD_AFTER = 5.0


class Watched:
    """The latest answers. `look` never waits, and is for a single thread."""

    def __init__(
        self,
        peers: Sequence[str],
        port: int | None,
        news: Callable[[], None],
        complain: Callable[[str], None],
    ) -> None:
        """`news` is called, by another thread, when there are answers; `complain` with
        descriptions of our bugs."""
        self._asking = Asking(peers, port)
        self._news = news
        self._complain = complain
        # With the time at which they were asked for (monotonic).
        self._latest: tuple[float, dict[str, Any]] | None = None
        self._asked_at: float | None = None
        self._round: threading.Thread | None = None

    def look(self) -> dict[str, Any] | None:
        """Return the latest answers, None if there are none or only old ones; ask again after
        FRESH_FOR."""
        now = time.monotonic()
        fresh = self._asked_at is not None and now - self._asked_at < FRESH_FOR
        if not fresh and (self._round is None or not self._round.is_alive()):
            self._asked_at = now
            # Where no thread can be started, nothing is shown soon.
            self._round = begun("peers", self._ask)
        if self._latest is None or now - self._latest[0] > OLD_AFTER:
            return None
        return self._latest[1]

    def _ask(self) -> None:
        try:
            asked_at = time.monotonic()
            self._latest = asked_at, self._asking.ask()
            self._news()
        except Exception as error:  # noqa: BLE001 - it is logged, and asked again
            self._complain(f"--peers: {type(error).__name__}: {error}")
