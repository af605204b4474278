"""Timestamps in logs, lock files and status."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from leaderexec.timestamps import rfc_3339


@given(st.integers(0, 4_000_000_000_000))
def test_a_moment_is_written_in_utc_to_the_millisecond(milliseconds: int) -> None:
    """As datetime parses it."""
    read = datetime.fromisoformat(rfc_3339((milliseconds + 0.5) / 1000))
    assert read.utcoffset() == UTC.utcoffset(None)
    assert round(read.timestamp() * 1000) == milliseconds
    assert rfc_3339((milliseconds + 0.5) / 1000).endswith("Z")
