"""Threads of election sources. A thread that dies must not leave a standby, or a leader, with
outdated information forever."""

import threading
from collections.abc import Callable

from leaderexec.core.backoff import doubling
from leaderexec.light_typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from leaderexec.core.events import Event

OPEN_AGAIN_BASE = 0.1
OPEN_AGAIN_CAP = 5.0


class ErrorLog(Protocol):
    """Where the failure of a source is logged."""

    def error(self, event: str, **fields: object) -> None:
        """Log what someone should look at now."""


def start_watched(
    name: str,
    work: Callable[[], None],
    put: "Callable[[Event], None]",
    log: ErrorLog,
    clock: Callable[[], float],
    *,
    stops: bool = True,
) -> None:
    """Run `work` in a thread. An exception becomes the event Failed, so that the command is
    stopped as after a loss of contact, and the work is restarted after a while; if it `stops`
    nothing, the exception is only logged. Raises RuntimeError if no thread can be created."""

    def run() -> None:
        failures = 0
        while True:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - whatever it is, nothing is known any more
                delay = doubling(failures, base=OPEN_AGAIN_BASE, cap=OPEN_AGAIN_CAP)
                failures += 1
                reason = f"the election's {name} thread failed: {type(error).__name__}: {error}"
                if stops:
                    _put_failed(reason[:300], put, clock)
                _say(reason[:300], delay, log, stops=stops)
                threading.Event().wait(delay)
            else:
                return

    threading.Thread(target=run, name=name, daemon=True).start()


def _put_failed(reason: str, put: "Callable[[Event], None]", clock: Callable[[], float]) -> None:
    from leaderexec.core.events import Failed

    put(Failed(reason, clock()))


def _say(reason: str, delay: float, log: ErrorLog, *, stops: bool) -> None:
    follows = "the command is stopped, and the source" if stops else "the command runs on, and it"
    log.error(
        "election source failed",
        reason=reason,
        remedy=f"{follows} is restarted in {delay:g}s; please report this bug",
    )
