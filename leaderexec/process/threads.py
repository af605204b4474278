"""Threads that are created once the command runs, when there may be no room for them."""

import threading
from collections.abc import Callable


def begun(name: str, work: Callable[[], None]) -> threading.Thread | None:
    """Run `work` in a thread; return None if none can be created now: the limit is reached, which
    must not end the command."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread
