"""One ZooKeeper for all tests that don't stop it; each has its own path."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from server import ZooKeeper, missing


@pytest.fixture(scope="session")
def zookeeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeper]:
    """A server that no test stops."""
    if (why := missing()) is not None:
        pytest.skip(why)
    with ZooKeeper(tmp_path_factory.mktemp("zookeeper")) as running:
        yield running


@pytest.fixture
def path(tmp_path: Path) -> str:
    """An election's node."""
    return f"/leaderexec/{tmp_path.name}"
