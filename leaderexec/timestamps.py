"""Timestamps for people and programs. Without datetime, whose import takes 2 ms at start-up."""

import time


def rfc_3339(at: float) -> str:
    """Return a time, in seconds since the epoch, in UTC to the millisecond (RFC 3339, section
    5.6)."""
    seconds, milliseconds = divmod(int(at * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{milliseconds:03d}Z"
