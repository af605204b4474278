"""The command's process: created ahead of time, started with one write, signalled.

Forking a large Python process is costly: page tables are copied, and later each page that either
side touches. posix_spawn(3) is cheap but can't set the parent-death signal, which only the new
process itself can do. So while nothing runs the child is forked ahead of time and waits, one
read(2) away from execve(2). If leaderexec dies, the child reads end-of-file and exits.

execve(2) is costly from such a child, too: the kernel tears down its image. So the child first
becomes the launcher (`launcher.c`), a program of three pages that does the waiting. If that was
not compiled, or can't be executed, the child itself waits.
"""

import errno
import os
import select
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from leaderexec.config.options import UsageError
from leaderexec.core.record import Record
from leaderexec.light_typing import NoReturn
from leaderexec.process import fork_guard, limits, syscalls, tty
from leaderexec.process.signals import inherited_ignored

# The launcher recognizes its arguments by this name; one compiled for other arguments does not.
_LAUNCHER = "leaderexec-launcher-2"
# From the go to execve(2): ten times as long as a starved machine takes.
_LONGEST_EXEC = 5.0

NOT_EXECUTABLE = 126
NOT_FOUND = 127

# The environment's additions end with this; end-of-file without it means that leaderexec died.
_GO = b"\0go"

_CAUSES = {
    errno.ENOENT: "it, or the interpreter in its first line, was not found",
    errno.ENOTDIR: "a part of its path is not a directory",
    errno.EACCES: "it may not be executed: check its mode, its owner and noexec mounts",
    errno.EPERM: "it may not be executed: check its mode, its owner and noexec mounts",
    errno.ENOEXEC: "this machine can't run it; a script needs #! in its first line",
    errno.E2BIG: "its arguments and environment are too large together",
    errno.ENOMEM: "there is not enough memory",
    errno.EAGAIN: "the user's process limit (ulimit -u) is reached",
    errno.ETXTBSY: "it is being written to",
    errno.ELOOP: "its path has too many symbolic links",
}


class CannotRun(UsageError):
    """The command can't be run; `code` is 126 or 127, as in shells and env(1)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def find(command: str, search_path: str) -> str:
    """Return the file to execute for `command`, as execvp(3) would.

    Raises CannotRun: 127 if there is none, 126 if there is one that can't be executed.
    """
    if "/" in command:
        candidates = [command]
    else:
        candidates = [os.path.join(folder or ".", command) for folder in search_path.split(":")]
    blocked = None
    for candidate in candidates:
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
        if os.path.exists(candidate):
            blocked = blocked or candidate
    if blocked is not None:
        why = "it is a directory" if os.path.isdir(blocked) else "it is not executable (chmod +x)"
        raise CannotRun(NOT_EXECUTABLE, f"{blocked} can't be run: {why}; nothing was started")
    if len(words := command.split()) > 1:
        # The other words may contain secrets, and this may end up in logs.
        shown = f"{words[0][:80]} ..."
        raise CannotRun(
            NOT_FOUND,
            f"{shown!r} was not found: there is no shell, so that each word is an argument"
            f" of its own; write -- {shown}, or -- sh -c {shown!r}",
        )
    where = "" if "/" in command else " in any directory of PATH"
    raise CannotRun(NOT_FOUND, f"{command} was not found{where}; nothing was started")


def inherited_environment() -> dict[bytes, bytes]:
    """Return the environment that this process was started with.

    In the C locale Python sets LC_CTYPE for itself (PEP 538), which would change how other
    programs sort, match and print.
    """
    environ = dict(os.environb)
    try:
        with open("/proc/self/environ", "rb") as file:
            given = file.read().split(b"\0")
    except OSError:
        return environ
    environ.pop(b"LC_CTYPE", None)
    environ.update(_pairs(entry for entry in given if entry.startswith(b"LC_CTYPE=")))
    return environ


class Launch(Record):
    """What the command is started with; `pass_fds` are inherited besides 0, 1 and 2. With `piped`
    the command's stdout and stderr are pipes. `core_limits` limit its core dumps; None: as ours."""

    path: str
    arguments: Sequence[str]
    environ: Mapping[bytes, bytes]
    pass_fds: tuple[int, ...] = ()
    death_signal: int = signal.SIGTERM
    terminal: tty.Terminal | None = None
    launcher: str | None = None
    reads_stdin: bool = True
    piped: bool = False
    core_limits: tuple[int, int] | None = None


def find_launcher() -> str | None:
    """Return the path of this machine's launcher; None if the package came without it, or if it
    can't be run: truncated, for another machine, or on a noexec mount."""
    path = os.path.join(os.path.dirname(__file__), f"launcher.{os.uname().machine}")
    try:
        pid = os.posix_spawn(path, [_LAUNCHER], {})
        _, status = os.waitpid(pid, 0)
    except OSError:
        return None
    return path if status == 0 else None


