"""The head of an HTTP request. Pure."""

from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from leaderexec_elector.wire import Shape


class BadRequestError(ValueError):
    """The request is not one; the message says what is allowed."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request's head. `body_length` is in bytes."""

    method: str
    path: str
    query: dict[str, str]
    body_length: int
    shape: Shape


def parse(head: bytes) -> Request:
    """Read the head of a request, up to and with its blank line (RFC 9112, 3).

    Raises BadRequestError.
    """
    first, *rest = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or words[2] not in {"HTTP/1.0", "HTTP/1.1"}:  # noqa: PLR2004 - the standard's
        raise BadRequestError("write METHOD TARGET HTTP/1.1")
    method, target, version = words
    fields = {}
    for line in filter(None, rest):
        name, colon, value = line.partition(":")
        if not colon:
            raise BadRequestError("write each header as NAME: VALUE")
        fields[name.strip().lower()] = value.strip()
    length = fields.get("content-length", "0")
    if not (length.isascii() and length.isdigit()) or "transfer-encoding" in fields:
        raise BadRequestError("send no body, or one with a Content-Length")
    http11 = version == "HTTP/1.1"
    wish = fields.get("connection", "").lower()
    close = "close" in wish or (not http11 and "keep-alive" not in wish)
    try:
        parts = urlsplit(target)
    except ValueError as error:
        raise BadRequestError(f"write a target that is a path: {error}") from None
    return Request(
        method=method,
        path=unquote(parts.path),
        query=dict(parse_qsl(parts.query, keep_blank_values=True)),
        body_length=int(length),
        shape=Shape(http11=http11, close=close, body=method != "HEAD"),
    )
