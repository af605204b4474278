"""``--election file``: the process that holds an flock(2) on the lock file leads.

The lock belongs to an open file description, not to a process, and the command inherits it by
design: the kernel keeps the lock until the last process of the tree has exited, whether or not
leaderexec is still running. The lock is not polled: one thread waits in flock(2), and another, for
the holder, waits in inotify(7) for the file to be removed or replaced, which would let a second
leader lock a new file of that name. Changes that inotify can't see (from another machine) are
checked for at every poll interval.
"""

import errno
import fcntl
import os
import select
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress

from leaderexec.core.backoff import doubling
from leaderexec.core.events import Announced, Done, Event, NotKept
from leaderexec.election import holder
from leaderexec.election.watched import start_watched
from leaderexec.logs import Log
from leaderexec.process import syscalls

_RETRY_BASE = 0.1
_RETRY_CAP = 5.0
_TRIES = 3
_MOST_NEWS = 4096
# Seconds until a success that could not be written is written again, and for which an exit waits
# for one that is being written.
_KEEP_AGAIN = 0.5
_RELEASE_WITHIN = 3.0
_LOST_SINCE = NotKept("the lock file was removed or replaced")


class CannotLock(Exception):
    """The lock file can't be used; the message says why and what to do."""


_NO_PERMISSION = (
    "permission denied; run as the file's owner, or give this user read and write access to it and"
    " its directory"
)
_CAUSES = {
    errno.EACCES: _NO_PERMISSION,
    errno.EPERM: _NO_PERMISSION,
    errno.EROFS: "its file system is read-only; use a writable one",
    errno.EISDIR: "it is a directory; specify a file",
    errno.ELOOP: "it is a symbolic link, which could lead to any file; specify the file itself",
    errno.ENOENT: "its directory does not exist; create it, or specify another",
    errno.ENOTDIR: "a part of its path is not a directory",
    errno.ENOSPC: "its file system is full",
    errno.ENOLCK: "its file system has no locks available (NFS without a lock daemon?)",
    errno.EOPNOTSUPP: "its file system does not support flock(2)",
}


_NOT_OURS = (
    "{} ({} bytes), which leaderexec would overwrite; specify another file, or remove this one"
    " if it is not needed"
)
# Any user who can open a file can lock it, and so keep every replica from leading (flock(2)).
_OTHERS = stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH


def explain(path: str, error: OSError) -> CannotLock:
    """Return what is wrong with the lock file."""
    return _cannot(path, _CAUSES.get(error.errno or 0, error.strerror or str(error)))


def _cannot(path: str, why: str) -> CannotLock:
    return CannotLock(f"the lock file {path!r} can't be used: {why}")


def open_file(path: str) -> int:
    """Open or create the lock file; only an empty file or one that leaderexec wrote is accepted,
    since it is overwritten. Raises CannotLock."""
    return _opened(path, os.O_RDWR | os.O_CREAT)


def _opened(path: str, flags: int) -> int:
    # Without O_NONBLOCK, opening a FIFO could wait forever. A link could lead to any file.
    flags |= os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise explain(path, error) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _cannot(path, "it is not a regular file; specify one")
        read(path, descriptor)
    except CannotLock:
        os.close(descriptor)
        raise
    return descriptor


def read(path: str, descriptor: int) -> dict[str, object]:
    """Return the content of the file; nothing if it is empty. Raises CannotLock if not ours."""
    try:
        for _ in range(_TRIES):
            try:
                return holder.parse(os.pread(descriptor, holder.MAX_BYTES + 1, 0))
            except holder.NotOurs as error:
                why = _NOT_OURS.format(error, os.fstat(descriptor).st_size)
            # A write in progress may be seen half old, half new (read(2) and write(2) are
            # not atomic with respect to each other on every file system).
            time.sleep(_RETRY_BASE / _TRIES)
    except OSError as error:
        raise explain(path, error) from None
    raise _cannot(path, why)


def open_to_others(path: str) -> str | None:
    """Return the file's mode if others than its owner can open it; None otherwise."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return None
    return f"{stat.S_IMODE(mode):04o}" if mode & _OTHERS else None


def try_lock(path: str, descriptor: int, how: int = fcntl.LOCK_EX) -> bool:
    """Take the lock if it is free; return whether we hold it. Raises CannotLock."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise explain(path, error) from None
    return True


