"""leaderexec: run a command only on the replica that leads.

For programs that want to know in-process: `is_leader()` asks once, `subscribe(handler)` tells of
each change. See `leaderexec.api`.
"""

from leaderexec._version import __version__

# As typing has it, which the program does not import before it has put its path in order.
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

__all__ = [
    "ElectionUnknown",
    "Leadership",
    "Subscription",
    "UsageError",
    "__version__",
    "is_leader",
    "subscribe",
]


def __getattr__(name: str) -> object:
    """Import the API when it is first asked for (PEP 562): the program itself has no use for it."""
    if name in __all__:
        from leaderexec import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
