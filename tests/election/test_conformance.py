"""What every kind of election promises, tested for each built-in kind on its real server."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from election_servers import an_election

from leaderexec.election import KINDS, Kind
from leaderexec.testing import Conformance, Election
from leaderexec.testing.conformance import WORKER, Run, Start, Words

WITH_SLOTS = [kind for kind in KINDS if kind.has_slots]


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
class TestEachKind(Conformance):
    """The built-in kinds."""

    @pytest.fixture
    def election(self, kind: Kind, tmp_path: Path) -> Iterator[Election]:
        """An election of this kind."""
        with ExitStack() as stack:
            yield an_election(kind.name, tmp_path, stack)


@pytest.mark.parametrize("kind", WITH_SLOTS, ids=[kind.name for kind in WITH_SLOTS])
class TestWithOneSlot(Conformance):
    """Where there is one slot, it is an election like any other, but for two answers."""

    on_standby = "no slot is free"

    @pytest.fixture
    def election(self, kind: Kind, tmp_path: Path) -> Iterator[Election]:
        """An election of this kind, with one slot."""
        with ExitStack() as stack:
            yield Election(*an_election(kind.name, tmp_path, stack).words, "--slots", "1")

    def test_a_check_says_who_leads_and_starts_nothing(
        self, kind: Kind, election: Election, words: Words, leaderexec: Start, run: Run
    ) -> None:
        """And in which slot."""
        del kind, election
        leaderexec(*words, "--identity", "a", *WORKER).output("up")
        result = run(*self.program, *words, "--identity", "a", "--check", "--", "echo", "ran")
        assert result.returncode == 0
        assert "election: a (slot 0) leads (this replica)" in result.stdout

    def test_a_success_is_kept_for_its_key_where_the_kind_can(
        self, kind: Kind, election: Election, words: Words, leaderexec: Start, run: Run
    ) -> None:
        """With slots it can't: the success would be that of one of them."""
        del kind, election, leaderexec
        once = ("--once", "--once-key", "v1", "--", "echo", "ran")
        result = run(*self.program, *words, "--identity", "a", *once)
        assert result.returncode == 125
        assert "--slots is 1, and --once is set" in result.stderr
        assert not result.stdout
