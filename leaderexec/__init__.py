"""leaderexec: run a command only on the replica that leads.

For programs that want to know in-process: `is_leader()` asks once, `subscribe(handler)` reports
each change. See `leaderexec.api`. For a worker that leaderexec runs: `fence()`, and with --slots
`slot()` and `slot_count()`.
"""

from leaderexec._version import __version__

# As in typing, which must not be imported before sys.path is cleaned up.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from leaderexec.api import (
        ElectionUnknown,
        Leadership,
        Subscription,
        UsageError,
        is_leader,
        subscribe,
    )
    from leaderexec.fencing import fence, slot, slot_count

__all__ = [
    "ElectionUnknown",
    "Leadership",
    "Subscription",
    "UsageError",
    "__version__",
    "fence",
    "is_leader",
    "slot",
    "slot_count",
    "subscribe",
]


def __getattr__(name: str) -> object:
    """Import the API on first use (PEP 562): the program itself does not need it."""
    if name in ("fence", "slot", "slot_count"):
        # A worker that leaderexec runs uses nothing else: it need not import the API.
        from leaderexec import fencing

        return getattr(fencing, name)
    if name in __all__:
        from leaderexec import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
