"""What every kind of election promises, tested for each built-in kind on its real server."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from election_servers import an_election

from leaderexec.election import KINDS, Kind
from leaderexec.testing import Conformance, Election


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
class TestEachKind(Conformance):
    """The built-in kinds."""

    @pytest.fixture
    def election(self, kind: Kind, tmp_path: Path) -> Iterator[Election]:
        """An election of this kind."""
        with ExitStack() as stack:
            yield an_election(kind.name, tmp_path, stack)
