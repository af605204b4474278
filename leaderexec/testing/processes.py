"""Real processes: the installed program, its log and output, and conditions instead of sleeps."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

BIN = Path(sys.executable).parent
LEADEREXEC = str(BIN / "leaderexec")
PATIENCE = 60.0
MARK = "TEST_OF_LEADEREXEC"

_T = TypeVar("_T")


def wait_for(
    condition: Callable[[], _T], what: str | Callable[[], str] = "", patience: float = PATIENCE
) -> _T:
    """Return the condition's first true value; fail with `what` it is if that does not become true
    in time."""
    began = time.monotonic()
    give_up = began + patience
    while True:
        if value := condition():
            return value
        asked = time.monotonic()
        if asked > give_up:
            waited_for = what() if callable(what) else what or condition
            raise AssertionError(f"did not come true within {patience}s: {waited_for}")
        # A limited wait for a condition, not a guess how long something takes. A condition that is
        # costly to check is checked less often, to leave the CPU to what it waits for.
        select.select([], [], [], min(max(0.005, 2 * (asked - began)), 0.1))
        began = time.monotonic()


def alive(pid: int) -> bool:
    """Return whether a process is running; a zombie is not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def marked(mark: str) -> Iterator[int]:
    """Yield the processes with this test's mark in their environment."""
    wanted = f"{MARK}={mark}".encode()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            # Every test looks at every process, and this is the cheapest way.
            with open(f"/proc/{name}/environ", "rb", buffering=0) as environment:
                variables = environment.read().split(b"\0")
        except OSError:
            continue
        if wanted in variables and alive(int(name)):
            yield int(name)


def command_line(pid: int) -> str:
    """Return the process's command line, for messages."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return f"pid {pid}"


class _Reader(threading.Thread):
    """Reads a pipe, line by line."""

    def __init__(self, pipe: IO[str] | None, take: Callable[[str], None]) -> None:
        super().__init__(daemon=True)
        assert pipe is not None
        self._descriptor = pipe.fileno()
        self._take = take
        self._turn = threading.Lock()

    def run(self) -> None:
        """Read to the end."""
        rest, part = b"", b"."
        while part:
            select.select([self._descriptor], [], [])
            with self._turn:
                part = os.read(self._descriptor, 65536)
                *lines, rest = (rest + part).split(b"\n")
                if rest and not part:
                    lines.append(rest)
                for line in lines:
                    self._take(line.removesuffix(b"\r").decode(errors="replace"))

    def catch_up(self) -> None:
        """Wait until everything was read that is in the pipe now. It may stay open: by a process
        that was left behind, for example."""
        while self.is_alive() and select.select([self._descriptor], [], [], 0)[0]:
            time.sleep(0.002)
        with self._turn:
            pass


class Wrapper:
    """A running leaderexec, whose log is read as it is written."""

    def __init__(
        self,
        arguments: Sequence[str],
        environ: Mapping[str, str],
        prefix: Sequence[str] = (),
        program: Sequence[str] = (LEADEREXEC,),
        **options: Any,
    ) -> None:
        self.environ = dict(environ)
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        self.process = subprocess.Popen(
            [*prefix, *program, *arguments],
            env=dict(environ),
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        self.lines: list[dict[str, Any]] = []
        self.plain: list[str] = []
        self.out: list[str] = []
        self._readers = [_Reader(self.process.stderr, self._take_log)]
        if self.process.stdout is not None:
            self._readers.append(_Reader(self.process.stdout, self.out.append))
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """The wrapper's pid (its parent's, behind a prefix)."""
        return self.process.pid

    def _take_log(self, line: str) -> None:
        try:
            self.lines.append(json.loads(line))
        except ValueError:
            self.plain.append(f"{line}\n")

    def events(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """Return the log lines with this event and these fields."""
        return [
            line
            for line in list(self.lines)
            if line["event"] == event
            and all(line.get(name.rstrip("_")) == value for name, value in fields.items())
        ]

    def log(self, event: str, count: int = 1, **fields: object) -> dict[str, Any]:
        """Wait until such a line was logged `count` times; return the last one."""
        found = wait_for(
            lambda: len(self.events(event, **fields)) >= count and self.events(event, **fields),
            lambda: f"log line {event!r} {fields}, got {self.lines} {self.plain}",
        )
        assert found
        return found[count - 1]

    def output(self, line: str, count: int = 1) -> None:
        """Wait until the command has printed this line `count` times."""
        wait_for(lambda: self.out.count(line) >= count, lambda: f"output {line!r}, got {self.out}")

    def command_pid(self, term: int = 1) -> int:
        """Wait for the command's start in a term; return its pid."""
        pid = self.log("command started", term=term)["pid"]
        assert isinstance(pid, int)
        return pid

    def send(self, number: int) -> None:
        """Signal the wrapper."""
        self.process.send_signal(number)

    def wait(self, patience: float = PATIENCE) -> int:
        """Wait for the exit, and until what was written before it was read; return the exit code as
        in a shell."""
        code = self.process.wait(patience)
        for reader in self._readers:
            reader.catch_up()
        return code if code >= 0 else 128 - code

    def close(self) -> None:
        """End it as its users would, and kill it if that fails."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def join(self) -> None:
        """Wait until all of its output was read; its tree must have exited."""
        for reader in self._readers:
            reader.join(PATIENCE)
            assert not reader.is_alive(), "a process still has the wrapper's output open"
        for pipe in (self.process.stdin, self.process.stderr, self.process.stdout):
            if pipe is not None:
                pipe.close()


def end_leftovers(mark: str) -> list[str]:
    """Kill whatever still has the mark; return what it was."""
    left = {pid: command_line(pid) for pid in marked(mark)}
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if left:
        wait_for(lambda: not list(marked(mark)), "leftovers to end")
    return list(left.values())


@contextmanager
def clean_environment() -> Iterator[dict[str, str]]:
    """Provide an environment without our variables, with a mark that identifies leftovers. A
    process that is left at the end is killed, and raises AssertionError."""
    mark = uuid.uuid4().hex
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LEADEREXEC", "ELECTOR_", "NO_COLOR"))
    }
    clean[MARK] = mark
    # What is tested is what happens, not how long it takes.
    clean["LEADEREXEC_TAKEOVER_DELAY"] = "0s"
    # A socket's path has to be short (unix(7)), and a test's own directory's is not.
    with tempfile.TemporaryDirectory(prefix="lx") as runtime:
        clean["XDG_RUNTIME_DIR"] = runtime
        yield clean
        assert not end_leftovers(mark), "processes were left running"


@contextmanager
def wrappers(environ: Mapping[str, str]) -> Iterator[Callable[..., Wrapper]]:
    """Provide a function that starts leaderexec with the given arguments (`env`: more variables);
    end everything it started. What is left then raises AssertionError."""
    started: list[Wrapper] = []

    def start(*arguments: str, env: Mapping[str, str] | None = None, **options: Any) -> Wrapper:
        wrapper = Wrapper(
            ["--log-format", "json", "--log-level", "debug", *arguments],
            {**environ, **(env or {})},
            **options,
        )
        started.append(wrapper)
        return wrapper

    yield start
    for wrapper in started:
        wrapper.close()
    left = end_leftovers(environ[MARK])
    for wrapper in started:
        wrapper.join()
    assert not left, "processes were left running"


def run_to_its_end(
    environ: Mapping[str, str], *arguments: str, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a command until it exits, for a limited time; return its output and exit code."""
    options.setdefault("env", environ)
    options.setdefault("timeout", 30)
    return subprocess.run(arguments, capture_output=True, text=True, check=False, **options)
