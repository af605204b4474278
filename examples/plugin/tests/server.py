"""A real ZooKeeper on loopback, by Debian's packages and Java's own class path."""

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from leaderexec.testing import wait_for

JAR = Path(os.environ.get("ZOOKEEPER_JAR", "/usr/share/java/zookeeper.jar"))
# A JVM on a busy machine.
PATIENCE = 120.0


def missing() -> str | None:
    """Return what is not installed; None if all is there."""
    if shutil.which("java") is None:
        return "java is not installed (apt-get install default-jre-headless)"
    if not JAR.exists():
        return f"{JAR} is missing (apt-get install zookeeper)"
    return None


class ZooKeeper:
    """One server. `tick`: ms; sessions last 2 to 20 of it, or as long as `longest` says (ms)."""

    def __init__(self, folder: Path, tick: int = 500, longest: int = 60_000) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        (folder / "zoo.cfg").write_text(
            f"tickTime={tick}\nmaxSessionTimeout={longest}\ndataDir={folder}/data\n"
            f"clientPort={self.port}\nclientPortAddress=127.0.0.1\n"
            "admin.enableServer=false\n4lw.commands.whitelist=ruok,wchs\n"
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, with what it had on its disk, and wait until it answers."""
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
        wait_for(lambda: self.ask("ruok") == "imok", "ZooKeeper to answer", PATIENCE)

    def kill(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """Let it hang: its connections stay open."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def ask(self, word: str) -> str:
        """Ask one of ZooKeeper's four letter words; return "" where there is no answer."""
        assert self.process is not None
        assert self.process.poll() is None, (self._folder / "log").read_text()
        try:
            with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
                connection.sendall(word.encode())
                return b"".join(iter(lambda: connection.recv(4096), b"")).decode()
        except OSError:
            return ""

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
        """End it."""
        self.kill()
