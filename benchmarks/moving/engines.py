"""The servers of elections: how a candidate finds them, and what can be done to them."""

import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path

from etcd_cluster import Etcd as EtcdServers
from etcd_cluster import free_ports
from kubernetes.cluster import ADMIN, LEASES, Cluster
from moving.network import API_ADDRESS
from postgresql import PostgreSQL
from redis_server import Redis as RedisServer
from server import ZooKeeper as ZooKeeperServer
from support import PATIENCE, wait_for


class Clock:
    """The wall clock of some programs, which differs from the machine's. `wall`: what wall.c was
    compiled to; "" leaves it the machine's."""

    def __init__(self, wall: str = "", file: Path = Path()) -> None:
        self._file = file
        self._ahead = 0
        self.prefix: tuple[str, ...] = ()
        if wall:
            set_clock(file, 0)
            self.prefix = ("env", f"LD_PRELOAD={wall}", f"WALL_CLOCK={file}")

    def jump(self, seconds: int) -> None:
        """Set it forward, or back."""
        self._ahead += seconds
        set_clock(self._file, self._ahead)


def set_clock(file: Path, ahead: int) -> None:
    """Set a wall clock off the machine's by so many seconds."""
    new = file.with_suffix(".new")
    new.write_text(f"{ahead:+d}\n")
    new.replace(file)


class Engine(ABC):
    """A server on this side of the candidates' wires, for any number of elections."""

    # Where it listens, and how it is spoken to: "http", "redis" or "postgres".
    ports: tuple[int, ...] = ()
    speaks = "http"
    # How it proves who it is.
    certificate: ssl.SSLContext | None = None
    clock = Clock()
    # By how many seconds its clock may be set back without keeping anyone from leading.
    sets_back = 3600

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

    def master(self) -> int:
        """Return which of several servers decides; 0 if it is not known, or cannot change."""
        return 0

    def stop(self) -> None:
        """Become unreachable."""
        raise NotImplementedError

    def start(self) -> None:
        """Be reachable again, with the data on disk."""
        raise NotImplementedError

    def freeze(self) -> None:
        """Hang, with all connections open."""
        raise NotImplementedError

    def thaw(self) -> None:
        """Go on."""
        raise NotImplementedError

    def close(self) -> None:
        """End for good."""
        self.stop()


