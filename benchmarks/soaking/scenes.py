"""What runs for a long time: replicas with nothing to do, and replicas between which leadership moves
every second. Nothing here judges."""

import json
import os
import random
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection
from pathlib import Path

import psutil
from election_servers import an_election
from etcd_cluster import free_ports
from soaking.sampling import Sample, taken

_PATIENCE = 60.0
_NAMES = ("a", "b", "c")
_WORK = ("sh", "-c", "printf 'at work: %s\\n' 1 2 3 4 5 6 7 8 9; exec sleep 1000000")
_PATHS = ("livez", "leader", "status", "metrics")
# What a replica ends with that is ordered to stop: on standby, and with the command as TERM ended it.
_STOPPED = (0, 128 + signal.SIGTERM)


class Drain(threading.Thread):
    """Reads whatever the processes write, so that nobody waits for a reader, and counts it."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.events: Counter[str] = Counter()
        self.octets: Counter[str] = Counter()
        self.closed: list[str] = []
        self._selector = selectors.DefaultSelector()
        self._rests: dict[int, bytes] = {}
        self._over = os.eventfd(0)
        self._selector.register(self._over, selectors.EVENT_READ)

    def add(self, descriptor: int, name: str, *, is_log: bool) -> None:
        """Read this too; the lines of a log are counted by their event."""
        if is_log:
            self._rests[descriptor] = b""
        self._selector.register(descriptor, selectors.EVENT_READ, name)

    def end(self) -> None:
        """Read what has been written, and no more: what is read from may be closed."""
        os.eventfd_write(self._over, 1)
        self.join()
        self._selector.close()
        os.close(self._over)

    def run(self) -> None:
        """Read, to the end."""
        while True:
            # What is added meanwhile is seen within a second.
            ready = [key for key, _ in self._selector.select(1.0)]
            if [key.fd for key in ready] == [self._over]:
                return
            for key in ready:
                if key.fd == self._over:
                    continue
                try:
                    chunk = os.read(key.fd, 65536)
                except ConnectionResetError:
                    # A replica that exits while a follower of its /events has something to read.
                    chunk = b""
                self.octets[key.data] += len(chunk)
                if not chunk:
                    self._selector.unregister(key.fd)
                    self.closed.append(key.data)
                elif key.fd in self._rests:
                    *lines, rest = (self._rests[key.fd] + chunk).split(b"\n")
                    self._rests[key.fd] = rest
                    self.events.update(map(_event, lines))


def _event(line: bytes) -> str:
    try:
        told = json.loads(line)
        return f"{told['level']}: {told['event']}"
    except (ValueError, KeyError, TypeError):
        return f"no line of ours: {line.decode(errors='replace')}"


class Scene:
    """Processes that run at the same time, each with a name."""

    def __init__(self, name: str, program: str, folder: Path, stack: ExitStack) -> None:
        self.name = name
        self.moves = 0
        self.drain = Drain()
        self._program = program
        self._folder = folder
        self._stack = stack
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.drain.start()

    def step(self) -> None:
        """Do what is done every second."""

    def told(self) -> str:
        """Say what has happened, in numbers."""
        return f"{len(self._processes)} processes"

    def ended(self) -> list[str]:
        """Return who has ended, and who was not served to the end: before we close, none should."""
        ended = [name for name, process in self._processes.items() if process.poll() is not None]
        return [f"{self.name}, {name} has ended" for name in ended + self.drain.closed]

    def sample(self, at: float) -> list[Sample]:
        """Sample all processes. Raises OSError if one has ended."""
        return [
            taken(self.name, name, at, process.pid, self.drain.octets[name], self.moves)
            for name, process in self._processes.items()
        ]

    def close(self) -> list[str]:
        """Order all to stop; return what was wrong with how they ended."""
        wrong = []
        for name, process in reversed(self._processes.items()):
            below = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGINT if name == "follower" else signal.SIGTERM)
            code = process.wait(_PATIENCE)
            # The others may die of the signal, if it comes early.
            if code not in _STOPPED and name not in ("follower", "elector", "elector 2"):
                wrong.append(f"{self.name}, {name} ended with {code}")
            left = psutil.wait_procs(below, _PATIENCE)[1]
            wrong += [f"{self.name}, {name} has left {one} behind" for one in left]
        self.drain.end()
        return wrong

    def _elector(self, name: str, *candidates: str) -> str:
        """Start a development elector; return its URL."""
        process = self._spawn(
            name,
            (str(Path(sys.executable).with_name("leaderexec-elector")), "--no-keyboard"),
            ("--listen", "127.0.0.1:0", *candidates),
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            line += os.read(process.stdout.fileno(), 1)
        self.drain.add(process.stdout.fileno(), name, is_log=False)
        return line.decode().split()[3]

    def _replica(self, name: str, identity: str, *words: str) -> None:
        process = self._spawn(
            name,
            (self._program, "--identity", identity, "--log-format", "json"),
            (*words, "--", *_WORK),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            self.drain.add(pipe.fileno(), name, is_log=pipe is process.stderr)

    def _spawn(
        self,
        name: str,
        *words: Sequence[str],
        stdout: int = subprocess.DEVNULL,
        stderr: int = subprocess.DEVNULL,
    ) -> "subprocess.Popen[bytes]":
        clean = {
            key: text
            for key, text in os.environ.items()
            if not key.startswith(("LEADEREXEC", "ELECTOR_"))
        }
        process = subprocess.Popen(
            [word for part in words for word in part],
            # Separate from other leaderexecs on this machine.
            env=clean | {"XDG_RUNTIME_DIR": str(self._folder)},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
        self._processes[name] = process
        self._stack.callback(_end, process)
        return process


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End what is still there, as after an error."""
    if process.poll() is None:
        with suppress(psutil.Error):
            for one in psutil.Process(process.pid).children(recursive=True):
                one.kill()
        process.kill()
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


