"""Imports in other threads and forks in the main thread exclude each other.

A library may register functions to run around each fork (os.register_at_fork; logging and
concurrent.futures do, for their locks). If an import registers a pair in the middle of a fork, the
second half runs without the first: a lock is released that was not acquired, and Python
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
    """Block forks."""
    with _turn:
        yield


@contextmanager
def forking() -> Iterator[None]:
    """Block imports, once one that has begun is finished, or takes too long."""
    taken = _turn.acquire(timeout=LONGEST_IMPORT)
    try:
        yield
    finally:
        if taken:
            _turn.release()
