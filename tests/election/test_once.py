"""The keys for which a command has succeeded: one text, whichever kind stores it."""

from hypothesis import given
from hypothesis import strategies as st

from leaderexec.config import options
from leaderexec.election import once

KEYS = st.text("abcXYZ0189._:/@+-", min_size=1, max_size=128).map(lambda text: f"k{text}"[:128])


def test_a_key_is_added_as_the_newest() -> None:
    """Also if there is no text yet; each key only once."""
    assert once.with_key(None, "v1") == "v1"
    assert once.with_key("v1 v2", "v3") == "v1 v2 v3"
    assert once.with_key("v1 v2", "v1") == "v2 v1"


def test_a_part_of_a_key_is_another_key() -> None:
    """v1 is not v1.1."""
    assert once.has("v1.1 v2", "v1.1")
    assert not once.has("v1.1 v2", "v1")


def test_a_value_that_is_not_text_has_no_keys() -> None:
    """A field of a wrong type counts as missing."""
    for text in (None, 7, "", ["v1"]):
        assert not once.has(text, "v1")
        assert once.with_key(text, "v1") == "v1"


def test_text_edited_by_hand_is_read_word_by_word() -> None:
    """Whatever the spaces are."""
    assert once.with_key("  v1\n v2 ", "v3") == "v1 v2 v3"


def test_text_that_can_not_be_utf_8_stays() -> None:
    """JSON can have half a surrogate pair."""
    assert once.with_key("\ud800", "v1") == "\ud800 v1"


@given(st.lists(KEYS, min_size=1, max_size=40))
def test_the_newest_are_kept_within_bounds(keys: list[str]) -> None:
    """The oldest are dropped first; there is room for fifteen of the longest."""
    text: str | None = None
    for key in keys:
        assert options.once_key(key) == key
        text = once.with_key(text, key)
        assert once.has(text, key)
    assert text is not None
    assert len(text.encode()) <= once.MOST_BYTES
    newest = list(dict.fromkeys(reversed(keys)))[:15]
    assert all(once.has(text, key) for key in newest)
