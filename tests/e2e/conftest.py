"""An elector for each end-to-end test."""

from collections.abc import Iterator

import pytest

from leaderexec.develector.running import RunningElector


@pytest.fixture
def elector() -> Iterator[RunningElector]:
    """An elector that names "other", so that everybody starts in standby."""
    with RunningElector("other", "app-a", "app-b") as running:
        yield running
