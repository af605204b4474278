"""Imports of other threads and forks of the main thread take turns.

A library may have functions called around each fork (os.register_at_fork; logging and
concurrent.futures do, for their locks). Registered by an import in the middle of a fork, the second
half of a pair is called without the first: a lock is released that nobody has taken, and Python
complains on stderr, in the command's process too.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

# An import that takes longer than this hangs; the command does not wait for it.
LONGEST_IMPORT = 1.0

_turn = threading.RLock()


@contextmanager
def importing() -> Iterator[None]:
    """Hold forks off."""
    with _turn:
        yield


@contextmanager
def forking() -> Iterator[None]:
    """Hold imports off, once one that has begun is over, or takes too long."""
    taken = _turn.acquire(timeout=LONGEST_IMPORT)
    try:
        yield
    finally:
        if taken:
            _turn.release()
