"""One replica as in a container: PID 1 of a namespace, with a disk, a log reader and limits of its own."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from fcntl import F_SETPIPE_SZ, fcntl
from pathlib import Path
from typing import IO, ClassVar

import psutil
from moving.candidates import Ours, Times
from moving.engines import Elector

_GROUPS = Path("/sys/fs/cgroup")
_JOIN = 'for group in $1; do echo 0 > "$group"; done; shift; exec "$@"'
# Takes memory, and is not killed for it.
_HOG = f"echo -1000 > /proc/self/oom_score_adj; {_JOIN}"
_TAKES = "x=$(head -c 16777216 /dev/zero | tr '\\0' x)"
_KILLS_WITHIN = 2.0
_LOOK_AGAIN = 0.01
_UNSHARE_FAILED = 1
_ORDERS = 8
_DISK = "64k"


class FileTimes(Times):
    """A lock file has no times of its own."""

    @property
    def options(self) -> list[str]:
        """How often the folder is looked at."""
        return [f"--poll-interval={self.period:g}s"]


class ElectorTimes(Times):
    """`duration` is the time without contact, `deadline` what a winner waits: longer than it takes
    the old leader to notice and to stop."""

    @property
    def options(self) -> list[str]:
        """How often it is polled, and the two."""
        return [
            f"--poll-interval={self.period:g}s",
            f"--contact-timeout={self.duration:g}s",
            f"--takeover-delay={self.deadline:g}s",
        ]


@dataclass(frozen=True)
class Limits:
    """Control groups of one replica; None where that can't be had."""

    processes: Path | None
    memory: Path | None

    @property
    def missing(self) -> list[str]:
        """Name the faults that can't be had without."""
        had = {"fork-refused": self.processes, "out-of-memory": self.memory}
        return [name for name, path in had.items() if path is None]

    @property
    def joins(self) -> str:
        """Where a process becomes a member."""
        return " ".join({f"{path}/cgroup.procs" for path in (self.processes, self.memory) if path})

    def exhaust(self, first: psutil.Process | None) -> Callable[[], object]:
        """Leave no more memory than is used, and use more, until the kernel has killed something;
        return what takes the limit away. `first`: whom it prefers."""
        group = self.memory
        assert group is not None
        used, limit, none = _MEMORY[(group / "memory.max").exists()]
        with suppress(psutil.Error, OSError):
            if first is not None:
                Path(f"/proc/{first.pid}/oom_score_adj").write_text("1000")
        before = self._killed()
        with suppress(OSError):
            # Version 1 refuses what can't be had by giving up caches.
            (group / limit).write_text((group / used).read_text())
        words = ("sh", "-c", _HOG, "sh", f"{group}/cgroup.procs", "sh", "-c", _TAKES)
        with subprocess.Popen(words, stderr=subprocess.DEVNULL, start_new_session=True) as hog:
            give_up = time.monotonic() + _KILLS_WITHIN
            while self._killed() == before and time.monotonic() < give_up and hog.poll() is None:
                time.sleep(_LOOK_AGAIN)
            os.killpg(hog.pid, signal.SIGKILL)
        # What it had started is ours now, if we are PID 1.
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-hog.pid, 0)
        return lambda: (group / limit).write_text(none)

    def _killed(self) -> str:
        """Return the counter of what was killed."""
        assert self.memory is not None
        for name in ("memory.events", "memory.oom_control"):
            with suppress(OSError):
                return (self.memory / name).read_text()
        return ""


# Version 1 and version 2 of control groups: what is used, the limit, and none.
_MEMORY = (
    ("memory.usage_in_bytes", "memory.limit_in_bytes", "-1"),
    ("memory.current", "memory.max", "max"),
)


@contextmanager
def groups(name: str) -> Iterator[Limits]:
    """Make control groups for a replica."""
    with ExitStack() as stack:
        path = f"leaderexec-{os.getpid()}-{time.monotonic_ns()}-{name}"
        # Below the group of ours, whose limits stay those of all.
        own = _own_group("memory")
        yield Limits(
            _made(stack, "pids.max", _GROUPS / "pids" / path, _GROUPS / path),
            _made(stack, "memory.limit_in_bytes", own / path)
            or _made(stack, "memory.max", _GROUPS / path),
        )


def _own_group(controller: str) -> Path:
    """Return where our own group of a controller is (version 1)."""
    root = _GROUPS / controller
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(",") and (root / path.lstrip("/")).is_dir():
            return root / path.lstrip("/")
    return root


def _made(stack: ExitStack, wanted: str, *paths: Path) -> Path | None:
    """Make the first of these that can do what is wanted; both controllers may share it."""
    for path in paths:
        with suppress(OSError):
            if not path.exists():
                path.mkdir()
                stack.callback(_remove, path)
            if (path / wanted).exists():
                return path
    return None


