"""Real Redis servers on loopback: one, or a master with a replica and Sentinels."""

import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import redis
from etcd_cluster import free_ports
from support import wait_for

_PATIENCE = 20.0


class Redis:
    """One server. `keeps`: it writes its data to disk. `prefix`: a command that becomes it."""

    def __init__(
        self,
        folder: Path,
        *words: str,
        port: int | None = None,
        keeps: bool = False,
        prefix: Sequence[str] = (),
    ) -> None:
        if shutil.which("redis-server") is None:
            pytest.skip("Redis is not installed")
        folder.mkdir(exist_ok=True)
        self.port = port or free_ports(1)[0]
        self._folder = folder
        self._log = folder / "redis.log"
        self._password = (
            words[words.index("--requirepass") + 1] if "--requirepass" in words else None
        )
        # Here a Sentinel has it record what it is, so that it comes back as that.
        configuration = folder / "redis.conf"
        configuration.touch()
        self._words = (
            *(*prefix, "redis-server", str(configuration)),
            *("--port", str(self.port), "--bind", "127.0.0.1"),
            *("--dir", str(folder), "--save", "", "--daemonize", "no"),
            *(("--appendonly", "yes", "--appendfsync", "always") if keeps else ()),
            *words,
        )
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return the value for --redis."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it responds."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._words, stdout=log, stderr=log)
        wait_for(lambda: self.ask("PING"), "Redis to answer")

    def as_sentinel(self, host: str, master: "Redis", *words: str) -> Self:
        """Be a Sentinel instead, of the service demo, whose master is found at this host."""
        configuration = self._folder / "sentinel.conf"
        configuration.write_text(
            f"sentinel monitor demo {host} {master.port} 1\n"
            "sentinel down-after-milliseconds demo 1000\n"
            "sentinel failover-timeout demo 5000\n"
        )
        self._words = (
            *("redis-server", str(configuration), "--sentinel", "--port", str(self.port)),
            *("--bind", "127.0.0.1", "--dir", str(self._folder), *words),
        )
        return self

    def kill(self) -> None:
        """Kill it, whatever its state is."""
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

    def free(self, key: str) -> None:
        """Record that no replica leads: in its first moments a new server may have lost who did."""
        information = dict(
            line.split(":", 1) for line in self.ask("INFO", "server").splitlines() if ":" in line
        )
        self.ask("SET", key, f"released {information['run_id']}")

    def ask(self, *words: str) -> str:
        """Run a command; return what redis-cli would print, and "" if nothing answers."""
        connect: Any = redis.Connection
        connection = connect(
            port=self.port,
            password=self._password,
            socket_timeout=_PATIENCE,
            decode_responses=True,
            protocol=2,
        )
        try:
            connection.send_command(*words)
            return _text(connection.read_response())
        except (redis.ConnectionError, redis.TimeoutError):
            return ""
        except redis.RedisError as error:
            return str(error)
        finally:
            connection.disconnect()

    def __enter__(self) -> Self:
        """Start."""
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


def _text(answer: object) -> str:
    if isinstance(answer, list):
        return "\n".join(map(_text, answer))
    return "" if answer is None else str(answer)