class Lease(Engine):
    """A kube-apiserver."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.ports = (cluster.port,)
        self.certificate = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.certificate.load_cert_chain(cluster.authority, cluster.authority_key)
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

    def stop(self) -> None:
        """Kill the API server."""
        self.cluster.stop()

    def start(self) -> None:
        """Start it again."""
        self.cluster.start()

    def freeze(self) -> None:
        """Stop it in its tracks."""
        self.cluster.freeze()

    def thaw(self) -> None:
        """Continue it."""
        self.cluster.thaw()


class Etcd(Engine):
    """An etcd, or several."""

    def __init__(self, folder: Path, size: int = 1) -> None:
        self._servers = EtcdServers(folder, size, address=API_ADDRESS)
        self.members = self._servers.members
        self.ports = tuple(member.port for member in self.members)
        self._servers.__enter__()

    def options(self, election: str) -> list[str]:
        """By their addresses."""
        urls = ",".join(f"http://{API_ADDRESS}:{member.port}" for member in self.members)
        return [f"--etcd={urls}", f"--etcd-key={election}"]

    def delete(self, election: str) -> None:
        """Delete the oldest key."""
        self._servers.delete(self._servers.queue(election)[0][0])

    def stop(self) -> None:
        """Kill them."""
        for member in self.members:
            member.kill()

    def start(self) -> None:
        """Start them again."""
        for member in self.members:
            if member.process is None:
                member.start()
        self._servers.ready()

    def freeze(self) -> None:
        """Stop them in their tracks."""
        for member in self.members:
            member.freeze()

    def thaw(self) -> None:
        """Continue them."""
        for member in self.members:
            member.thaw()


_REDIS_LISTENS = ("--bind", "127.0.0.1", API_ADDRESS, "--protected-mode", "no")


class Redis(Engine):
    """A Redis server, which keeps its data on disk."""

    speaks = "redis"
    # What was to expire does so later.
    sets_back = 5

    def __init__(self, folder: Path, clock: Clock = Engine.clock) -> None:
        self.clock = clock
        self._server = RedisServer(folder, *_REDIS_LISTENS, keeps=True, prefix=clock.prefix)
        self._server.start()
        self.ports = (self._server.port,)

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

    def freeze(self) -> None:
        """Stop it in its tracks."""
        self._server.freeze()

    def thaw(self) -> None:
        """Continue it."""
        self._server.thaw()


class Redises(Engine):
    """A Redis server, a replica of it, and a Sentinel, which promotes the replica."""

    speaks = "redis"
    sets_back = Redis.sets_back
    # What the Sentinel calls it.
    _SERVICE = "demo"
    _election = ""

    def __init__(self, folder: Path, clock: Clock = Engine.clock) -> None:
        self.clock = clock
        folder.mkdir()
        words = (*_REDIS_LISTENS, "--replica-announce-ip", API_ADDRESS)
        self._servers = [
            RedisServer(folder / name, *words, keeps=True, prefix=clock.prefix)
            for name in ("first", "second")
        ]
        self.start()
        first, second = self._servers
        second.ask("REPLICAOF", API_ADDRESS, str(first.port))
        self._sentinel = RedisServer(folder / "sentinel")
        self._sentinel.as_sentinel(API_ADDRESS, first, *_REDIS_LISTENS).start()
        self._settle()
        self.ports = (first.port, second.port, self._sentinel.port)

    def options(self, election: str) -> list[str]:
        """Return the Sentinel's address."""
        url = f"redis+sentinel://{API_ADDRESS}:{self._sentinel.port}/{self._SERVICE}"
        return [f"--redis={url}", f"--redis-key={election}"]

    def prepare(self, election: str) -> None:
        """Record that no replica leads."""
        self._election = election
        self._pair()[0].free(election)

    def master(self) -> int:
        """Return the port of the one to which the Sentinel sends everybody."""
        return self._pair()[0].port

    def _pair(self) -> tuple[RedisServer, RedisServer]:
        """Return the server that the Sentinel takes for the master, and the other one."""
        said = self._sentinel.ask("SENTINEL", "get-master-addr-by-name", self._SERVICE).split()
        first, second = self._servers
        return (first, second) if said[-1] == str(first.port) else (second, first)

    def _settle(self) -> None:
        """Wait until one is the other's replica, with all of its data, and the Sentinel knows."""
        wait_for(self._is_settled, "the Sentinel to have a master and a replica")

    def _is_settled(self) -> bool:
        master, other = self._pair()
        known = self._sentinel.ask("SENTINEL", "replicas", self._SERVICE)
        about = self._sentinel.ask("SENTINEL", "master", self._SERVICE).split("\n")
        return (
            _is_master(master)
            and "master_link_status:up" in other.ask("INFO", "replication")
            # Neither down nor being replaced.
            and dict(zip(about[::2], about[1::2], strict=False)).get("flags") == "master"
            and str(other.port) in known
            and "s_down" not in known
        )

    def promote(self) -> bool:
        """Kill the master, and wait until the Sentinel has promoted the replica; return whether
        who held the key still does."""
        master, other = self._pair()
        held = master.ask("GET", self._election)
        master.kill()
        wait_for(lambda: self._pair()[0] is other and _is_master(other), "the replica's promotion")
        return other.ask("GET", self._election) == held

    def replace(self) -> None:
        """Start the server that was killed, as a replica."""
        master, other = self._pair()
        other.start()
        other.ask("REPLICAOF", API_ADDRESS, str(master.port))
        self._settle()

    def freeze_master(self) -> None:
        """Stop the master in its tracks, so that the Sentinel promotes the replica."""
        self._pair()[0].freeze()

    def stop(self) -> None:
        """Kill both."""
        for server in self._servers:
            server.kill()

    def start(self) -> None:
        """Start both again, as what they were."""
        for server in self._servers:
            server.start()

    def freeze(self) -> None:
        """Stop both in their tracks."""
        for server in self._servers:
            server.freeze()

    def thaw(self) -> None:
        """Continue both, the master first; wait until one that was replaced is a replica."""
        for server in self._pair():
            server.thaw()
        self._settle()

    def close(self) -> None:
        """Kill all of them."""
        self._sentinel.kill()
        self.stop()


def _is_master(server: RedisServer) -> bool:
    return "role:master" in server.ask("INFO", "replication")


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

    def freeze(self) -> None:
        """Stop it and its sessions in their tracks."""
        self._server.freeze()

    def thaw(self) -> None:
        """Continue them."""
        self._server.thaw()


class Postgreses(Engine):
    """A PostgreSQL server and its standby, to which it is copied as it goes."""

    speaks = "postgres"

    def __init__(self, folder: Path, clock: Clock = Engine.clock) -> None:
        del folder
        self.clock = clock
        self.ports = tuple(free_ports(2))
        self._primary = self._new(self.ports[0], None)
        self._standby = self._new(self.ports[1], self._primary)

    def _new(self, port: int, primary: PostgreSQL | None) -> PostgreSQL:
        listens = (f"listen_addresses={API_ADDRESS}", "max_connections=300", "fsync=off")
        server = PostgreSQL(*listens, port=port, primary=primary, prefix=self.clock.prefix)
        server.start()
        if primary is None:
            server.allow("local all,replication all trust", "host all all all trust")
        return server

    def options(self, election: str) -> list[str]:
        """Return both addresses; libpq finds the one that can be written to."""
        hosts = ",".join(f"{API_ADDRESS}:{port}" for port in self.ports)
        return [f"--postgres=postgresql://postgres@{hosts}/postgres", f"--postgres-name={election}"]

    def promote(self) -> bool:
        """Kill the primary, and have the standby take its place. Return that nothing is lost:
        leadership is held by sessions, which end."""
        self._primary.stop(signal.SIGQUIT)
        self._standby.value("SELECT pg_promote()")
        return True

    def replace(self) -> None:
        """Have a new standby in the place of the server that was killed."""
        port = next(port for port in self.ports if str(port) != self._standby.port)
        self._primary.__exit__()
        self._primary, self._standby = self._standby, self._new(port, self._standby)

    def stop(self) -> None:
        """Stop both, along with their sessions."""
        for server in (self._standby, self._primary):
            server.stop()

    def start(self) -> None:
        """Start both again."""
        for server in (self._primary, self._standby):
            server.start()

    def freeze(self) -> None:
        """Stop both and their sessions in their tracks."""
        for server in (self._primary, self._standby):
            server.freeze()

    def thaw(self) -> None:
        """Continue them."""
        for server in (self._primary, self._standby):
            server.thaw()

    def close(self) -> None:
        """Stop both, and remove their data."""
        for server in (self._standby, self._primary):
            server.__exit__()


