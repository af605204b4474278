"""What every kind of election promises, tested for this one."""

import pytest
from leaderexec_zookeeper.kind import ZooKeeperKind
from server import ZooKeeper

from leaderexec.election.kind import Kind
from leaderexec.testing import Conformance, Election


class TestZooKeeper(Conformance):
    """On a real server."""

    @pytest.fixture
    def kind(self) -> Kind:
        """The declaration."""
        return ZooKeeperKind()

    @pytest.fixture
    def election(self, zookeeper: ZooKeeper, path: str) -> Election:
        """An election of its own."""
        return Election("--zookeeper", zookeeper.address, "--zookeeper-path", path)
