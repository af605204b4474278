"""The servers of elections, and what they have had to do so far."""

import http.client
import re
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil
from etcd_cluster import Etcd as EtcdServers
from kubernetes.cluster import ADMIN, LEASES, Cluster
from postgresql import PostgreSQL as PostgreSQLServer
from redis_server import Redis as RedisServer


class Load(NamedTuple):
    """CPU time in seconds and requests since the start, connections now."""

    busy: float
    requests: int
    connections: int


class Engine(ABC):
    """A server, in this process's care."""

    # Options of leaderexec that select it.
    words: tuple[str, ...]
    # Whether leadership is moved by the server, and not by the replicas.
    names_leaders = False

    @abstractmethod
    def requests(self) -> int:
        """Return how many requests it has had."""

    @abstractmethod
    def connections(self) -> int:
        """Return how many connections it has."""

    @abstractmethod
    def processes(self) -> list[int]:
        """Return the pids of its first processes."""

    def lead(self, name: str) -> None:
        """Name the leader."""
        raise NotImplementedError(name)

    def load(self) -> Load:
        """Return what it has had to do so far."""
        busy = 0
        for pid in self.processes():
            for one in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
                with suppress(psutil.NoSuchProcess, FileNotFoundError):
                    for thread in Path(f"/proc/{one.pid}/task").iterdir():
                        busy += int((thread / "schedstat").read_text().split()[0])
        return Load(busy / 1e9, self.requests(), self.connections())


def connections_to(*ports: int) -> int:
    """Return how many connections to these ports of this machine are established."""
    lines = (
        Path("/proc/net/tcp").read_text().splitlines()
        + Path("/proc/net/tcp6").read_text().splitlines()
    )
    wanted = {f"{port:04X}" for port in ports}
    established = (line.split() for line in lines if line.split()[3] == "01")
    return sum(line[1].rpartition(":")[2] in wanted for line in established)


class Etcd(Engine):
    """Three members."""

    def __init__(self, servers: EtcdServers) -> None:
        self._servers = servers
        self.words = ("--etcd", servers.urls, "--etcd-key", "leaderexec/crowd")

    def requests(self) -> int:
        """Return the gateways' requests, by the members' own count."""
        members = self._servers.members
        started = "grpc_server_started_total"
        return sum(self._servers.count(started, member=member) for member in members)

    def connections(self) -> int:
        """Return those of clients."""
        return connections_to(*(member.port for member in self._servers.members))

    def processes(self) -> list[int]:
        """Return all members."""
        return [member.process.pid for member in self._servers.members if member.process]


class Redis(Engine):
    """One server."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        server.free("crowd")
        self.words = ("--redis", server.url, "--redis-key", "crowd")

    def requests(self) -> int:
        """Return its count of commands."""
        found = re.search(r"total_commands_processed:(\d+)", self._server.ask("INFO", "stats"))
        assert found is not None
        return int(found[1])

    def connections(self) -> int:
        """Return its clients."""
        return connections_to(self._server.port)

    def processes(self) -> list[int]:
        """Return the one."""
        assert self._server.process is not None
        return [self._server.process.pid]


class PostgreSQL(Engine):
    """One server, with as many connections as it takes."""

    def __init__(self, server: PostgreSQLServer) -> None:
        self._server = server
        self.words = ("--postgres", server.url, "--postgres-name", "crowd")

    def requests(self) -> int:
        """Return its count of transactions."""
        sql = "SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database"
        return int(self._server.value(sql))

    def connections(self) -> int:
        """Return its sessions."""
        return int(self._server.value("SELECT sum(numbackends) FROM pg_stat_database"))

    def processes(self) -> list[int]:
        """Return the postmaster, of which all others are children."""
        first = Path(self._server.folder, "data/postmaster.pid").read_text().split()[0]
        return [int(first)]


class ApiServer(Engine):
    """A kube-apiserver; its etcd counts as a part of it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        metadata = {"name": "crowd"}
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
        cluster.ask("POST", LEASES, lease)
        self.words = ("--lease", "crowd", "--kubeconfig", cluster.kubeconfig(ADMIN))

    def requests(self) -> int:
        """Return the lines of its audit log about Leases: one for each request."""
        return sum(b"/leases" in line for line in self._cluster.audit_log.open("rb"))

    def connections(self) -> int:
        """Return those to its port, a few of its own among them."""
        return connections_to(self._cluster.port)

    def processes(self) -> list[int]:
        """Return both programs."""
        wanted = {str(self._cluster.port), str(self._cluster._etcd_port)}  # noqa: SLF001 - ours
        return [
            one.pid
            for one in psutil.Process().children()
            if any(port in word for word in one.cmdline() for port in wanted)
        ]


class Elector(Engine):
    """The development elector."""

    names_leaders = True

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        assert process.stdout is not None
        found = re.search(r"http://127.0.0.1:(\d+)/", process.stdout.readline())
        assert found is not None
        self._port = int(found[1])
        self.words = ("--get-url", found[0], "--takeover-delay", "0s")

    def requests(self) -> int:
        """Return its count of subscriptions and polls."""
        state = self._ask("GET", "state")
        return sum(int(number) for number in re.findall(r'"(?:gets|connects)": *(\d+)', state))

    def connections(self) -> int:
        """Return those to its port."""
        return connections_to(self._port)

    def processes(self) -> list[int]:
        """Return the one."""
        return [self._process.pid]

    def lead(self, name: str) -> None:
        """Name the leader."""
        self._ask("POST", f"leader/{name}")

    def _ask(self, method: str, path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        connection.request(method, f"/dev/{path}")
        text = connection.getresponse().read().decode()
        connection.close()
        return text


@contextmanager
def running(kind: str, folder: Path, replicas: int, apiserver: str) -> Iterator[Engine]:
    """Run the server of this kind, large enough for this many replicas."""
    if kind == "etcd":
        with EtcdServers(folder / "etcd", size=3) as etcd:
            yield Etcd(etcd)
    elif kind == "redis":
        with RedisServer(folder / "redis") as redis:
            yield Redis(redis)
    elif kind == "postgres":
        with PostgreSQLServer(f"max_connections={2 * replicas + 20}") as postgres:
            yield PostgreSQL(postgres)
    elif kind == "lease":
        with Cluster(apiserver, folder) as cluster:
            yield ApiServer(cluster)
    else:
        words = (sys.executable, "-m", "leaderexec_elector", "--listen", "127.0.0.1:0", "nobody")
        with subprocess.Popen(
            words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        ) as elector:
            try:
                yield Elector(elector)
            finally:
                elector.terminate()
