"""Text from elsewhere, for a terminal."""

from collections.abc import Mapping

from leaderexec.light_typing import Any


def printable(text: str) -> str:
    """Escape what could control a terminal: control characters, bidirectional overrides, line
    breaks."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def all_printable(value: Any) -> Any:
    """Escape the strings of a JSON value: a process may call itself whatever it likes."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [all_printable(one) for one in value]
    if isinstance(value, Mapping):
        return {name: all_printable(one) for name, one in value.items()}
    return value