class _Forked(Record):
    pid: int
    go: int
    failure: int
    # With `piped`: the read ends of stdout and stderr.
    outputs: tuple[int, ...]


class Command:
    """The command, one process at a time."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._ready: _Forked | None = None
        self._failure: int | None = None
        # True once it is known that the command was executed.
        self._executed = False
        # With `piped`: called for each process with the read ends of its stdout and stderr, its
        # pid and the additions to its environment.
        self.follow: Callable[[tuple[int, ...], int, Mapping[str, str]], None] | None = None
        self.pid: int | None = None

    def prepare(self) -> None:
        """Fork ahead of time. Raises OSError (EAGAIN, ENOMEM) if no process can be created."""
        if self._ready is None:
            self._ready = self._fork(self._launch.pass_fds)

    def start(self, additions: Mapping[str, str], inherited: tuple[int, ...] = ()) -> int:
        """Start the command, with these variables added and these descriptors inherited besides
        those of the launch; return its pid.

        Raises OSError if no process can be created.
        """
        if inherited:
            # A process that was forked ahead of time does not have them.
            self.discard()
            self._ready = self._fork((*self._launch.pass_fds, *inherited))
        message = b"".join(
            os.fsencode(name) + b"=" + _encoded(value) + b"\0" for name, value in additions.items()
        )
        while True:
            self.prepare()
            ready, self._ready = self._ready, None
            assert ready is not None  # noqa: S101 - prepare() has set it
            try:
                os.write(ready.go, message + _GO)
            except BrokenPipeError:
                # It was killed while it waited. The reaper will treat it as an orphan.
                _close(ready.failure, *ready.outputs)
                continue
            finally:
                os.close(ready.go)
            # It may have been stopped while it waited, which was not meant for the command.
            os.kill(ready.pid, signal.SIGCONT)
            self.pid, self._failure, self._executed = ready.pid, ready.failure, False
            if self.follow is not None:
                self.follow(ready.outputs, ready.pid, additions)
            return ready.pid

    def send(self, number: int, *, group: bool = False) -> None:
        """Send a signal to the command, or to its process group. Its pid can't have been reused:
        it is not reaped yet. Raises PermissionError if we may not signal it."""
        if self.pid is None:
            return
        self._wait_until_executed()
        with suppress(ProcessLookupError):
            if group:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)

    def _wait_until_executed(self) -> None:
        """Wait until the process has become the command. Before that it discards signals, since
        those that arrive while it waits are not meant for the command; it takes microseconds."""
        if not self._executed:
            self._look(_LONGEST_EXEC)
            self._executed = True

    def look_whether_executed(self) -> None:
        """Note whether the process has become the command by now; if so, a signal will not have to
        wait to find out."""
        self._executed = self._look(0)

    def _look(self, longest: float) -> bool:
        if self._failure is None:
            return True
        waiting = select.poll()
        # The write end closes at execve(2).
        waiting.register(self._failure, 0)
        return bool(waiting.poll(longest * 1000))

    def kill(self) -> None:
        """Kill its process group at once, even before it was executed; never waits."""
        if self.pid is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def reaped(self) -> str | None:
        """Forget the process, which was just reaped; return why it could not be executed."""
        self.pid = None
        descriptor, self._failure = self._failure, None
        if descriptor is None:
            return None
        # The write end closes at execve(2) and at exit, so this never waits.
        failure = os.read(descriptor, 4096)
        os.close(descriptor)
        if not failure:
            return None
        number = int(failure)
        why = _CAUSES.get(number, os.strerror(number))
        return f"{self._launch.path} can't be run: {why} ({errno.errorcode.get(number, number)})"

    def discard(self) -> None:
        """Kill a process that was forked ahead of time, and wait for its exit: no process of ours
        may outlive us, not even for a moment."""
        ready = self._ready
        if ready is not None:
            self._forget_ready()
            os.kill(ready.pid, signal.SIGKILL)
            os.waitpid(ready.pid, 0)

    def was_reaped(self, pid: int) -> None:
        """Note that an adopted process was reaped. If the one that was forked ahead of time was
        killed, its pid may have been reused by now."""
        if self._ready is not None and self._ready.pid == pid:
            self._forget_ready()

    def _forget_ready(self) -> None:
        ready, self._ready = self._ready, None
        if ready is not None:
            _close(ready.go, ready.failure, *ready.outputs)

    def _fork(self, passed: tuple[int, ...]) -> _Forked:
        parent = os.getpid()
        pipes: list[tuple[int, int]] = []
        try:
            # One by one: if descriptors run out, those already created are closed again.
            pipes.extend(os.pipe() for _ in range(4 if self._launch.piped else 2))
            with fork_guard.forking():
                pid = os.fork()
        except OSError:
            for pipe in pipes:
                _close(*pipe)
            raise
        (go_read, go_write), (failure_read, failure_write), *outputs = pipes
        written = tuple(write for _, write in outputs)
        if pid == 0:
            self._child(go_read, failure_write, parent, passed, written)
        _close(go_read, failure_write, *written)
        # The group must exist before any signal is sent to it, whoever runs first (setpgid(2)).
        with suppress(OSError):
            os.setpgid(pid, pid)
        return _Forked(pid, go_write, failure_read, tuple(read for read, _ in outputs))

    def _child(
        self, go: int, failure: int, parent: int, passed: tuple[int, ...], outputs: tuple[int, ...]
    ) -> NoReturn:
        """Wait for the go, then become the command. No exception may leave this function: it
        would run the parent's code in the child."""
        try:
            os.setpgid(0, 0)
            syscalls.set_parent_death_signal(self._launch.death_signal)
            if self._launch.core_limits is not None:
                limits.allow_core_dumps(self._launch.core_limits)
            for standard, output in enumerate(outputs, 1):
                os.dup2(output, standard)
            terminal = self._launch.terminal
            kept = {0, 1, 2, go, failure, *passed}
            # execve(2) closes the terminal, but until then it is needed.
            _close_all_but(kept | ({terminal.descriptor} if terminal is not None else set()))
            # If the parent died before the call above, no signal comes.
            if os.getppid() != parent:
                os._exit(0)
            _default_dispositions()
            if not self._launch.reads_stdin:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for descriptor in passed:
                os.set_inheritable(descriptor, True)
            environ = dict(self._launch.environ)
            arguments = list(self._launch.arguments)
            # Only here can the terminal be handed over.
            if self._launch.launcher is not None and terminal is None:
                self._become_launcher(self._launch.launcher, go, failure, parent)
            _rehearse(arguments, environ)
            environ.update(_read_additions(go))
            _discard_pending()
            # The death signal may have been among these.
            if os.getppid() != parent:
                os._exit(0)
            if terminal is not None:
                terminal.give_to(os.getpid())
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.execve(self._launch.path, arguments, environ)
        except OSError as error:
            os.write(failure, str(error.errno).encode())
            missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
            os._exit(NOT_FOUND if missing else NOT_EXECUTABLE)
        finally:
            os._exit(NOT_EXECUTABLE)  # execve(2) does not return: some other exception

    def _become_launcher(self, launcher: str, go: int, failure: int, parent: int) -> None:
        """Let the launcher wait instead; return if it can't (on a noexec mount, for example)."""
        for descriptor in (go, failure):
            os.set_inheritable(descriptor, True)
        numbers = (str(go), str(failure), str(parent))
        arguments = (_LAUNCHER, *numbers, self._launch.path, *self._launch.arguments)
        with suppress(OSError):
            os.execve(launcher, arguments, self._launch.environ)
        for descriptor in (go, failure):
            os.set_inheritable(descriptor, False)


