"""A guard in front of sseclient-py that makes an event stream safe to read.

sseclient-py hands out an event that the end of the stream cut off, drops the first event after a
byte-order mark, merges events where blank lines mix LF and CRLF, fails on bad UTF-8, and buffers
without bound. The guard hands it one whole event at a time, so that none of these can come up.
"""

import codecs
from collections.abc import Iterable, Iterator

import sseclient

# Real announcements have about 60 characters.
MAX_LINE = 65536
MAX_EVENT = 65536


class StreamTooLong(ValueError):
    """A line or an event is longer than any announcement: this is no elector's stream."""


def guarded(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield each event of a stream, however it is cut into chunks, once its blank line has come.

    Follows the parsing rules of the HTML standard, section 9.2.6: UTF-8 with replacement, one
    byte-order mark stripped, lines ended by LF, CR or CRLF, comments dropped, and an event that
    no blank line closed discarded. Raises StreamTooLong.
    """
    event: list[str] = []
    size = 0
    for line in _lines(_text(chunks)):
        if line == "":
            if event:
                yield "".join(event).encode() + b"\n"
            event, size = [], 0
        elif not line.startswith(":"):
            size += len(line) + 1
            if size > MAX_EVENT:
                raise StreamTooLong(f"an event is longer than {MAX_EVENT} characters")
            event.append(f"{line}\n")


def announcements(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield the data of each message event. Other types are none of the elector's."""
    for event in sseclient.SSEClient(guarded(chunks)).events():
        if event.event == "message":
            yield event.data


def _text(chunks: Iterable[bytes]) -> Iterator[str]:
    """Decode, across the chunks' borders, and strip one byte-order mark."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    at_start = True
    for chunk in chunks:
        text = decoder.decode(chunk)
        if at_start and text:
            text = text.removeprefix("\ufeff")
            at_start = False
        yield text


def _lines(texts: Iterable[str]) -> Iterator[str]:
    """Yield whole lines without their ends. A CR ends its line at once: to wait for an LF that
    may follow would hold the event back until the next one."""
    begun = ""
    after_return = False
    for text in texts:
        if not text:
            continue
        rest = text.removeprefix("\n") if after_return else text
        after_return = text.endswith("\r")
        first, *others = rest.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        begun += first
        for line in others:
            _check(begun)
            yield begun
            begun = line
        _check(begun)


def _check(line: str) -> None:
    if len(line) > MAX_LINE:
        raise StreamTooLong(f"a line is longer than {MAX_LINE} characters")