def is_current(path: str, descriptor: int) -> bool:
    """Return whether the path still leads to the file of this descriptor."""
    try:
        named = os.lstat(path)
    except OSError:
        return False
    held = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)


def write_holder(path: str, descriptor: int, identity: str) -> int:
    """Write the holder to the file, for people and for ``--is-leader``; return its fence, once it
    is on disk (fsync(2)): no other holder may ever get the same one. Raises CannotLock."""
    said = read(path, descriptor)
    fence = holder.next_fence(said)
    # Nobody holds a slot while we hold this.
    said.pop(holder.SLOTS, None)
    write(path, descriptor, {**said, **holder.ours(identity, fence)})
    return fence


def is_done(path: str, descriptor: int, key: str) -> bool:
    """Return whether the file keeps that the command has succeeded for this key. Raises
    CannotLock."""
    from leaderexec.election import once

    return once.has(read(path, descriptor).get(holder.DONE), key)


def write_done(path: str, descriptor: int, key: str, identity: str) -> None:
    """Write that the command has succeeded for this key; it is on disk then (fsync(2)). Raises
    CannotLock."""
    from leaderexec.election import once

    # It is empty if the holder could not be written, either.
    said = read(path, descriptor) or holder.ours(identity, holder.next_fence({}))
    write(path, descriptor, {**said, holder.DONE: once.with_key(said.get(holder.DONE), key)})


def write(path: str, descriptor: int, content: Mapping[str, object]) -> None:
    """Write the content; it is on disk then (fsync(2)). Raises CannotLock."""
    try:
        text = holder.line(content)
        # In this order a crash in between leaves a complete line, followed by the end of the old
        # one; truncating first could lose what has to be kept.
        os.pwrite(descriptor, text, 0)
        os.ftruncate(descriptor, len(text))
        os.fsync(descriptor)
    except holder.NotOurs as error:
        raise _cannot(path, str(error)) from None
    except OSError as error:
        raise explain(path, error) from None


