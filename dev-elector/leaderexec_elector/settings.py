"""The values of options and faults: durations, choices, numbers. Pure.

Each reader raises ValueError with a message that says what is allowed.
"""

import re
from collections.abc import Callable, Sequence
from math import isfinite

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST_NAME = 253


def duration(text: str) -> float:
    """Read `500ms`, `10s`, `2m` or `1h` as seconds."""
    found = _DURATION.fullmatch(text)
    seconds = float(found[1]) * _SECONDS[found[2]] if found else -1.0
    if seconds < 0 or not isfinite(seconds):
        raise ValueError("write a duration such as 500ms, 10s, 2m or 1h")
    return seconds


def choice(*allowed: str) -> Callable[[str], str]:
    """Return a reader of one of some words."""

    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"choose {' or '.join(allowed)}")
        return text

    return read


def integer(low: int, high: int) -> Callable[[str], int]:
    """Return a reader of a whole number between two limits, inclusive."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(high))):
            raise ValueError(f"write a number from {low} to {high}")
        if not low <= int(text) <= high:
            raise ValueError(f"write a number from {low} to {high}")
        return int(text)

    return read


def candidate(text: str) -> str:
    """Read the name of a candidate."""
    if not 0 < len(text) <= _LONGEST_NAME:
        raise ValueError(f"write a name of 1 to {_LONGEST_NAME} characters")
    return text


def header_value(text: str) -> str:
    """Read a valid header value: printable ASCII."""
    if not (text.isascii() and text.isprintable() and text):
        raise ValueError("write printable ASCII")
    return text


def names(text: str) -> Sequence[str]:
    """Read names separated by commas, or by slashes where a comma has another meaning."""
    return [candidate(name) for name in re.split("[,/]", text)]
