"""The limits of a process: on its core dumps; and for messages, what prevents creating or
signalling one."""

import errno
import os
import resource
import sys

_CAP_KILL = 5  # <linux/capability.h>
# Too small for a file, and the one value that also keeps the kernel from piping a core dump to a
# program (its do_coredump() takes it for a crash of that program).
_NO_CORE_DUMP = 1


def forgo_core_dumps() -> tuple[int, int] | None:
    """Have no core dump made of this process, whose memory contains the election's credentials
    (setrlimit(2), RLIMIT_CORE). Return the limits that were in force, which are its children's;
    None if a seccomp profile does not let them be changed."""
    try:
        soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
        most = _NO_CORE_DUMP if hard == resource.RLIM_INFINITY else min(_NO_CORE_DUMP, hard)
        resource.setrlimit(resource.RLIMIT_CORE, (most, hard))
    except OSError:
        return None
    return soft, hard


def allow_core_dumps(limits: tuple[int, int]) -> None:
    """Put these limits on core dumps of this process into force."""
    resource.setrlimit(resource.RLIMIT_CORE, limits)


def of_processes() -> str:
    """Describe the limits on processes that are in force (cgroups(7), pids.max; getrlimit(2))."""
    known = []
    limit = next(iter(_pids_max()), None)
    if limit is not None:
        known.append(f"pids.max of the container is {limit}")
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if soft != resource.RLIM_INFINITY:
        known.append(f"the user's limit (ulimit -u) is {soft}")
    return ", ".join(known) or "no limit on processes is set here: memory, or a limit further up"


def _pids_max() -> list[str]:
    """Return the limit of our cgroup, if it has one."""
    try:
        with open("/proc/self/cgroup") as file:
            own = [line.strip().split(":", 2) for line in file]
    except (OSError, ValueError):
        return []
    found = []
    for _, controllers, path in own:
        if controllers not in ("", "pids"):
            continue
        root = "/sys/fs/cgroup/pids" if controllers else "/sys/fs/cgroup"
        for folder in (root + path, root):
            try:
                with open(f"{folder}/pids.max") as file:
                    limit = file.read().strip()
            except OSError:
                continue
            if limit.isdigit():
                found.append(limit)
    return found


def lacks_cap_kill() -> bool:
    """Return whether we are root without the right to signal other users' processes
    (capabilities(7)), as in a container that has dropped it."""
    if os.geteuid() != 0:
        return False
    try:
        with open("/proc/self/status") as file:
            effective = next(line for line in file if line.startswith("CapEff:"))
    except (OSError, StopIteration):
        return False
    return not int(effective.split()[1], 16) >> _CAP_KILL & 1


def why_not(error: Exception) -> str:
    """Return why the system refused something that it should provide, and what to do."""
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, RuntimeError):
        return f"{error}: {of_processes()}, or a seccomp profile that does not know clone3(2)"
    if number in (errno.EMFILE, errno.ENFILE) or "Too many open files" in str(error):
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return f"{error}: raise the limit on open files (ulimit -n), which is {soft}"
    if isinstance(error, ModuleNotFoundError):
        return (
            f"{error}: reinstall leaderexec with its dependencies, for {sys.executable};"
            " PYTHONPATH is for the command, and is not searched"
        )
    if number in (errno.ENOSYS, errno.EPERM):
        return f"{error}: a seccomp profile or an old kernel forbids it; allow it"
    return str(error)
