"""A real ZooKeeper on loopback, from Debian's packages and Java's own class path."""

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from leaderexec.testing import wait_for

JAR = Path(os.environ.get("ZOOKEEPER_JAR", "/usr/share/java/zookeeper.jar"))
# A JVM needs this long on a busy machine.
PATIENCE = 120.0


def missing() -> str | None:
    """Return what is not installed; None if everything is."""
    if shutil.which("java") is None:
        return "java is not installed (apt-get install default-jre-headless)"
    if not JAR.exists():
        return f"{JAR} is missing (apt-get install zookeeper)"
    return None


def free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago, all different."""
    opened = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found: list[int] = [one.getsockname()[1] for one in opened]
    for one in opened:
        one.close()
    return found


class ZooKeeper:
    """One server. `tick`: ms; sessions last at least 2 ticks, and at most `longest`
    (ms). `more`: lines for its configuration. It listens on the address `host`."""

    def __init__(
        self,
        folder: Path,
        tick: int = 500,
        longest: int = 60_000,
        port: int = 0,
        more: str = "",
        host: str = "127.0.0.1",
    ) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self.port = port or free_ports(1)[0]
        self._host = host
        self.address = f"{host}:{self.port}"
        (folder / "zoo.cfg").write_text(
            f"tickTime={tick}\nmaxSessionTimeout={longest}\ndataDir={folder}/data\n"
            f"clientPort={self.port}\nclientPortAddress={host}\n"
            f"admin.enableServer=false\n4lw.commands.whitelist=ruok,srvr,wchs\n{more}"
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, with its data on disk, and wait until it responds."""
        self.launch()
        wait_for(lambda: self.ask("ruok") == "imok", "ZooKeeper to answer", PATIENCE)

    def launch(self) -> None:
        """Start it."""
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                (
                    *("java", "-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
                    *("-Dzookeeper.fsync.warningthresholdms=60000", "-Dzookeeper.forceSync=no"),
                    *("-cp", str(JAR), "org.apache.zookeeper.server.quorum.QuorumPeerMain"),
                    str(self._folder / "zoo.cfg"),
                ),
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """Kill it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """Make it hang: its connections stay open."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it continue."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def ask(self, word: str) -> str:
        """Send one of ZooKeeper's four-letter words; return "" if there is no response."""
        assert self.process is not None
        assert self.process.poll() is None, (self._folder / "log").read_text()
        try:
            with socket.create_connection((self._host, self.port), 10) as connection:
                connection.sendall(word.encode())
                return b"".join(iter(lambda: connection.recv(4096), b"")).decode()
        except OSError:
            return ""

    def mode(self) -> str:
        """Return its role in the ensemble, leader or follower; "" while it has neither."""
        found = re.search(r"^Mode: (\w+)$", self.ask("srvr"), re.MULTILINE)
        return found[1] if found else ""

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Kill it."""
        self.kill()


@contextmanager
def ensemble(folder: Path) -> Iterator[list[ZooKeeper]]:
    """Run three servers that elect a leader among themselves."""
    ports = free_ports(9)
    more = "initLimit=60\nsyncLimit=20\n" + "".join(
        f"server.{number}=127.0.0.1:{ports[3 * number]}:{ports[3 * number + 1]}\n"
        for number in range(3)
    )
    servers = []
    try:
        for number in range(3):
            place = folder / f"server-{number}"
            (place / "data").mkdir(parents=True)
            (place / "data" / "myid").write_text(f"{number}\n")
            servers.append(ZooKeeper(place, port=ports[3 * number + 2], more=more))
            servers[-1].launch()
        wait_for(lambda: all(one.mode() for one in servers), "an ensemble", PATIENCE)
        yield servers
    finally:
        for one in servers:
            one.kill()