def _rehearse(arguments: list[str], environ: dict[bytes, bytes]) -> None:
    """Do once, without effect, what comes after the go: each page that it touches must first be
    copied from the parent's, which takes longer than the work itself."""
    _additions(b"A=1\0" + _GO)
    with suppress(OSError):
        os.execve("", arguments, environ)  # noqa: S607 - a missing file, on purpose


def _encoded(text: str) -> bytes:
    """Encode in the locale's encoding, or as UTF-8 if that lacks a character: the name of another
    leader may contain any."""
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        return text.encode(errors="surrogateescape")


def _read_additions(go: int) -> dict[bytes, bytes]:
    message = b""
    while part := os.read(go, 65536):
        message += part
    if not message.endswith(_GO):
        os._exit(0)
    return _additions(message)


def _additions(message: bytes) -> dict[bytes, bytes]:
    return _pairs(message.removesuffix(_GO).split(b"\0"))


def _pairs(entries: Iterable[bytes]) -> dict[bytes, bytes]:
    pairs = (entry.partition(b"=") for entry in entries if entry)
    return {name: value for name, _, value in pairs}


def _discard_pending() -> None:
    """Discard the pending signals, which arrived before there was a command to receive them:
    ignoring a signal discards it (sigaction(2))."""
    for number in signal.sigpending():
        before = signal.getsignal(number)
        signal.signal(number, signal.SIG_IGN)
        signal.signal(number, before)


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _close_all_but(kept: set[int]) -> None:
    try:
        descriptors = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        descriptors = list(range(3, 1024))
    for descriptor in descriptors:
        if descriptor not in kept:
            with suppress(OSError):
                os.close(descriptor)


def _default_dispositions() -> None:
    """Reset what Python ignores (SIGPIPE, SIGXFSZ) and what we inherited, except what our parent
    wanted the command to ignore, too."""
    kept = {signal.SIGKILL, signal.SIGSTOP, *inherited_ignored()}
    for number in signal.valid_signals():
        if number in kept:
            continue
        if signal.getsignal(number) is not signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
