"""Random shares of a delay, so that replicas do not all try at once."""

import random

# Of our own: threads draw from it at any time, and a program that uses the API, or a test, may
# count on what it draws from the shared one.
_own = random.Random()  # noqa: S311 - no secret


def share() -> float:
    """Return a number from 0 to 1, exclusive. For any thread."""
    return _own.random()
