"""Documents as YAML that every parser reads in the same way: block collections, and strings quoted
as in JSON if unquoted ones could be read as anything else. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

Value: TypeAlias = "Mapping[str, Value] | Sequence[Value] | str | bool | int"

# What YAML 1.1, which Kubernetes parses, reads as a boolean or as null.
_WORDS = frozenset(["y", "yes", "n", "no", "on", "off", "true", "false", "null"])
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_ESCAPED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def dump(documents: Iterable[Mapping[str, Value]]) -> str:
    """Return a stream of documents. Raises UnicodeEncodeError if a string is not Unicode."""
    return "---\n".join("".join(f"{line}\n" for line in _block(one)) for one in documents)


def scalar(text: str) -> str:
    """Return a string as YAML. Raises UnicodeEncodeError if it is not Unicode."""
    text.encode()
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return f'"{"".join(map(_character, text))}"'


def _character(one: str) -> str:
    if one in _ESCAPED:
        return _ESCAPED[one]
    if one.isprintable():
        return one
    return f"\\u{ord(one):04x}" if ord(one) <= 0xFFFF else f"\\U{ord(one):08x}"  # noqa: PLR2004


def _block(value: Value) -> list[str]:
    """Return the lines of a collection that is not empty."""
    lines = []
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if (text := _in_one_line(inner)) is not None:
                lines.append(f"{scalar(key)}: {text}")
            else:
                lines += [f"{scalar(key)}:", *(f"  {line}" for line in _block(inner))]
        return lines
    if isinstance(value, str | int):
        raise TypeError(f"{value!r} is no collection")
    for inner in value:
        text = _in_one_line(inner)
        first, *rest = _block(inner) if text is None else [text]
        lines += [f"- {first}", *(f"  {line}" for line in rest)]
    return lines


def _in_one_line(value: Value) -> str | None:
    """Return a scalar, or an empty collection; None for what needs lines of its own."""
    if isinstance(value, str):
        return scalar(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if not value:
        return "{}" if isinstance(value, Mapping) else "[]"
    return None
