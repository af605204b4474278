"""The candidates for a Lease: leaderexec with a command, and one with client-go."""

import os
import subprocess
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, ClassVar

from kubernetes.cluster import ADMIN, Cluster
from moving.engines import Engine, Lease
from moving.network import Host

from leaderexec.control import client


@dataclass(frozen=True)
class Times:
    """A Lease's times in seconds, and how long the command has to stop after a loss."""

    duration: float
    deadline: float
    period: float
    grace_lost: float

    def __str__(self) -> str:
        return f"{self.duration:g}/{self.deadline:g}/{self.period:g}"

    @property
    def options(self) -> list[str]:
        """Return the Lease's times as options, which leaderexec and the rival both accept."""
        return [
            f"--lease-duration={self.duration:g}s",
            f"--renew-deadline={self.deadline:g}s",
            f"--retry-period={self.period:g}s",
        ]


@dataclass(frozen=True)
class Site:
    """What all candidates share: the programs, the election's server, and a folder for files."""

    leaderexec: str
    rival: str
    worker: str
    wall: str
    engine: Engine
    folder: Path

    @property
    def cluster(self) -> Cluster:
        """Return the API server, if the election is held there."""
        assert isinstance(self.engine, Lease)
        return self.engine.cluster


@dataclass
class Candidate(ABC):
    """A process that competes, on its own host, and that can be started again and again."""

    site: Site
    host: Host
    lease: str
    name: str
    times: Times
    # A command in front of this candidate's, and variables for its environment.
    prefix: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    # Whether it works, and writes the journal of its Lease.
    works: bool = True
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def journal(self) -> Path:
        """Return the file with the lives of all workers of this Lease."""
        return self.site.folder / f"{self.lease}.journal"

    @property
    def log(self) -> Path:
        """Return its log since its last start."""
        return self.site.folder / f"{self.lease}-{self.name}.log"

    def start(self) -> None:
        """Start it."""
        with self.log.open("wb") as log:
            self._spawn(log)

    def _spawn(self, log: IO[bytes] | int) -> None:
        # Without ours, and without a path to another leaderexec than the one that is measured.
        alien = ("LEADEREXEC", "PYTHONPATH")
        clean = {name: text for name, text in os.environ.items() if not name.startswith(alien)}
        self.process = subprocess.Popen(
            [*self.host.prefix, *self.prefix, *self._command()],
            env=clean | self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )

    @abstractmethod
    def _command(self) -> list[str]: ...

    @abstractmethod
    def is_ready(self) -> bool:
        """Return whether it competes, and knows the Lease."""

    def ends_when_cut_off(self) -> bool:
        """Return whether its process exits along with its leadership."""
        return False

    def close(self) -> None:
        """Stop it."""
        with suppress(AttributeError):
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Ours(Candidate):
    """leaderexec with the worker as its command."""

    # More words for the worker.
    manner: ClassVar[tuple[str, ...]] = ()

    @property
    def control_socket(self) -> str:
        """Return the path of its control socket."""
        return str(self.site.folder / f"{self.lease}-{self.name}.sock")

    def _command(self) -> list[str]:
        store = str(self.site.folder / f"{self.lease}.store")
        work = [self.site.worker, str(self.journal), store, *self.manner]
        work = work if self.works else ["sleep", "inf"]
        return [
            *(self.site.leaderexec, "--log-format=json", *self.site.engine.options(self.lease)),
            *(f"--identity={self.name}", f"--control-socket={self.control_socket}"),
            *(*self.times.options, f"--grace-lost={self.times.grace_lost:g}s", "--", *work),
        ]

    def is_ready(self) -> bool:
        """Return whether it knows who leads."""
        return any(wrapper.confirmed for wrapper in client.running({}, self.control_socket))


class ClientGo(Candidate):
    """client-go's leaderelection, with its work in the same process."""

    def _command(self) -> list[str]:
        cluster = self.site.cluster
        return [
            *(self.site.rival, "--server", cluster.url, "--token", ADMIN),
            *("--ca", cluster.authority, "--lease", self.lease, "--identity", self.name),
            *(*self.times.options, *(("--journal", str(self.journal)) if self.works else ())),
        ]

    def ends_when_cut_off(self) -> bool:
        """Return True, as for all components."""
        return True

    def is_ready(self) -> bool:
        """Return whether it has begun to compete."""
        return b"ttempting to acquire" in self.log.read_bytes()
