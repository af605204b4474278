"""``--election file`` with ``--slots``: a lock file for each slot, ``PATH.0`` to ``PATH.N-1``.

A thread for each slot waits in flock(2). The first to get its lock claims its slot, and any other
that gets one while there is a claim unlocks it at once.

PATH itself keeps N. Every replica, and what its command leaves behind, holds a shared lock on it;
only a replica that finds none can lock it exclusively, and write another N. A replica without
--slots holds an exclusive lock on it while it leads, so that neither leads beside the other.
"""

import fcntl
import os
import time
from collections.abc import Callable

from leaderexec.election import holder, lockfile
from leaderexec.election.kind import Put
from leaderexec.election.lockfile import CannotLock, LockFile
from leaderexec.election.slots import Claim
from leaderexec.logs import Log

# Another replica that starts has the exclusive lock for as long as it takes to write a line.
_TRIES = 50
_PAUSE = 0.02


class OtherNumber(Exception):
    """The file is in use with another number of slots, or without --slots; the message says so."""


def path_of(path: str, slot: int) -> str:
    """Return the lock file of a slot."""
    return f"{path}.{slot}"


def join(path: str, identity: str, count: int) -> int:
    """Lock the named file, shared, once it says that there are so many slots, and return its
    descriptor: while that is open, no other number is written. Raises CannotLock, OtherNumber."""
    for _ in range(_TRIES):
        descriptor = lockfile.open_file(path)
        if lockfile.try_lock(path, descriptor):
            _write_number(path, descriptor, identity, count)
        # Converting a lock is not atomic (flock(2)): what the file says is read after that.
        is_shared = lockfile.try_lock(path, descriptor, fcntl.LOCK_SH)
        said = lockfile.read(path, descriptor)
        if is_shared and lockfile.is_current(path, descriptor):
            if (number := said.get(holder.SLOTS)) == count:
                return descriptor
            raise OtherNumber(
                f"--slots is {count}, but the replicas that run now share {path!r} with --slots"
                f" {number}; set the same number, or end all of them first"
            )
        os.close(descriptor)
        time.sleep(_PAUSE)
    held_by = holder.holder_of(said)
    who = "a replica" if held_by is None else f"{held_by.name} (pid {held_by.pid})"
    raise OtherNumber(
        f"--slots is {count}, but {who} leads with {path!r} without --slots; end all such replicas"
        " first, or specify another file"
    )


def _write_number(path: str, descriptor: int, identity: str, count: int) -> None:
    said = lockfile.read(path, descriptor)
    if said.get(holder.SLOTS) != count:
        ours = holder.ours(identity, holder.next_fence(said))
        lockfile.write(path, descriptor, {**said, **ours, holder.SLOTS: count})


class SlotFile(LockFile):
    """The lock file of one slot."""

    def __init__(
        self,
        claim: Claim,
        slot: int,
        identity: str,
        path: str,
        look_every: float,
        put: Put,
        log: Log,
        clock: Callable[[], float],
    ) -> None:
        """`path` is the named file's. Raises CannotLock."""
        self._claim = claim
        self._slot = slot
        super().__init__(identity, path_of(path, slot), look_every, put, log, clock)

    def step_down(self, hold_off: float) -> None:
        """Release the slot if it is this one. The claim is kept while this replica holds off."""
        if self._claim.slot == self._slot:
            super().step_down(hold_off)

    def end(self) -> None:
        """Do nothing: with the claim closed, no slot is taken any more."""

    def holder(self) -> str | None:
        """Return who holds the slot, according to the file."""
        try:
            found = lockfile.who_holds(self._path)
        except CannotLock:
            return None
        return None if found is None else found.name

    def _try_at_once(self) -> bool:
        free = self._claim.is_open_to(self._slot) and super()._try_at_once()
        return free and self._claim.take(self._slot)

    def _wait_for_lock(self) -> None:
        self._claim.leave(self._slot)
        self._claim.wait(self._slot)
        super()._wait_for_lock()

    def _is_welcome(self) -> bool:
        if self._claim.take(self._slot):
            return True
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self._claim.wait(self._slot)
        return False
