import threading
from collections.abc import Iterator

import pytest

from leaderexec_elector.running import RunningElector


@pytest.fixture
def elector() -> Iterator[RunningElector]:
    """An elector whose candidates are app-a, the leader, and app-b."""
    before = threading.active_count()
    with RunningElector("app-a", "app-b") as running:
        yield running
    assert threading.active_count() == before