class Idle(Scene):
    """A leader and a standby with nothing to do, at the defaults: with an elector, a Lease (in a
    double of the API server), and etcd if it is installed."""

    def __init__(self, program: str, folder: Path, stack: ExitStack) -> None:
        super().__init__("idle", program, folder, stack)
        url = self._elector("elector", "a", "b")
        for role, identity in (("leader", "a"), ("standby", "b")):
            self._replica(f"elector, {role}", identity, "--get-url", url)
        for kind in ("lease", "etcd") if shutil.which("etcd") else ("lease",):
            election = an_election(kind, folder, stack)
            for role, identity in (("leader", "a"), ("standby", "b")):
                self._replica(f"{kind}, {role}", identity, *election.words)
                if role == "leader":
                    self._until_it_leads(f"{kind}, leader")

    def _until_it_leads(self, name: str) -> None:
        give_up = time.monotonic() + _PATIENCE
        while not psutil.Process(self._processes[name].pid).children():
            if time.monotonic() > give_up:
                raise TimeoutError(f"{name} does not lead")
            time.sleep(0.1)


class Moving(Scene):
    """Three plain replicas, and three with whatever does something at a move or for who watches:
    every second leadership of both moves."""

    def __init__(self, program: str, folder: Path, stack: ExitStack, seed: int) -> None:
        super().__init__("moves", program, folder, stack)
        self._chance = random.Random(seed)
        self._answers: Counter[str] = Counter()
        self._leader = _NAMES[0]
        self._urls = [self._elector("elector", *_NAMES), self._elector("elector 2", *_NAMES)]
        self._ports = free_ports(len(_NAMES))
        plain = ("--takeover-delay", "0s", "--get-url")
        for name in _NAMES:
            self._replica(f"plain, {name}", name, *plain, self._urls[0])
        for name, port in zip(_NAMES, self._ports, strict=True):
            self._replica(
                f"all options, {name}",
                name,
                *(*plain, self._urls[1], "--http", f"127.0.0.1:{port}", "--child-logs", "json"),
                *("--on-start", "true", "--on-stop", "true", "--on-change", "true"),
                *("--health-http", self._urls[1], "--health-cmd", "true"),
                *("--health-interval", "300ms", "--show-command"),
            )
        self._followers = [self._follow(name, port) for name, port in self._numbered()]
        watched = ("--status", "--watch", "--http", f"127.0.0.1:{self._ports[0]}")
        follower = self._spawn("follower", (program, *watched), stdout=subprocess.PIPE)
        assert follower.stdout is not None
        self.drain.add(follower.stdout.fileno(), "follower", is_log=False)

    def told(self) -> str:
        """Say how often leadership was moved, and what the queries were answered: /leader is 503 on
        standby, and /livez may be on a machine that is too busy to turn the main loop in time."""
        answers = ", ".join(f"{count} x {one}" for one, count in sorted(self._answers.items()))
        moved = f"leadership of both elections moved {self.moves} times"
        return f"{super().told()}, {moved}; answers: {answers}"

    def _numbered(self) -> list[tuple[str, int]]:
        return list(zip(_NAMES, self._ports, strict=True))

    def _follow(self, name: str, port: int) -> socket.socket:
        """Follow a replica as its page does."""
        give_up = time.monotonic() + _PATIENCE
        while True:
            with suppress(ConnectionRefusedError):
                follower = socket.create_connection(("127.0.0.1", port))
                break
            if time.monotonic() > give_up:
                raise TimeoutError(f"{name} does not listen")
            time.sleep(0.1)
        self._stack.callback(follower.close)
        follower.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.drain.add(follower.fileno(), f"/events of {name}", is_log=False)
        return follower

    def step(self) -> None:
        """Move leadership of both elections, and query one of the three that answer. Raises OSError
        if it does not."""
        self._leader = self._chance.choice([name for name in _NAMES if name != self._leader])
        for url in self._urls:
            request = urllib.request.Request(f"{url}dev/leader/{self._leader}", method="POST")  # noqa: S310
            urllib.request.urlopen(request, timeout=_PATIENCE).close()  # noqa: S310 - our own
        self.moves += 1
        for path in _PATHS:
            self._ask(self._ports[self.moves % len(self._ports)], path)

    def _ask(self, port: int, path: str) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
        with closing(connection):
            connection.request("GET", f"/{path}")
            answer = connection.getresponse()
            answer.read()
            self._answers[f"{path}: {answer.status}"] += 1
