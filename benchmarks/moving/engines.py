"""The servers of elections: how a candidate finds them, and what can be done to them."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from etcd_cluster import Etcd as EtcdServers
from etcd_cluster import free_ports
from kubernetes.cluster import ADMIN, LEASES, Cluster
from moving.network import API_ADDRESS
from postgresql import PostgreSQL
from redis_server import Redis as RedisServer
from server import ZooKeeper as ZooKeeperServer


class Engine(ABC):
    """A server on this side of the candidates' wires, for any number of elections."""

    @abstractmethod
    def options(self, election: str) -> list[str]:
        """Return leaderexec's options for it."""

    def prepare(self, election: str) -> None:
        """Prepare an election that no replica leads."""
        del election

    def end(self, election: str) -> float | None:
        """Return when leadership expires if it is not renewed (CLOCK_MONOTONIC); None if that
        can't be known."""
        del election
        return None

    def delete(self, election: str) -> None:
        """Take leadership away by hand."""
        raise NotImplementedError(election)

    def stop(self) -> None:
        """Become unreachable."""
        raise NotImplementedError

    def start(self) -> None:
        """Be reachable again, with the data on disk."""
        raise NotImplementedError


class Lease(Engine):
    """A kube-apiserver."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._kubeconfig = cluster.kubeconfig(ADMIN)

    def options(self, election: str) -> list[str]:
        """Return a kubeconfig."""
        return [f"--lease={election}", f"--kubeconfig={self._kubeconfig}"]

    def prepare(self, election: str) -> None:
        """Create the Lease, empty."""
        empty = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": election},
        }
        self.cluster.ask("POST", LEASES, empty)

    def end(self, election: str) -> float | None:
        """Return it from the holder's last renewal."""
        spec = self.cluster.ask("GET", f"{LEASES}/{election}")[1]["spec"]
        renewed = datetime.fromisoformat(spec["renewTime"]).timestamp()
        since: float = renewed - time.time() + time.monotonic()
        return since + float(spec["leaseDurationSeconds"])

    def delete(self, election: str) -> None:
        """Delete the Lease."""
        self.cluster.ask("DELETE", f"{LEASES}/{election}")


class Etcd(Engine):
    """One etcd."""

    def __init__(self, folder: Path) -> None:
        self._servers = EtcdServers(folder, address=API_ADDRESS)
        self._servers.__enter__()

    def options(self, election: str) -> list[str]:
        """Return its address."""
        port = self._servers.members[0].port
        return [f"--etcd=http://{API_ADDRESS}:{port}", f"--etcd-key={election}"]

    def delete(self, election: str) -> None:
        """Delete the oldest key."""
        self._servers.delete(self._servers.queue(election)[0][0])

    def stop(self) -> None:
        """Kill it."""
        self._servers.members[0].kill()

    def start(self) -> None:
        """Start it again."""
        self._servers.members[0].start()
        self._servers.ready()


class Redis(Engine):
    """A Redis server, which keeps its data on disk."""

    def __init__(self, folder: Path) -> None:
        listens = ("--bind", "127.0.0.1", API_ADDRESS, "--protected-mode", "no")
        self._server = RedisServer(folder, *listens, keeps=True)
        self._server.start()

    def options(self, election: str) -> list[str]:
        """Return its address."""
        return [f"--redis=redis://{API_ADDRESS}:{self._server.port}", f"--redis-key={election}"]

    def prepare(self, election: str) -> None:
        """Record that no replica leads."""
        self._server.free(election)

    def delete(self, election: str) -> None:
        """Delete the key."""
        self._server.ask("DEL", election)

    def stop(self) -> None:
        """Kill it."""
        self._server.kill()

    def start(self) -> None:
        """Start it again."""
        self._server.start()


class Postgres(Engine):
    """A PostgreSQL server."""

    def __init__(self, server: PostgreSQL, port: int) -> None:
        self._server = server
        self._port = port
        server.allow("local all all trust", "host all all all trust")

    def options(self, election: str) -> list[str]:
        """Return its address."""
        url = f"postgresql://postgres@{API_ADDRESS}:{self._port}/postgres"
        return [f"--postgres={url}", f"--postgres-name={election}"]

    def stop(self) -> None:
        """Stop it, along with its sessions."""
        self._server.stop()

    def start(self) -> None:
        """Start it again."""
        self._server.start()


class ZooKeeper(Engine):
    """One ZooKeeper, for the plug-in in examples/plugin."""

    def __init__(self, folder: Path) -> None:
        self._server = ZooKeeperServer(folder, host=API_ADDRESS)
        self._server.start()

    def options(self, election: str) -> list[str]:
        """By its address."""
        return [f"--zookeeper={self._server.address}", f"--zookeeper-path=/leaderexec/{election}"]

    def stop(self) -> None:
        """Kill it."""
        self._server.kill()

    def start(self) -> None:
        """Start it again."""
        self._server.start()


_OF_ONE_FOLDER: dict[str, Callable[[Path], Engine]] = {
    "etcd": Etcd,
    "redis": Redis,
    "zookeeper": ZooKeeper,
}
NAMES = ("postgres", *_OF_ONE_FOLDER)


@contextmanager
def running(name: str, folder: Path) -> Iterator[Engine]:
    """Run one of these; the API server is run by the caller, which has its program."""
    folder.mkdir()
    if name == "postgres":
        listens = (f"listen_addresses={API_ADDRESS}", "max_connections=300", "fsync=off")
        (port,) = free_ports(1)
        with PostgreSQL(*listens, port=port) as server:
            yield Postgres(server, port)
        return
    engine = _OF_ONE_FOLDER[name](folder / name)
    try:
        yield engine
    finally:
        engine.stop()