class File(Engine):
    """A lock file, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder

    def options(self, election: str) -> list[str]:
        """By its path."""
        return [f"--lock-file={self.folder / election}"]

    def stop(self) -> None:
        """There is nothing to stop."""


class Elector(Engine):
    """The development elector, one for all replicas."""

    def __init__(self, folder: Path, clock: Clock = Engine.clock, leader: str = "a") -> None:
        del folder
        self.clock = clock
        (port,) = free_ports(1)
        self._address = f"{API_ADDRESS}:{port}"
        self.leader = leader
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def options(self, election: str) -> list[str]:
        """By its address."""
        del election
        return [f"--sse-url=http://{self._address}/sse", f"--get-url=http://{self._address}/"]

    def lead(self, name: str) -> None:
        """Name another leader, now or once it is back."""
        self.leader = name
        with suppress(OSError):
            self._ask("POST", f"leader/{name}", 1)

    def arm(self, fault: str) -> None:
        """Have it do wrong from now on."""
        self._ask("POST", f"fault/{fault}")

    def disarm(self) -> None:
        """Have it do right again."""
        self._ask("DELETE", "fault")

    def _ask(self, method: str, path: str, within: float = PATIENCE) -> None:
        request = urllib.request.Request(f"http://{self._address}/dev/{path}", method=method)
        urllib.request.urlopen(request, timeout=within).close()  # noqa: S310 - to a program of ours

    def stop(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def start(self) -> None:
        """Start it again; as the Lease still says, who has led leads."""
        program = str(Path(sys.executable).with_name("leaderexec-elector"))
        words = ("--listen", self._address, "--no-keyboard", self.leader)
        self._process = subprocess.Popen(
            (*self.clock.prefix, program, *words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        wait_for(self._listens, "the elector to listen")

    def _listens(self) -> bool:
        with suppress(OSError):
            self._ask("GET", "state")
            return True
        return False

    def freeze(self) -> None:
        """Stop it in its tracks."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue it, and have it announce who leads by now."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self.lead(self.leader)


class ZooKeeper(Engine):
    """One ZooKeeper, for the plug-in in examples/plugin."""

    def __init__(self, folder: Path) -> None:
        self._server = ZooKeeperServer(folder, host=API_ADDRESS)
        self._server.start()

    def options(self, election: str) -> list[str]:
        """Return its address."""
        where = (f"--zookeeper={self._server.address}", f"--zookeeper-path=/leaderexec/{election}")
        # A plug-in is loaded when it is named.
        return ["--election=zookeeper", *where]

    def stop(self) -> None:
        """Kill it."""
        self._server.kill()

    def start(self) -> None:
        """Start it again."""
        self._server.start()


_OF_ONE_FOLDER: dict[str, Callable[[Path], Engine]] = {
    "etcd": Etcd,
    "etcds": partial(Etcd, size=3),
    "zookeeper": ZooKeeper,
    "file": File,
}
_WITH_CLOCK: dict[str, Callable[[Path, Clock], Engine]] = {
    "redis": Redis,
    "redises": Redises,
    "postgreses": Postgreses,
    "elector": Elector,
}
# In which leadership can be moved as in a Lease.
NAMES = ("postgres", "etcd", "redis", "zookeeper")


@contextmanager
def running(name: str, folder: Path, clock: Clock = Engine.clock) -> Iterator[Engine]:
    """Run one of these; the API server is run by the caller, which has its program."""
    folder.mkdir()
    if name == "postgres":
        listens = (f"listen_addresses={API_ADDRESS}", "max_connections=300", "fsync=off")
        (port,) = free_ports(1)
        with PostgreSQL(*listens, port=port) as server:
            yield Postgres(server, port)
        return
    place = folder / name
    engine = _WITH_CLOCK[name](place, clock) if name in _WITH_CLOCK else _OF_ONE_FOLDER[name](place)
    try:
        yield engine
    finally:
        engine.close()
