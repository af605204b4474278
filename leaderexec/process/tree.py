"""Our descendants: found in /proc, and signalled without ever hitting a reused pid.

As PID 1 or subreaper we inherit every orphan below us, so a process that called setsid(2) or
double-forked is still a descendant, and "no child left" means "nothing left". /proc is scanned
only while something is being stopped.
"""

import os
import signal
from collections.abc import Callable
from contextlib import suppress

from leaderexec.core.record import Record

# A pid, and the start time of its process.
Owner = tuple[int, int]
_NONE: frozenset[int] = frozenset()


class Process(Record):
    """A process as shown by /proc/PID/stat (proc_pid_stat(5)). `started`, in clock ticks since
    boot, distinguishes processes with the same pid. One whose main thread has exited looks like a
    zombie, and lives as long as it has other threads."""

    pid: int
    state: str
    parent: int
    group: int
    threads: int
    started: int

    @property
    def owner(self) -> Owner:
        """What distinguishes this process from any other, past or future."""
        return self.pid, self.started

    @property
    def lives(self) -> bool:
        """False for a zombie: it only has to be reaped."""
        return self.state not in "ZX" or self.threads > 1


def read(pid: int) -> Process | None:
    """Return the current state of the process; None if there is none."""
    try:
        # Without a file object: half the time, and there may be thousands.
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        line = os.read(descriptor, 4096)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    # The name in parentheses may itself contain spaces and parentheses.
    fields = line[line.rfind(b")") + 2 :].split()
    if len(fields) < 20:  # noqa: PLR2004 - through starttime; a process can vanish while read
        return None
    return Process(
        pid, fields[0].decode(), int(fields[1]), int(fields[2]), int(fields[17]), int(fields[19])
    )


def shows_us() -> bool:
    """Return whether /proc is this PID namespace's. In another one's, our pids mean others."""
    try:
        return os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


def snapshot() -> list[Process]:
    """Return every process that /proc shows; none if it can't be read (ENFILE, not mounted) or
    is another namespace's."""
    if not shows_us():
        return []
    try:
        names = os.listdir("/proc")
    except OSError:
        return []
    found = (read(int(name)) for name in names if name.isdigit())
    return [process for process in found if process is not None]


def children() -> list[int] | None:
    """Return our children, including zombies; None if they can't be seen (the kernel was built
    without CONFIG_PROC_CHILDREN, or see `shows_us`).

    For the main thread, whose children they are: it alone forks, and a process that loses its
    parent comes to the first living thread. It alone reaps, too, and until then a child stays one,
    so that none leaves the list while that is read.
    """
    if not shows_us():
        return None
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", "rb") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return None


def are_all_in(groups: frozenset[int]) -> bool:
    """Return whether every child of ours is in one of these process groups, so that each descendant
    is one of them or below one; False if that can't be seen."""
    ours = children()
    try:
        return ours is not None and all(os.getpgid(pid) in groups for pid in ours)
    except OSError:
        return False


def below(processes: list[Process], root: int, apart: frozenset[int] = _NONE) -> list[Process]:
    """Return the descendants of `root`, parents before children, including zombies; without the
    process groups `apart`."""
    by_parent: dict[int, list[Process]] = {}
    for process in processes:
        if process.group not in apart:
            by_parent.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    waiting = [root]
    while waiting:
        next_ones = by_parent.pop(waiting.pop(), [])
        found += next_ones
        waiting += [process.pid for process in next_ones]
    return found


def is_ours(pid: int, apart: frozenset[int] = _NONE) -> bool:
    """Tell whether a process is a descendant of ours, and not in the groups `apart`: seen from it
    upwards."""
    if not shows_us():
        return False
    own = os.getpid()
    seen: set[int] = set()
    while pid not in seen:
        seen.add(pid)
        process = read(pid)
        if process is None or process.group in apart:
            return False
        if process.parent == own:
            return True
        pid = process.parent
    return False


def living(processes: list[Process]) -> list[Process]:
    """Filter out zombies."""
    return [process for process in processes if process.lives]


def signal_one(process: Process, number: int) -> bool:
    """Send a signal to exactly this process; return whether it was there to receive it.

    Its pid may have been reused since the scan, so it is first pinned by a pidfd and then
    checked again (pidfd_open(2)).
    """
    try:
        pinned = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    except OSError:
        return _signal_unpinned(process, number)
    try:
        now = read(process.pid)
        if now is None or now.started != process.started:
            return False
        signal.pidfd_send_signal(pinned, number)
    except OSError:
        return False
    finally:
        os.close(pinned)
    return True


def _signal_unpinned(process: Process, number: int) -> bool:
    """The same, if a sandbox forbids pidfds or descriptors have run out (EMFILE); there are
    microseconds between the check and the signal."""
    now = read(process.pid)
    if now is None or now.started != process.started:
        return False
    with suppress(OSError):
        os.kill(process.pid, number)
        return True
    return False