def _remove(path: Path) -> None:
    """Remove a group, once the kernel has seen its last process off."""
    give_up = time.monotonic() + _KILLS_WITHIN
    while True:
        try:
            return path.rmdir()
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(_LOOK_AGAIN)


def mount_disk(folder: Path) -> None:
    """Have a small disk there."""
    folder.mkdir(exist_ok=True)
    words = ("mount", "-t", "tmpfs", "-o", f"size={_DISK}", "none", str(folder))
    subprocess.run(words, check=True)


def unmount_disks(folder: Path) -> None:
    """Take all of them away that are in this folder."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        if (place := line.split()[1]).startswith(f"{folder}/"):
            subprocess.run(["umount", place], check=True)


def fill(folder: Path) -> Path:
    """Leave no room on a disk; return the file to be removed."""
    path = folder / "filler"
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return path


class Reader(threading.Thread):
    """Reads a replica's log, and can be told to stop for a while."""

    def __init__(self, pipe: IO[bytes], path: Path) -> None:
        super().__init__(daemon=True)
        # So that a few lines fill it.
        fcntl(pipe, F_SETPIPE_SZ, 4096)
        self._pipe = pipe
        self._path = path
        self.reads = threading.Event()
        self.reads.set()

    def run(self) -> None:
        """Read to the end."""
        with self._pipe, self._path.open("ab", buffering=0) as log:
            while part := os.read(self._pipe.fileno(), 65536):
                log.write(part)
                self.reads.wait()


@dataclass
class Replica(Ours):
    """leaderexec, and a worker that leaves a process behind for a while when it ends."""

    manner: ClassVar[tuple[str, ...]] = ("400",)
    disk: Path = field(kw_only=True)
    limits: Limits = field(kw_only=True)
    reader: Reader = field(init=False)
    started: float = field(init=False, default=0.0)
    # How long the log was before.
    _logged: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        clock = self.site.folder / f"{self.name}.clock"
        clock.write_text("+0\n")
        self.variables = {"WALL_CLOCK": str(clock)}
        apart = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
        faked = ("env", f"LD_PRELOAD={self.site.wall}")
        self.prefix = (*apart, "sh", "-c", _JOIN, "sh", self.limits.joins, *faked)

    @property
    def control_socket(self) -> str:
        """On its own disk."""
        return str(self.disk / f"{self.name}.sock")

    def start(self) -> None:
        """Start it, and read its log."""
        if self.started:
            # All that the one before has logged is read first.
            self.reader.reads.set()
            self.reader.join()
            self._logged = self.log.stat().st_size
        self.started = time.monotonic()
        self._spawn(subprocess.PIPE)
        assert self.process.stderr is not None
        self.reader = Reader(self.process.stderr, self.log)
        self.reader.start()

    def is_ready(self) -> bool:
        """Return whether it knows who leads: with an elector only its log says so."""
        if not isinstance(self.site.engine, Elector):
            return super().is_ready()
        return b"leadership confirmed" in self.log.read_bytes()[self._logged :]

    @property
    def wrapper(self) -> psutil.Process | None:
        """PID 1, as we see it; None once it has ended."""
        with suppress(psutil.Error):
            for process in psutil.Process(self.process.pid).children():
                if process.status() != psutil.STATUS_ZOMBIE:
                    return process
        return None

    @property
    def command(self) -> list[psutil.Process]:
        """The worker and what it has left behind."""
        wrapper = self.wrapper
        with suppress(psutil.Error):
            if wrapper is not None:
                return [one for one in wrapper.children(recursive=True) if _is_worker(one)]
        return []

    def signal(self, number: int) -> bool:
        """Signal leaderexec; return whether it was there."""
        wrapper = self.wrapper
        with suppress(psutil.Error):
            if wrapper is not None:
                wrapper.send_signal(number)
                return True
        return False

    def close(self) -> None:
        """End it. The kernel drops an order that comes before PID 1 has a handler for it, so it may
        have to be given again."""
        for _ in range(_ORDERS):
            self.signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
                return
        self.process.kill()
        self.process.wait()

    @property
    def code(self) -> int:
        """How its process ended, as a shell says it. unshare(1) of util-linux 2.38 fails to end as
        its child did, if that was killed; nothing here ends with 1 otherwise."""
        code = self.process.returncode
        return (
            128 + signal.SIGKILL if code == _UNSHARE_FAILED else code if code >= 0 else 128 - code
        )


def _is_worker(process: psutil.Process) -> bool:
    try:
        return bool(process.name() == "worker")
    except psutil.Error:
        return False
