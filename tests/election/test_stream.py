"""The stream is parsed as the HTML standard defines, whatever arrives and however it is cut."""

from collections.abc import Callable, Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderexec.election.elector.stream import (
    MAX_EVENT,
    MAX_LINE,
    StreamTooLong,
    announcements,
    guarded,
)


def whole(stream: bytes) -> list[bytes]:
    """The stream as one chunk."""
    return [stream]


def byte_by_byte(stream: bytes) -> list[bytes]:
    """One chunk per byte."""
    return [bytes([byte]) for byte in stream]


CASES = {
    "the elector's own": (b'data: {"name":"a"}\n\n', ['{"name":"a"}']),
    "two events in one segment": (b"data: a\n\ndata: b\n\n", ["a", "b"]),
    "lines of data joined": (b"data: YHOO\ndata: +2\ndata: 10\n\n", ["YHOO\n+2\n10"]),
    "a comment, an id, and one leading space removed": (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third\n\n",
        ["first event", "second event", " third"],
    ),
    "empty data is data, and an open last block none": (
        b"data\n\ndata\ndata\n\ndata:",
        ["", "\n"],
    ),
    "a space after the colon is optional": (b"data:test\n\ndata: test\n\n", ["test", "test"]),
    "retry alone dispatches nothing": (b"retry: 1\n\ndata: a\n\n", ["a"]),
    "an event of another type is no announcement": (b"event: add\ndata: 7\n\ndata: a\n\n", ["a"]),
    "an unknown field is ignored": (b"bogus: x\ndata: a\n\n", ["a"]),
    "CR": (b"data: a\r\rdata: b\r\r", ["a", "b"]),
    "CRLF": (b"data: a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]),
    "LF then CRLF": (b"data: a\n\r\ndata: b\n\r\n", ["a", "b"]),
    "CRLF then LF": (b"data: a\r\n\ndata: b\r\n\n", ["a", "b"]),
    "CR then LF lines": (b"data: a\r\n\rdata: b\n\r\n", ["a", "b"]),
    "a byte-order mark": (b"\xef\xbb\xbfdata: a\n\ndata: b\n\n", ["a", "b"]),
    "a second byte-order mark is part of a name": (
        b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n",
        ["b"],
    ),
    "bad UTF-8 is replaced": (b"data: a\xffb\n\ndata: c\n\n", ["a\ufffdb", "c"]),
    "a cut UTF-8 sequence is replaced": (b"data: \xe2\x82\n\n", ["\ufffd"]),
    "a euro sign": ("data: €\n\n".encode(), ["€"]),
    "NUL passes": (b"data: a\0b\n\n", ["a\0b"]),
    "other line separators are no line ends": (
        "data: a\u2028b\x0bc\x85d\n\n".encode(),
        ["a\u2028b\x0bc\x85d"],
    ),
    "an event that the end cut off is withheld": (b'data: {"name":"a"}\n', []),
    "a line that the end cut off is withheld": (b"data: a\n\ndata: b", ["a"]),
    "only comments": (b":\n\n:x\n\n", []),
    "nothing": (b"", []),
}


@pytest.mark.parametrize("cut", [whole, byte_by_byte])
@pytest.mark.parametrize("case", CASES)
def test_the_standards_cases(case: str, cut: Callable[[bytes], Iterable[bytes]]) -> None:
    """Whole or byte by byte, the events are the same."""
    stream, expected = CASES[case]
    assert list(announcements(cut(stream))) == expected


@pytest.mark.parametrize("case", CASES)
def test_the_events_are_the_same_wherever_the_stream_is_cut(case: str) -> None:
    """In two chunks, cut at every position."""
    stream, expected = CASES[case]
    for at in range(len(stream)):
        assert list(announcements([stream[:at], stream[at:]])) == expected


@pytest.mark.parametrize("end", [b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r\n", b"\r\n\n"])
def test_an_event_is_complete_with_its_blank_line(end: bytes) -> None:
    """Not when the next byte arrives: of a final CRLF the CR is enough."""

    def stream() -> Iterator[bytes]:
        yield from byte_by_byte(b"data: a" + end)
        raise AssertionError("one byte too many was asked for")

    assert next(announcements(stream())) == "a"


@pytest.mark.parametrize(
    "stream",
    [
        b"data: " + b"x" * MAX_LINE,
        b":" + b"x" * MAX_LINE,
        b"data: x\n" * (MAX_EVENT // 8 + 1),
        b"id: 1\n" * (MAX_EVENT // 6 + 1),
    ],
    ids=["a line", "a comment", "an event of many lines", "an event without data"],
)
def test_endless_input_is_cut_off(stream: bytes) -> None:
    """Memory is bounded, and the error says which bound was exceeded."""
    with pytest.raises(StreamTooLong, match=r"longer than 65536 characters"):
        list(announcements([stream]))


def test_many_comments_use_no_memory() -> None:
    """Comments are dropped as they arrive; however many there are, they are not too long."""
    assert list(guarded([b":comment\n" * 1000] * 100)) == []


@given(
    payloads=st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8"))),
    ends=st.lists(st.sampled_from(["\n", "\r", "\r\n"]), min_size=1),
    sizes=st.lists(st.integers(1, 9), min_size=1),
)
def test_any_payload_survives_any_line_endings_and_any_cuts(
    payloads: list[str], ends: list[str], sizes: list[int]
) -> None:
    """In a round trip."""
    text = ""
    for index, payload in enumerate(payloads):
        first, second = ends[2 * index % len(ends)], ends[(2 * index + 1) % len(ends)]
        if (first, second) == ("\r", "\n"):
            second = "\r"
        text += f"data: {payload}{first}{second}"
        if second == "\r":
            # A data line must not begin with the LF of a CRLF.
            text += ":\n"
    stream, chunks, index = text.encode(), [], 0
    while stream:
        size = sizes[index % len(sizes)]
        chunks.append(stream[:size])
        stream = stream[size:]
        index += 1
    assert list(announcements(chunks)) == payloads


@given(st.binary(), st.binary())
def test_no_bytes_can_break_the_parser(first: bytes, second: bytes) -> None:
    """Whatever arrives, the result is events or none."""
    for data in announcements([first, second]):
        data.encode()
