"""``--election file``: whoever holds an flock(2) on the lock file leads.

The lock belongs to an open file description, not to a process, and the command inherits it on
purpose: the kernel keeps leadership until the last process of the tree has ended, whether or not
leaderexec still lives. Nobody polls for the lock: a thread waits in flock(2), and another, for the
holder, in inotify(7) for the file to be removed or replaced, which would let a second leader lock
a new file of that name. What inotify can't see (a change from another machine) is looked for every
poll interval.
"""

import errno
import fcntl
import json
import os
import select
import stat
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from leaderexec.core.backoff import doubling
from leaderexec.core.events import Announced, Event
from leaderexec.election.watched import start_watched
from leaderexec.logs import Log
from leaderexec.process import syscalls

_RETRY_BASE = 0.1
_RETRY_CAP = 5.0
_MOST_BYTES = 4096


class CannotLock(Exception):
    """The lock file can't serve; the message says why and what to do."""


class Holder(NamedTuple):
    """What the holder has written into the file about itself."""

    name: str
    pid: int


_CAUSES = {
    errno.EACCES: "no permission; give this user read and write access to it and its directory",
    errno.EPERM: "no permission; give this user read and write access to it and its directory",
    errno.EROFS: "its file system is read-only; put it on a writable one",
    errno.EISDIR: "it is a directory; name a file",
    errno.ENOENT: "its directory does not exist; create it, or name another",
    errno.ENOTDIR: "a part of its path is no directory",
    errno.ENOSPC: "its file system is full",
    errno.ENOLCK: "its file system has no locks to give (NFS without a lock daemon?)",
    errno.EOPNOTSUPP: "its file system has no flock(2)",
}


def explain(path: str, error: OSError) -> CannotLock:
    """Say what is wrong with the lock file."""
    why = _CAUSES.get(error.errno or 0, error.strerror or str(error))
    return CannotLock(f"the lock file {path!r} can't be used: {why}")


def open_file(path: str) -> int:
    """Open or create the lock file. Raises CannotLock."""
    try:
        # Without O_NONBLOCK, opening a FIFO could wait for ever.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
    except OSError as error:
        raise explain(path, error) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CannotLock(f"the lock file {path!r} can't be used: it is no regular file; name one")
    return descriptor


def try_lock(path: str, descriptor: int) -> bool:
    """Take the lock if it is free; tell whether we hold it. Raises CannotLock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise explain(path, error) from None
    return True


def is_current(path: str, descriptor: int) -> bool:
    """Tell whether the path still leads to the file that the descriptor is of."""
    try:
        named = os.stat(path)
    except OSError:
        return False
    held = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)


def write_holder(descriptor: int, identity: str) -> None:
    """Write into the file who holds it: for people, and for ``--is-leader``."""
    since = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    text = json.dumps({"name": identity, "pid": os.getpid(), "since": since}) + "\n"
    # A full disk must not cost leadership: the lock is what counts.
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)


def read_holder(descriptor: int) -> Holder | None:
    """Return what is written in the file; None when that is no holder's line."""
    try:
        said = json.loads(os.pread(descriptor, _MOST_BYTES, 0))
        return Holder(str(said["name"]), int(said["pid"]))
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def who_holds(path: str) -> str | None:
    """Return the name of who leads by this lock file; None when nobody does.

    Raises CannotLock. The shared lock that tells is let go at once; nobody is kept from leading.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise explain(path, error) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = read_holder(descriptor)
        if holder is None:
            raise CannotLock(f"the lock file {path!r} is held, but does not say by whom") from None
        return holder.name
    except OSError as error:
        raise explain(path, error) from None
    finally:
        os.close(descriptor)
    return None


class LockFile:
    """The source that names us while we hold the lock."""

    def __init__(
        self,
        identity: str,
        path: str,
        look_every: float,
        put: Callable[[Event], None],
        log: Log,
        clock: Callable[[], float],
    ) -> None:
        """`look_every`: seconds between two looks at whether the file is still the same.

        Raises CannotLock when the file can't serve: that should be known at start-up.
        """
        self._identity = identity
        self._path = path
        self._look_every = look_every
        self._put = put
        self._log = log
        self._clock = clock
        self._descriptor = open_file(path)
        self._held = self._take_now(self._descriptor)
        self._troubles: Counter[tuple[str, str]] = Counter()

    def start(self, _now: float) -> None:
        """Begin to compete."""
        start_watched("lock", self._compete, self._put, self._log, self._clock)

    def resubscribe(self) -> None:
        """Do nothing: there is no stream."""

    def inherited(self) -> tuple[int, ...]:
        """Return the locked descriptor, which the command holds together with us."""
        return (self._descriptor,)

    def troubles(self) -> Mapping[tuple[str, str], int]:
        """Return how often the file was removed or could not be used."""
        return self._troubles.copy()

    def _take_now(self, descriptor: int) -> bool:
        return try_lock(self._path, descriptor) and is_current(self._path, descriptor)

    def _compete(self) -> None:
        while True:
            if not self._held:
                self._wait_for_lock()
            write_holder(self._descriptor, self._identity)
            self._put(Announced(self._identity, self._clock()))
            self._wait_for_removal()
            self._troubles["lock", "removed"] += 1
            self._log.error(
                "lock file removed",
                path=self._path,
                reason="the lock file was removed or replaced, so another replica can lock a new"
                " one: leadership is lost",
                remedy="never remove the lock file while replicas run",
            )
            self._held = False
            self._put(Announced(None, self._clock()))

    def _wait_for_lock(self) -> None:
        """Wait until we hold the lock of the file that the path leads to."""
        attempt = 0
        while True:
            try:
                if not is_current(self._path, self._descriptor):
                    self._reopen()
                if not try_lock(self._path, self._descriptor):
                    self._warn_of_namesake(self._descriptor)
                    # Not its name: it may be ours, too, and we do not lead.
                    self._put(Announced(None, self._clock()))
                    fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            except (CannotLock, OSError) as error:
                self._troubles["lock", "unusable"] += 1
                if attempt == 0:
                    self._log.error("lock file trouble", reason=str(error), path=self._path)
                time.sleep(doubling(attempt, base=_RETRY_BASE, cap=_RETRY_CAP))
                attempt += 1
                continue
            # Had it been replaced while we waited, whoever locks the new one would lead.
            if is_current(self._path, self._descriptor):
                self._held = True
                return

    def _reopen(self) -> None:
        """Put the file that the path leads to now under the same number, so that a fork at this
        moment finds it open. The old one, if the command's tree is still being stopped, stays
        held by that tree."""
        fresh = open_file(self._path)
        try:
            os.dup2(fresh, self._descriptor, inheritable=False)
        finally:
            os.close(fresh)

    def _warn_of_namesake(self, descriptor: int) -> None:
        holder = read_holder(descriptor)
        if holder is not None and holder.name == self._identity:
            self._log.warning(
                "identity is not unique",
                holder_pid=holder.pid,
                reason=f"the holder of the lock is named {self._identity!r}, too",
                remedy="give each replica an --identity of its own",
            )

    def _wait_for_removal(self) -> None:
        changes = syscalls.watch_file(self._path)
        try:
            waiting = select.poll()
            if changes is not None:
                waiting.register(changes, select.POLLIN)
            while is_current(self._path, self._descriptor):
                if waiting.poll(self._look_every * 1000) and changes is not None:
                    os.read(changes, _MOST_BYTES)
        finally:
            if changes is not None:
                os.close(changes)