def stop_leftovers(
    number: int,
    apart: frozenset[int] = _NONE,
    look: Callable[[], list[Process]] = snapshot,
) -> int:
    """Send the stop signal to every descendant except the process groups `apart`, and continue
    stopped ones, which could not act on it before they are killed. Returns their number.

    A group of ours is signalled at once: if processes were signalled one by one, each that exits
    would run before the next has its signal.
    """
    everyone = look()
    ours = below(everyone, os.getpid(), apart)
    found = living(ours)
    groups = groups_of(ours, everyone)
    _signal_groups(groups, number)
    for process in found:
        # One that has left its group since the scan may have missed the signal to that.
        if process.group not in groups or _has_left_its_group(process):
            signal_one(process, number)
        wake(process)
    return len(found)


def _has_left_its_group(process: Process) -> bool:
    try:
        return os.getpgid(process.pid) != process.group
    except OSError:
        return False


def wake(process: Process) -> None:
    """Continue a process that was stopped by job control or SIGSTOP, so that it can act on its
    signal."""
    if process.state == "T":
        signal_one(process, signal.SIGCONT)


def kill_all(
    killed: set[Owner],
    apart: frozenset[int] = _NONE,
    rounds: int = 16,
    look: Callable[[], list[Process]] = snapshot,
) -> int:
    """Send SIGKILL to every descendant except the process groups `apart`, and scan again for those
    forked in the meantime.

    All are stopped first (SIGSTOP): a stopped process no longer forks, but still counts towards
    its user's limit, so that after a few scans there are no new ones; killing each at once would
    make room for the next. A process group is stopped as a whole: the kernel blocks forks meanwhile
    (kill(2)), so that processes that fork and exit in a tight loop, faster than a scan,
    can't escape. A new process that is already dead was forked in the meantime,
    too, by one that lives on under yet another pid.

    Those in `killed` are skipped, and those that were killed are added to it: thousands of dying
    processes need the CPU that another scan for them would take.

    Returns how many processes were killed; those that we may not signal are not included. It
    returns after `rounds` scans; the caller calls it again after the killed ones have been
    reaped.
    """
    seen: set[tuple[Owner, int]] = set()
    for _ in range(rounds):
        everyone = look()
        ours = below(everyone, os.getpid(), apart)
        unkilled = [one for one in ours if one.owner not in killed]
        # A process that has changed its group may have missed the signal to its old one.
        fresh = [one for one in unkilled if (one.owner, one.group) not in seen]
        left = living(unkilled)
        groups = groups_of(ours, everyone) & {one.group for one in unkilled}
        if not fresh:
            break
        seen.update((one.owner, one.group) for one in fresh)
        _signal_groups(groups, signal.SIGSTOP)
        for process in living(fresh):
            if process.group not in groups:
                signal_one(process, signal.SIGSTOP)
    # The groups of the last scan: an earlier one may be gone, and its id reused.
    _signal_groups(groups, signal.SIGKILL)
    # One by one as well: a process may have changed its group since the scan.
    now = {one.owner for one in left if signal_one(one, signal.SIGKILL)}
    killed |= now
    return len(now)


def _signal_groups(groups: set[int], number: int) -> None:
    """Signal each group that still exists and that we may signal."""
    for group in groups:
        with suppress(OSError):
            os.killpg(group, number)


def groups_of(ours: list[Process], everyone: list[Process]) -> set[int]:
    """Return the process groups that only our descendants can be in.

    A zombie of ours also proves its group: its pid, and so the group's id, is not free before we
    have reaped it. A process whose parent vanished during the scan proves nothing either way: it
    was just orphaned, and orphans below us become ours.
    """
    groups = {process.group for process in ours} - {os.getpgrp(), 0}
    our_pids = {process.pid for process in ours}
    seen_pids = {process.pid for process in everyone}
    foreign = {
        process.group
        for process in living(everyone)
        if process.pid not in our_pids and (process.parent in seen_pids or process.parent == 0)
    }
    return groups - foreign


def survivors(apart: frozenset[int] = _NONE, most: int = 10) -> list[str]:
    """Describe at most `most` living descendants outside the process groups `apart`, for a
    person."""
    left = living(below(snapshot(), os.getpid(), apart))
    return [_described(process) for process in left[:most]]


def _described(process: Process) -> str:
    name, owner = "?", "?"
    with suppress(OSError):
        owner = str(os.stat(f"/proc/{process.pid}").st_uid)
    with suppress(OSError), open(f"/proc/{process.pid}/comm", "rb") as file:
        name = ascii(file.read(64).strip().decode(errors="replace"))
    return f"pid {process.pid} {name} (user {owner}, state {process.state})"
