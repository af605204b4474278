"""Moments as people and programs read them."""

from datetime import UTC, datetime


def rfc_3339(at: float) -> str:
    """Return a moment, in seconds since the epoch, in UTC to the millisecond (RFC 3339, section
    5.6)."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
