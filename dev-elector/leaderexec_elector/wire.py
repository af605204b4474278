"""The bytes of each response, as written by the real elector (a Go net/http server). Pure.

Header order is Go's: the handler's own headers sorted by name, then Date, Content-Length,
Connection and Transfer-Encoding.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus

JSON = "application/json"
EVENT_STREAM = "text/event-stream"
TEXT = "text/plain; charset=utf-8"
FINAL_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a request determines about the shape of its response.

    `http11` is False for HTTP/1.0, `close` if the connection ends after the response, and `body`
    is False for HEAD.
    """

    http11: bool = True
    close: bool = False
    body: bool = True


def now() -> datetime:
    """Return the time for the responses."""
    return datetime.now(UTC)


def announcement(leader: str | None, last_update: datetime) -> bytes:
    """Return the JSON document that names the leader; without one it has neither field."""
    if leader is None:
        return b"{}"
    fields = {"name": leader, "last_update": last_update.strftime("%Y-%m-%dT%H:%M:%SZ")}
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()


def event(document: bytes) -> bytes:
    """Return one event of a stream (WHATWG HTML, 9.2.6)."""
    return b"data: " + document + b"\n\n"


def chunk(data: bytes) -> bytes:
    """Frame data as one chunk (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def stream_head(time: datetime, shape: Shape, content_type: str, *, chunked: bool) -> bytes:
    """Return the head of a response to /sse; without chunks the body lasts until the close."""
    close = shape.close or (not chunked and shape.body)
    fields = {"Cache-Control": "no-cache"}
    if not close:
        fields["Connection"] = "keep-alive"
    fields |= {"Content-Type": content_type, "Date": format_datetime(time, usegmt=True)}
    if close and shape.http11:
        fields["Connection"] = "close"
    if chunked and shape.body:
        fields["Transfer-Encoding"] = "chunked"
    return _head(200, fields, http11=shape.http11)


def reply(
    time: datetime,
    shape: Shape,
    body: bytes,
    *,
    status: int = 200,
    content_type: str = JSON,
    location: str | None = None,
) -> bytes:
    """Return a whole response with its Content-Length."""
    fields = {"Content-Type": content_type}
    if location is not None:
        fields["Location"] = location
    fields |= {"Date": format_datetime(time, usegmt=True), "Content-Length": str(len(body))}
    if shape.close and shape.http11:
        fields["Connection"] = "close"
    return _head(status, fields, http11=shape.http11) + (body if shape.body else b"")


def reason(status: int) -> str:
    """Return the phrase of a status code, in Go's words for one that has none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"status code {status}"


def _head(status: int, fields: dict[str, str], *, http11: bool) -> bytes:
    lines = [f"HTTP/1.{int(http11)} {status} {reason(status)}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
