"""Every kept input still holds its target's promise."""

import pytest
from fuzz import corpora
from fuzz.targets import NAMES, target


@pytest.mark.parametrize("name", NAMES)
def test_the_promise_holds_for_every_kept_input(name: str) -> None:
    """Those that once broke it, and those that reach all that was ever reached."""
    kept = corpora.read(name)
    assert kept
    for entry in kept:
        target(name).holds(entry.data)


def test_every_corpus_is_of_a_target() -> None:
    """A renamed target takes its inputs along."""
    assert {path.stem for path in corpora.HERE.glob("*.txt")} == set(NAMES)


def test_the_kept_inputs_are_as_they_would_be_written() -> None:
    """So that keeping one more changes one line."""
    for name in NAMES:
        kept = corpora.read(name)
        assert kept == sorted(set(kept), key=corpora.order)