def who_holds(path: str) -> holder.Holder | None:
    """Return who took the lock, as long as it is held; None if it is free.

    Raises CannotLock. The shared lock used to find out is released at once, and blocks no replica.
    """
    try:
        descriptor = _opened(path, os.O_RDONLY)
    except CannotLock:
        if not os.path.lexists(path):
            return None
        raise
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        found = holder.holder_of(read(path, descriptor))
        if found is None:
            raise CannotLock(f"the lock file {path!r} is locked, but names no holder") from None
        return found
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
        once_key: str | None = None,
    ) -> None:
        """`look_every`: seconds between two checks that the file is still the same; `once_key`: the
        key of --once, None without it.

        Raises CannotLock if the file can't be used, so that this is known at start-up.
        """
        self._identity = identity
        self._path = path
        self._look_every = look_every
        self._put = put
        self._log = log
        self._clock = clock
        self._troubles: Counter[tuple[str, str]] = Counter()
        # None if it could not be written.
        self._fence: int | None = None
        # Until when we do not compete, and whether the lock still has to be released for that.
        self._held_off_until = 0.0
        self._steps_down = False
        self._once_key = once_key
        self._is_done = False
        # A success of ours, in the term of this fence, still has to be written; the lock guards the
        # writing.
        self._keeps = False
        self._succeeded_in: int | None = None
        self._writing = threading.Lock()
        # For good: the file is another's from now on.
        self._released = False
        self._asked = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._descriptor = open_file(path)
        self._held = self._try_at_once()
        if not self._held:
            self._refuse_slots()
        self._look_if_done()
        if self._held:
            self._write_holder()

    def start(self, _now: float) -> None:
        """Begin to compete."""
        start_watched("lock", self._compete, self._put, self._log, self._clock)

    def resubscribe(self) -> None:
        """Do nothing: there is no stream."""

    def release(self) -> None:
        """Unlock the file, for every process that has the descriptor (flock(2))."""
        if not self._writing.acquire(timeout=_RELEASE_WITHIN):
            # The file system hangs. A write must not come after the unlocking, so our end does it.
            return
        self._keeps = False
        self._released = True
        self._writing.release()
        self._unlock()

    def step_down(self, hold_off: float) -> None:
        """Have the file unlocked, for every process that has the descriptor (flock(2)), and wait
        before locking it again."""
        self._held_off_until = self._clock() + hold_off
        self._steps_down = True
        os.eventfd_write(self._asked, 1)

    def keep_success(self, fence: int | None) -> None:
        """Have it written to the file that the command has succeeded in the term of this fence."""
        self._succeeded_in = fence
        # In this order: the other thread notes a loss first, and then looks whether to keep one.
        self._keeps = True
        if not self._held:
            self._put(_LOST_SINCE)
        os.eventfd_write(self._asked, 1)

    def inherited(self) -> tuple[int, ...]:
        """Return the locked descriptor, which the command shares with us."""
        return (self._descriptor,)

    def troubles(self) -> Mapping[tuple[str, str], int]:
        """Return how often the file was removed or could not be used."""
        return self._troubles.copy()

    def _compete(self) -> None:
        self._warn_of_mode()
        self._tell_if_done()
        while True:
            # Restarted after a failure: we still hold the lock, but the file was not watched
            # in the meantime.
            self._held = self._held and is_current(self._path, self._descriptor)
            if not self._held:
                self._wait_for_lock()
                self._tell_if_done()
            if not self._steps_down:
                self._put(Announced(self._identity, self._clock(), self._fence))
                self._wait_for_removal()
            if self._steps_down:
                self._let_go()
                continue
            self._troubles["lock", "removed"] += 1
            self._log.error(
                "lock file removed",
                path=self._path,
                reason="the lock file was removed or replaced, so another replica can lock a new"
                " one: leadership is lost",
                remedy="never remove the lock file while replicas run",
            )
            self._held = False
            if self._keeps:
                self._keeps = False
                self._put(_LOST_SINCE)
            self._put(Announced(None, self._clock()))

    def _tell_if_done(self) -> None:
        if self._is_done:
            self._put(Done())

    def _look_if_done(self) -> None:
        """Take in whether the command has succeeded. Raises CannotLock."""
        if self._once_key is not None:
            self._is_done = is_done(self._path, self._descriptor, self._once_key)

    def _let_go(self) -> None:
        """Unlock the file, and hold off."""
        self._steps_down = self._held = False
        with suppress(BlockingIOError):
            os.eventfd_read(self._asked)
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self._put(Announced(None, self._clock()))
        self._log.info("lock released", path=self._path)
        time.sleep(max(0.0, self._held_off_until - self._clock()))

    def _wait_for_lock(self) -> None:
        """Wait until we hold the lock of the file that the path leads to."""
        attempt = 0
        while True:
            try:
                if not is_current(self._path, self._descriptor):
                    self._reopen()
                if not try_lock(self._path, self._descriptor):
                    self._say_who_holds()
                    # Not the holder's name: it may equal ours, and we do not lead.
                    self._put(Announced(None, self._clock()))
                    fcntl.flock(self._descriptor, fcntl.LOCK_EX)
                self._look_if_done()
                # If it was replaced while we waited, the process that locks the new one would lead.
                leads = is_current(self._path, self._descriptor) and self._is_welcome()
            except (CannotLock, OSError) as error:
                self._troubles["lock", "unusable"] += 1
                if attempt == 0:
                    self._log.error("lock file trouble", reason=str(error), path=self._path)
                time.sleep(doubling(attempt, base=_RETRY_BASE, cap=_RETRY_CAP))
                attempt += 1
                continue
            if leads:
                self._held = True
                self._write_holder()
                return

    def _try_at_once(self) -> bool:
        """Take the lock if it is free; return whether we hold it. Raises CannotLock."""
        return try_lock(self._path, self._descriptor) and is_current(self._path, self._descriptor)

    def _is_welcome(self) -> bool:
        """Return whether we lead now that we hold the lock; if not, it is released again."""
        return True

    def _refuse_slots(self) -> None:
        """Raise CannotLock if replicas share the file as one with --slots."""
        count = read(self._path, self._descriptor).get(holder.SLOTS)
        if count is not None and try_lock(self._path, self._descriptor, fcntl.LOCK_SH):
            raise _cannot(
                self._path,
                f"the replicas that run now share it with --slots {count}; set that, too, or end"
                " all of them first",
            )

    def _reopen(self) -> None:
        """Open the file that the path leads to now under the same number, so that a concurrent fork
        finds it open. The old one, if the command's tree is still being stopped, stays
        locked by that tree."""
        fresh = open_file(self._path)
        try:
            os.dup2(fresh, self._descriptor, inheritable=False)
        finally:
            os.close(fresh)

    def _unlock(self) -> None:
        with suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _write_holder(self) -> None:
        """Write that we hold the lock, at once: until then the file names another holder. A full
        disk must not cost leadership: only the lock counts."""
        self._fence = None
        try:
            with self._writing:
                if self._released:
                    # Locked by this thread only after that, or released before it could write.
                    self._unlock()
                    return
                self._fence = write_holder(self._path, self._descriptor, self._identity)
        except CannotLock as error:
            self._troubles["lock", "not-written"] += 1
            self._log.error(
                "lock holder not written",
                path=self._path,
                reason=f"{error}; this replica still leads, without a fence, and --is-leader can't"
                " tell",
                remedy="correct that, and restart leaderexec",
            )

    def _warn_of_mode(self) -> None:
        mode = open_to_others(self._path)
        if mode is not None:
            self._log.warning(
                "lock file open to others",
                path=self._path,
                mode=mode,
                reason="any user who can open it can lock it (flock(2)), and no replica would lead",
                remedy="chmod 600, unless replicas run as different users who are all trusted",
            )

    def _say_who_holds(self) -> None:
        held_by = holder.holder_of(read(self._path, self._descriptor))
        if held_by is None or held_by.process == holder.this_process():
            return
        if holder.has_ended(held_by):
            self._log.info(
                "lock outlives its holder",
                holder=held_by.name,
                holder_pid=held_by.pid,
                reason="that leaderexec has exited, and processes that its command left behind keep"
                " the lock: no replica leads before the last of them has exited",
                remedy="wait, or find them with fuser -v and the lock file's path",
            )
        elif held_by.name == self._identity:
            self._log.warning(
                "identity is not unique",
                holder_pid=held_by.pid,
                reason=f"the holder of the lock is named {self._identity!r}, too",
                remedy="give each replica its own --identity",
            )

    def _wait_for_removal(self) -> None:
        """Wait until the file is removed or replaced, or we are asked to release it; meanwhile,
        write a success of ours."""
        changes = syscalls.watch_file(self._path)
        try:
            waiting = select.poll()
            waiting.register(self._asked, select.POLLIN)
            if changes is not None:
                waiting.register(changes, select.POLLIN)
            while is_current(self._path, self._descriptor) and not self._steps_down:
                pause = self._keep() if self._keeps else self._look_every
                ready = {readable for readable, _ in waiting.poll(pause * 1000)}
                if changes in ready and changes is not None:
                    os.read(changes, _MOST_NEWS)
        finally:
            if changes is not None:
                os.close(changes)

    def _is_unbroken(self) -> bool:
        """Return whether the lock was not lost since the command's term began; of a term without a
        fence, whether it never was."""
        if self._succeeded_in is None and self._troubles["lock", "removed"]:
            return False
        return self._succeeded_in == self._fence

    def _keep(self) -> float:
        """Write that the command has succeeded; return the seconds to wait after that."""
        assert self._once_key is not None  # noqa: S101 - without it nothing is to be kept
        with suppress(BlockingIOError):
            os.eventfd_read(self._asked)
        try:
            with self._writing:
                if not self._keeps:
                    return self._look_every
                if not self._is_unbroken():
                    self._keeps = False
                    self._put(_LOST_SINCE)
                    return self._look_every
                write_done(self._path, self._descriptor, self._once_key, self._identity)
        except CannotLock as error:
            if not self._troubles["lock", "success-not-written"]:
                self._log.error(
                    "success not written",
                    path=self._path,
                    reason=str(error),
                    remedy="correct that; it is tried again for some seconds",
                )
            self._troubles["lock", "success-not-written"] += 1
            return _KEEP_AGAIN
        # What was written to a file that was removed just then is lost.
        if is_current(self._path, self._descriptor):
            self._keeps = False
            self._put(Done())
        return self._look_every
