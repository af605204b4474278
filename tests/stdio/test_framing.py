"""Lines are marked in the same way however their bytes arrive, and nothing is lost."""

import base64
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from leaderexec.stdio.framing import LONGEST_LINE, Json, Lines, Prefixed, Source

SOURCE = Source("app-a", 3, "stdout", 42)
NOON = "2027-01-15T08:00:00.000Z"
OURS = {"identity": "app-a", "term": 3, "stream": "stdout", "pid": 42}
LONGEST = 8

Make = Callable[[], Lines]


def at_noon() -> str:
    """Return a constant time."""
    return NOON


def prefixed() -> Lines:
    """Lines with a prefix, cut when they are longer than a few bytes."""
    return Prefixed(SOURCE, LONGEST)


def as_json() -> Lines:
    """Lines as JSON, at a constant time, cut when they are longer than a few bytes."""
    return Json(SOURCE, at_noon, LONGEST)


def objects(data: bytes, source: Source = SOURCE, longest: int = LONGEST_LINE) -> list[Any]:
    """Return the JSON output, parsed."""
    lines = Json(source, at_noon, longest)
    out = lines.feed(data) + lines.end()
    assert not out or out.endswith(b"\n")
    return [json.loads(line) for line in out.split(b"\n")[:-1]]


def event(data: bytes) -> Any:
    """Return the event of the only line."""
    (line,) = objects(data)
    return line["event"]


def fed(lines: Lines, parts: list[bytes]) -> bytes:
    """Feed the parts one after the other."""
    return b"".join([*map(lines.feed, parts), lines.end()])


@st.composite
def cut(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """Output full of special cases, and the same cut anywhere."""
    pieces = st.one_of(
        st.sampled_from([b"\n", b"\r\n", b"{}", b'{"a": 1}', b'{"pid": 7, "b": [', b"\\", b'"']),
        st.sampled_from(["å".encode(), "€".encode(), "😀".encode(), b"\xff", b"\0", b"\x1b[0m"]),
        st.binary(max_size=12),
        st.text(alphabet="ab {}", max_size=12).map(str.encode),
    )
    data = b"".join(draw(st.lists(pieces, max_size=20)))
    places = sorted(draw(st.sets(st.integers(0, len(data)))))
    bounds = [0, *places, len(data)]
    return data, [data[start:end] for start, end in itertools.pairwise(bounds)]


@pytest.mark.parametrize("make", [prefixed, as_json])
@given(cut())
def test_lines_are_the_same_wherever_their_bytes_are_cut(
    make: Make, sample: tuple[bytes, list[bytes]]
) -> None:
    """Whole, byte by byte, and cut anywhere."""
    data, parts = sample
    whole = fed(make(), [data])
    assert fed(make(), parts) == whole
    assert fed(make(), [data[at : at + 1] for at in range(len(data))]) == whole


@given(st.binary())
@example(b"123456789")
@example(b"12345678\n")
def test_a_prefix_hides_no_byte(data: bytes) -> None:
    """Without the prefixes, and with the cut lines joined, it is the output itself."""
    joined = b""
    for line in fed(prefixed(), [data]).split(b"\n")[:-1]:
        assert line.startswith((b"app-a 3 | ", b"app-a 3 |+"))
        joined += line[10:] + (b"" if line[9:10] == b"+" else b"\n")
    completed = data + b"\n" if data and not data.endswith(b"\n") else data
    assert joined == completed


@given(st.binary())
@example(b'"\\\x7f\x80\n\xff"\\\n')
def test_json_hides_no_byte(data: bytes) -> None:
    """Cut or not, text or not: every line can be restored exactly."""
    back = b""
    for line in objects(data, longest=LONGEST):
        assert line["timestamp"] == NOON
        if "event" not in line:
            # An object, which has its own test.
            return
        exact = line.get("event_base64")
        back += line["event"].encode() if exact is None else base64.b64decode(exact)
        back += b"" if line.get("partial") else b"\n"
    completed = data + b"\n" if data and not data.endswith(b"\n") else data
    assert back == completed


@given(st.text().filter(lambda text: "\n" not in text))
def test_text_is_its_own_event(text: str) -> None:
    """Every character, control characters too."""
    wanted = [] if not text else [text]
    found = [line.get("event", text) for line in objects(text.encode())]
    assert found == wanted


def test_a_plain_line_becomes_the_event_of_an_object() -> None:
    """With the field names of leaderexec's own log."""
    assert objects(b"hello\n") == [{"timestamp": NOON, "level": "info", "event": "hello", **OURS}]


def test_an_empty_line_is_a_line() -> None:
    """No line is left out."""
    assert [line["event"] for line in objects(b"a\n\n\nb\n")] == ["a", "", "", "b"]


def test_empty_output_has_no_line() -> None:
    """The end of empty output adds nothing."""
    assert objects(b"") == []
    assert fed(prefixed(), [b""]) == b""


def test_stderr_is_marked() -> None:
    """By the prefix and by a field."""
    source = SOURCE._replace(stream="stderr")
    assert Prefixed(source).feed(b"a\nb\n") == b"app-a 3 ! a\napp-a 3 ! b\n"
    assert objects(b"a\n", source)[0]["stream"] == "stderr"


def test_a_name_is_quoted_if_necessary() -> None:
    """An identity may be any printable text."""
    source = SOURCE._replace(identity='a"b\\c å')
    assert objects(b"x\n", source)[0]["identity"] == 'a"b\\c å'
    assert objects(b"{}\n", source)[0]["identity"] == 'a"b\\c å'


def test_an_object_is_merged() -> None:
    """Its fields are kept, and the line's origin is added."""
    assert objects(b'{"msg": "hello", "deep": {"a": [1]}}\n') == [
        {"msg": "hello", "deep": {"a": [1]}, "timestamp": NOON, **OURS}
    ]


def test_the_commands_own_fields_win() -> None:
    """And no name occurs twice."""
    out = Json(SOURCE, at_noon).feed(b'{"pid": 7, "timestamp": "then", "term": null}\n')
    assert out == (
        b'{"pid": 7, "timestamp": "then", "term": null, "identity": "app-a", "stream": "stdout"}\n'
    )
    every = b'{"timestamp": 1, "identity": 2, "term": 3, "stream": 4, "pid": 5}\n'
    assert Json(SOURCE, at_noon).feed(every) == every


@pytest.mark.parametrize("text", [b"{}", b"{ }", b" \t{} \r"])
def test_an_object_may_be_empty(text: bytes) -> None:
    """And have whitespace around it."""
    assert objects(text + b"\n") == [{"timestamp": NOON, **OURS}]


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": 123456789012345678901234567890.10}',
        b'{"a": 1e999, "b": 1.0e-7, "c": "\\u00e5\\ud83d"}',
        '{"å": "€"}'.encode(),
        b'{"a": 1, "a": 2}',
        b'{ "a" :1 }',
    ],
)
def test_a_merged_object_keeps_its_text(text: bytes) -> None:
    """To the last digit: it is not rewritten."""
    assert Json(SOURCE, at_noon).feed(text + b"\n").startswith(text[:-1].rstrip())


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": 1',
        b'{"a": 1} more',
        b'{"a": 1}{"b": 2}',
        b"{a: 1}",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1,}',
        b'["a"]',
        b'"a"',
        b"1",
        b"null",
        b"{",
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":' * 5000,
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_anything_but_an_object_is_quoted(text: bytes) -> None:
    """Other JSON, almost JSON, and JSON that no parser can handle."""
    assert event(text + b"\n") == text.decode()


