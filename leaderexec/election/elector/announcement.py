"""Parse the elector's messages safely: one JSON object with the leader's name. Pure."""

import json

# The longest DNS name (RFC 1123), and so the longest name of a pod.
MAX_NAME = 253
MAX_ANNOUNCEMENT = 65536
MAX_DEPTH = 32
_SHOWN = 80
_LONGEST_HOSTNAME = 63


class Malformed(ValueError):
    """Not an announcement; `kind` is a stable word for what is wrong with it."""

    def __init__(self, kind: str, problem: str, data: object) -> None:
        shown = repr(data)
        if len(shown) > _SHOWN:
            shown = shown[: _SHOWN - 3] + "..."
        super().__init__(f"the elector's announcement {problem}: {shown}")
        self.kind = kind


def parse(data: str | bytes) -> str | None:
    """Return the leader's name; None if the elector knows no leader (it then omits the name).

    Raises Malformed for anything that the elector would not send. The name goes into logs and into
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
        # Go's encoder omits an empty name (omitempty); an explicit one means the same.
        return None
    if len(name) > MAX_NAME:
        raise Malformed("name-too-long", f"has a name longer than {MAX_NAME}", data)
    # The stream's decoder replaces invalid UTF-8 by U+FFFD: such a name is invalid.
    if not name.isprintable() or "\ufffd" in name:
        raise Malformed("name-not-printable", "has a name that is not printable", data)
    return name


def _loaded(data: str | bytes) -> object:
    try:
        # Only UTF-8 (RFC 8259, section 8.1). The parser also accepts UTF-16 bytes, and would then
        # see other strings, and so another depth, than what is checked here.
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
    """Return whether JSON is nested deeper than anything valid: the parser recurses, and a
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
    """Return the identity if the leader's name is its truncated form: the elector announces the
    kernel's hostname, which holds 63 characters, so that a longer pod name is cut (hostname(7))."""
    return identity if leader == identity[:_LONGEST_HOSTNAME] else leader
