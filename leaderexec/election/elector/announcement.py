"""What the elector says, made safe: one JSON object with the leader's name. Pure."""

import json

# The longest DNS name (RFC 1123), and so the longest name of a pod.
MAX_NAME = 253
MAX_ANNOUNCEMENT = 65536
MAX_DEPTH = 32
_SHOWN = 80
_LONGEST_HOSTNAME = 63


class Malformed(ValueError):
    """This is no announcement; `kind` is a stable word for what is wrong with it."""

    def __init__(self, kind: str, problem: str, data: object) -> None:
        shown = repr(data)
        if len(shown) > _SHOWN:
            shown = shown[: _SHOWN - 3] + "..."
        super().__init__(f"the elector's announcement {problem}: {shown}")
        self.kind = kind


def parse(data: str | bytes) -> str | None:
    """Return the leader's name; None when the elector knows of nobody (it leaves the name out).

    Raises Malformed for anything that the elector would not say. The name goes into logs and into
    the command's environment, so it must be printable.
    """
    if len(data) > MAX_ANNOUNCEMENT:
        raise Malformed("too-long", f"is longer than {MAX_ANNOUNCEMENT}", data[:_SHOWN])
    said = _loaded(data)
    if not isinstance(said, dict):
        raise Malformed("not-an-object", "is not a JSON object", data)
    if "name" not in said:
        return None
    name = said["name"]
    if not isinstance(name, str):
        raise Malformed("name-not-a-string", "has a name that is not a string", data)
    if name == "":
        # Go's encoder leaves an empty name out (omitempty); written out it means the same.
        return None
    if len(name) > MAX_NAME:
        raise Malformed("name-too-long", f"has a name longer than {MAX_NAME}", data)
    # U+FFFD is what the decoder of the stream leaves of bad UTF-8: this is nobody's name.
    if not name.isprintable() or "\ufffd" in name:
        raise Malformed("name-not-printable", "has a name that is not printable", data)
    return name


def _loaded(data: str | bytes) -> object:
    try:
        # UTF-8 alone (RFC 8259, section 8.1). The parser takes bytes of UTF-16, too, and would then
        # see other strings, and so another depth, than is looked for here.
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
    except UnicodeDecodeError:
        raise Malformed("not-json", "is not UTF-8", data) from None
    if _is_too_deep(text):
        raise Malformed("not-json", "is nested too deeply", data)
    try:
        return json.loads(text)
    except ValueError:
        raise Malformed("not-json", "is not JSON", data) from None


def _is_too_deep(text: str) -> bool:
    """Tell whether JSON is nested deeper than anything that is meant: the parser recurses, and a
    thread's stack may be small (musl: 128 kB)."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth = 0
    in_string = escaped = False
    for one in text:
        if in_string:
            in_string = escaped or one != '"'
            escaped = one == "\\" and not escaped
        elif one == '"':
            in_string = True
        elif one in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif one in "]}":
            depth -= 1
    return False


def in_full(leader: str, identity: str) -> str:
    """Return the identity where the leader's name is what the elector makes of it: it announces the
    kernel's hostname, which holds 63 characters, so that a longer pod name is cut (hostname(7))."""
    return identity if leader == identity[:_LONGEST_HOSTNAME] else leader
