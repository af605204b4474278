"""What an elector sends, or whoever else listens at its address."""

import codecs
import http.client
import re
from collections.abc import Iterator
from unittest import mock

from fuzz.targets.answering import answering
from fuzz.targets.target import Target, check_shown, cuts

from leaderexec.config import options
from leaderexec.election.elector import answer, stream
from leaderexec.election.elector.announcement import MAX_NAME, Malformed, parse
from leaderexec.election.elector.client import Complaints, Part, parts, telling
from leaderexec.election.elector.stream import StreamTooLong, announcements
from leaderexec.health.http_probe import HttpProbe
from leaderexec.logs import Logger

# Small, so that short inputs reach it.
_CAP = 48
_URL = "http://localhost:4040/"


def _by_the_standard(data: bytes) -> Iterator[str]:
    """Yield the announcements in a whole stream, by the HTML standard, section 9.2.6. Raises
    StreamTooLong where the cap is passed."""
    # A character that the end cut off counts for nothing, as the line that it is in.
    text = codecs.getincrementaldecoder("utf-8")(errors="replace").decode(data)
    text = text.removeprefix("\ufeff")
    *lines, begun = re.split("\r\n|\r|\n", text)
    said: list[str] = []
    kind, size = "", 0
    for line in lines:
        if len(line) > _CAP:
            raise StreamTooLong
        if line == "":
            if said and kind in ("", "message"):
                yield "\n".join(said)
            said, kind, size = [], "", 0
            continue
        name, _, value = line.partition(":")
        if name == "":
            continue
        size += len(line) + 1
        if size > _CAP:
            raise StreamTooLong
        value = value.removeprefix(" ")
        if name == "data":
            said.append(value)
        elif name == "event":
            kind = value
    if len(begun) > _CAP:
        raise StreamTooLong


def _all(events: Iterator[str]) -> tuple[list[str], bool]:
    """Return the events, and whether the stream was too long after them."""
    found: list[str] = []
    try:
        found.extend(events)
    except StreamTooLong:
        return found, True
    return found, False


def events(data: bytes) -> None:
    """A stream gives the events of the HTML standard, whole, byte by byte or cut anywhere, and is
    given up as soon as a line or an event is longer than the cap."""
    expected = _all(_by_the_standard(data))
    with mock.patch.multiple(stream, MAX_LINE=_CAP, MAX_EVENT=_CAP):
        for chunks in cuts(data):
            assert _all(announcements(iter(chunks))) == expected


def announcement(data: bytes) -> None:
    """An announcement names a leader who can be shown anywhere, names none, or is refused in
    words that can; as text and as bytes alike."""
    found: list[str | None] = []
    for form in (data, data.decode(errors="replace")):
        try:
            name = parse(form)
        except Malformed as error:
            said = str(error)
            check_shown(said, 200)
            assert said.isprintable()
            found.append(None)
            continue
        if name is not None:
            assert 0 < len(name) <= MAX_NAME
            assert name.isprintable()
            name.encode()
        found.append(name or "")
    if data.decode(errors="replace").encode() == data and not data.startswith(codecs.BOM_UTF8):
        assert found[0] == found[1]


class _Said(Logger):
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[dict[str, object]] = []

    def log(self, level: str, event: str, **fields: object) -> None:
        """Keep it."""
        self.lines.append({"level": level, "event": event, **fields})


def response(data: bytes) -> None:
    """Whatever comes in place of HTTP, a poll, a stream and a probe end with bytes or in words, and
    nothing beyond the bound is read."""
    log = _Said()
    part = Part(Complaints(log), "poll", _URL)
    with answering(data), telling(part):
        assert len(answer.fetch(_URL, 1.0)) <= len(data)
    with (
        answering(data),
        telling(part),
        answer.ask(_URL, "text/event-stream", 1.0, answer.MAX_HEAD) as opened,
    ):
        list(announcements(parts(opened)))
    for line in log.lines:
        assert line["event"]
        check_shown(str(line["reason"]), 400)
        check_shown(str(line["remedy"]), 300)
    with answering(data):
        why = HttpProbe(_URL).ask(1.0)
    if why is not None:
        check_shown(why, 400)


def url(data: bytes) -> None:
    """An elector's URL that is accepted can be asked: what follows is said by the elector, not by
    Python."""
    text = data.decode(errors="surrogateescape")
    try:
        options.http_url(text)
    except ValueError as error:
        check_shown(str(error), 200)
        return
    body = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{}"
    with answering(body):
        try:
            assert answer.fetch(text, 1.0) == b"{}"
        except (OSError, http.client.HTTPException) as error:
            raise AssertionError(f"accepted, but {error!r}") from error
    with answering(body):
        assert HttpProbe(text).ask(1.0) is None


_HEAD = ("HTTP/1.1 200 OK", "Content-Type: ", "application/json", "text/event-stream")
TARGETS = {
    "elector-events": Target(
        events, 256, ("data: ", "event: ", "message", "id: ", "retry: ", "\ufeff", "\r\n", "\n\n")
    ),
    "elector-announcement": Target(
        announcement, 512, ('{"name":"', '"}', "\\u0000", "\\ud800", "null", "\ufeff", '"name"')
    ),
    "elector-response": Target(
        response,
        512,
        (
            *_HEAD,
            "Content-Length: ",
            "Transfer-Encoding: chunked",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "Location: ",
            "\r\n\r\n",
            "data: ",
        ),
    ),
    "elector-url": Target(url, 128, ("http://", "[::1]", ":4040", "/sse", "?", "%", "localhost")),
}