def test_bytes_that_are_not_text_are_readable_and_recoverable() -> None:
    """A literal backslash and an escaped byte look alike; base64 distinguishes them."""
    line, other = objects(b"caf\xe9\ncaf\\xe9\n")
    assert line["event"] == other["event"] == "caf\\xe9"
    assert base64.b64decode(line["event_base64"]) == b"caf\xe9"
    assert "event_base64" not in other


@pytest.mark.parametrize("shift", range(4))
def test_long_binary_data_is_shown_like_short_data(shift: int) -> None:
    """It is processed piece by piece, but characters are not split."""
    line = b"." * shift + "€å\xff😀".encode()[:-2] * 3000
    assert event(line) == line.decode(errors="backslashreplace")


def test_an_object_with_bytes_that_are_not_text_is_quoted() -> None:
    """It is not JSON (RFC 8259, 8.1)."""
    assert event(b'{"a": "\xff"}\n') == '{"a": "\\xff"}'


def test_a_line_of_the_maximum_length_is_whole() -> None:
    """One byte more makes two parts."""
    assert prefixed().feed(b"12345678\n") == b"app-a 3 | 12345678\n"
    assert prefixed().feed(b"123456789\n") == b"app-a 3 |+12345678\napp-a 3 | 9\n"


def test_the_parts_of_a_long_line_are_marked() -> None:
    """All but the last; an object among them does not count as one."""
    found = objects(b'12345678{"a":12}[1234]\n{}\n', longest=LONGEST)
    assert [(line.get("event"), line.get("partial")) for line in found] == [
        ("12345678", True),
        ('{"a":12}', True),
        ("[1234]", None),
        (None, None),
    ]


def test_the_last_part_of_a_long_line_is_never_merged() -> None:
    """It is an object by chance."""
    assert [line["event"] for line in objects(b"12345678{}\n", longest=LONGEST)] == [
        "12345678",
        "{}",
    ]


def test_a_character_is_not_split() -> None:
    """A long line is cut before it."""
    first, second = objects("1234567€x\n".encode(), longest=LONGEST)
    assert (first["event"], second["event"]) == ("1234567", "€x")


def test_an_endless_line_is_not_buffered_beyond_the_maximum() -> None:
    """A flood without newlines takes no more memory than a line."""
    lines = prefixed()
    for _ in range(1000):
        lines.feed(b"abc")
        assert lines.held <= LONGEST


def test_a_megabyte_is_one_line() -> None:
    """As one object, and behind one prefix."""
    long = b"x" * 1_000_000
    assert event(long) == long.decode()
    assert Prefixed(SOURCE).feed(long + b"\n") == b"app-a 3 | " + long + b"\n"
