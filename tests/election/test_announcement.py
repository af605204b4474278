"""An announcement names a leader, or it is not an announcement."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderexec.election.elector.announcement import (
    MAX_ANNOUNCEMENT,
    MAX_NAME,
    Malformed,
    in_full,
    parse,
)


@pytest.mark.parametrize(
    ("data", "leader"),
    [
        ('{"name":"app-a","last_update":"2026-11-23T12:48:05Z"}', "app-a"),
        (b'{"name":"app-a"}', "app-a"),
        (b'\xef\xbb\xbf{"name":"app-a"}', "app-a"),
        ('{"name":"app-a","new_field":[1]}', "app-a"),
        ('{"name":"a","name":"b"}', "b"),
        (f'{{"name":"{"x" * MAX_NAME}"}}', "x" * MAX_NAME),
        ("{}", None),
        ('{"last_update":"2026-11-23T12:48:05Z"}', None),
        ('{"name":""}', None),
        (' {"name":"app-a"}\n', "app-a"),
    ],
)
def test_the_name_is_the_leader_and_without_a_name_there_is_none(
    data: str | bytes, leader: str | None
) -> None:
    """Other fields are the elector's own."""
    assert parse(data) == leader


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ("", "not-json"),
        ("hello", "not-json"),
        ("<html>", "not-json"),
        (b"\xff\xfe\xfd", "not-json"),
        ('{"name":"a"', "not-json"),
        ('{"name":"app-\ufffd"}', "name-not-printable"),
        ('{"name":"a"}{"name":"b"}', "not-json"),
        ("[" * 60000, "not-json"),
        # Read byte by byte, the character in the first string would seem to end it.
        (('["\u2200", ' + "[" * 31000).encode("utf-16-le"), "not-json"),
        ('{"name":"app-a"}'.encode("utf-16"), "not-json"),
        ('{"n":' + "9" * 5000 + "}", "not-json"),
        ("[]", "not-an-object"),
        ("null", "not-an-object"),
        ("NaN", "not-an-object"),
        ('"app-a"', "not-an-object"),
        ('{"name":1}', "name-not-a-string"),
        ('{"name":null}', "name-not-a-string"),
        ('{"name":["a"]}', "name-not-a-string"),
        (f'{{"name":"{"x" * (MAX_NAME + 1)}"}}', "name-too-long"),
        (r'{"name":"a\u0000b"}', "name-not-printable"),
        (r'{"name":"a\nb"}', "name-not-printable"),
        (r'{"name":"\ud800"}', "name-not-printable"),
        ('{"a":"' + "x" * MAX_ANNOUNCEMENT + '"}', "too-long"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_anything_the_elector_would_not_send_is_malformed(data: str | bytes, kind: str) -> None:
    """The kind is stable, and the message shows the data, shortened."""
    with pytest.raises(Malformed) as caught:
        parse(data)
    assert caught.value.kind == kind
    assert len(str(caught.value)) < 200


@given(
    st.one_of(
        st.binary(),
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("name"), inner),
        ).map(json.dumps),
    )
)
def test_any_data_is_a_printable_name_or_no_leader_or_malformed(data: str | bytes) -> None:
    """There is no other exception."""
    try:
        leader = parse(data)
    except Malformed:
        return
    assert leader is None or leader.isprintable()


@pytest.mark.parametrize("data", ["[" * 60_000, '{"a":' * 10_000, b"[" * 60_000, '[{"' * 20_000])
def test_endless_nesting_is_refused_before_it_is_parsed(data: str | bytes) -> None:
    """The parser recurses, and a thread's stack may be small."""
    with pytest.raises(Malformed) as caught:
        parse(data)
    assert caught.value.kind in ("not-an-object", "not-json")


@pytest.mark.parametrize("name", ["[" * 200, "{" * 100 + "}", 'a\\"[[[' + "[" * 60])
def test_brackets_in_a_name_are_not_nesting(name: str) -> None:
    """They are characters like any other."""
    assert parse(json.dumps({"name": name})) == name


@pytest.mark.parametrize(
    ("identity", "leader", "meant"),
    [
        ("app-a", "app-a", "app-a"),
        ("app-a", "app-b", "app-b"),
        ("x" * 70, "x" * 63, "x" * 70),
        ("x" * 70, "x" * 62, "x" * 62),
        ("x" * 63, "x" * 70, "x" * 70),
    ],
)
def test_a_truncated_hostname_matches_the_full_identity(
    identity: str, leader: str, meant: str
) -> None:
    """The kernel's hostname holds 63 characters."""
    assert in_full(leader, identity) == meant
