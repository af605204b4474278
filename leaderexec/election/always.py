"""``--election off``: this replica always leads, so that one image serves with and without."""

from collections.abc import Callable, Mapping

from leaderexec.core.events import Announced, Event


class Always:
    """The source that names us once and for ever."""

    def __init__(self, identity: str, put: Callable[[Event], None]) -> None:
        self._identity = identity
        self._put = put

    def start(self, now: float) -> None:
        """Name the leader."""
        self._put(Announced(self._identity, now))

    def resubscribe(self) -> None:
        """Do nothing: there is no stream."""

    def inherited(self) -> tuple[int, ...]:
        """Return nothing: no descriptor stands for this leadership."""
        return ()

    def troubles(self) -> Mapping[tuple[str, str], int]:
        """Return nothing: nothing can go wrong."""
        return {}
