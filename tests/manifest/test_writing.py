"""YAML that we write is read back unchanged, by YAML 1.1 as Kubernetes uses it."""

import re
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leaderexec.manifest.writing import dump, scalar

HOSTILE = (
    *("", " ", "~", "null", "No", "on", "y", "TRUE", "Off", "=", "<<", "-", "--", "---", "..."),
    *("1", "0x1f", "0o7", "1e3", ".5", "-.inf", ".nan", "1_000", "2026-11-27", "12:30:45", "+1"),
    *("a: b", "a #b", "#a", "&a", "*a", "!a", "!!str a", "|", ">", "%a", "@a", "`a`", "[a", "{a"),
    *("'", '"', "\\", 'a"b\\c', "a\nb\n", "\r\n", "\t", " a ", "a ", "- a", "? a", ",", "a,b"),
    *("\x7f", "\x85", "\xa0", "\u2028", "\ufeff", "\ufffe", "\U0001f600", "\x1b]0;a\x07", "\u202e"),
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    texts | st.booleans() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
documents = st.dictionaries(texts, values, min_size=1, max_size=3)
# Slowness on a busy machine is not a failure.
calm = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_string_stays_a_string(text: str) -> None:
    """As a value, as a key and in a list, on one line that is safe on any terminal."""
    document = {"value": text, text or "empty": [text]}
    written = dump([document])
    assert yaml.safe_load(written) == document
    assert written.replace("\n", "").isprintable()


@calm
@given(st.lists(documents, min_size=1, max_size=2))
def test_documents_are_read_back_unchanged(stream: list[dict[str, Any]]) -> None:
    """However deeply nested."""
    assert list(yaml.safe_load_all(dump(stream))) == stream


@calm
@given(texts)
def test_quoted_strings_can_be_read_by_any_parser(text: str) -> None:
    """Plain strings begin with a letter or a slash; all others are in double quotes."""
    written = scalar(text)
    assert written.startswith('"') or re.fullmatch(r"[A-Za-z/][\w./-]*", written, re.ASCII)


def test_bytes_that_are_not_unicode_are_refused() -> None:
    """YAML can't contain arbitrary bytes of a command line."""
    with pytest.raises(UnicodeEncodeError):
        scalar("\udcff")


def test_a_document_is_a_collection() -> None:
    """Anything else is a bug."""
    with pytest.raises(TypeError):
        dump(["text"])  # type: ignore[list-item]
