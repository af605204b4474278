"""Real etcds on loopback, and what a test requests from them directly."""

import base64
import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from support import wait_for


def free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago, all different."""
    opened = [socket.socket() for _ in range(count)]
    try:
        for one in opened:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in opened]
    finally:
        for one in opened:
            one.close()


class Member:
    """One etcd of a cluster."""

    def __init__(self, name: str, folder: Path, words: Sequence[str], port: int) -> None:
        self.name = name
        self.port = port
        self._folder = folder
        self._words = words
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it keeps its data on disk."""
        with (self._folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(self._words, stdout=log, stderr=log)

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


class Etcd:
    """A cluster of this many members. `client_tls`: the options with which they use TLS. `address`:
    where they listen for clients, in addition to loopback."""

    def __init__(
        self, folder: Path, size: int = 1, client_tls: Sequence[str] = (), address: str = ""
    ) -> None:
        if shutil.which("etcd") is None:
            pytest.skip("etcd is not installed")
        folder.mkdir(exist_ok=True)
        self._scheme = "https" if client_tls else "http"
        ports = free_ports(2 * size)
        peers = [f"http://127.0.0.1:{port}" for port in ports[size:]]
        self.members: list[Member] = []
        for number, (port, peer) in enumerate(zip(ports[:size], peers, strict=True)):
            url = f"{self._scheme}://127.0.0.1:{port}"
            listens = f"{url},{self._scheme}://{address}:{port}" if address else url
            words = (
                *("etcd", "--name", f"m{number}", "--data-dir", str(folder / f"m{number}")),
                *("--unsafe-no-fsync", "--logger", "zap", "--log-level", "warn"),
                *("--listen-client-urls", listens, "--advertise-client-urls", url),
                *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                "--initial-cluster",
                ",".join(f"m{other}={there}" for other, there in enumerate(peers)),
                *client_tls,
            )
            self.members.append(Member(f"m{number}", folder, words, port))

    @property
    def urls(self) -> str:
        """Return the value for --etcd."""
        return ",".join(f"{self._scheme}://127.0.0.1:{member.port}" for member in self.members)

    def __enter__(self) -> Self:
        """Start all members, and wait until they have elected a leader."""
        for member in self.members:
            member.start()
        if self._scheme == "http":
            self.ready()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Kill all members."""
        for member in self.members:
            member.kill()

    def ready(self) -> None:
        """Wait until every running member can be read from."""
        for member in self.members:
            if member.process is not None:
                wait_for(lambda member=member: self._reads(member), "etcd to answer", 60)  # type: ignore[misc]

    def _reads(self, member: Member) -> bool:
        with suppress(OSError, http.client.HTTPException):
            return "header" in self.ask("kv/range", {"key": coded("x")}, member=member)
        return False

    def ask(
        self, path: str, question: object, token: str = "", *, member: Member | None = None
    ) -> dict[str, Any]:
        """Send a member a request, by default the first that runs."""
        asked = member or next(one for one in self.members if one.process is not None)
        connection = http.client.HTTPConnection("127.0.0.1", asked.port, timeout=10)
        try:
            headers = {"Authorization": token} if token else {}
            connection.request("POST", f"/v3/{path}", json.dumps(question), headers)
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return answer

    def count(self, metric: str, method: str = "", *, member: Member | None = None) -> int:
        """Return a counter of a member's, by default of the first: the sum of those whose labels
        contain `method`."""
        port = (member or self.members[0]).port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
        found = re.findall(rf"^{metric}{{.*{method}.*}} (\S+)$", text, re.MULTILINE)
        return int(sum(map(float, found)))

    def queue(self, key: str, token: str = "") -> list[tuple[str, str]]:
        """Return keys and values of an election, the oldest first."""
        question = {
            "key": coded(f"{key}/"),
            "range_end": coded(f"{key}0"),
            "sort_target": "CREATE",
            "sort_order": "ASCEND",
        }
        found = self.ask("kv/range", question, token).get("kvs", [])
        return [(decoded(one["key"]), decoded(one["value"])) for one in found]

    def delete(self, key: str) -> None:
        """Delete a key."""
        self.ask("kv/deleterange", {"key": coded(key)})


def coded(text: str) -> str:
    """Encode a key or a value for the gateway."""
    return base64.b64encode(text.encode()).decode()


def decoded(text: str) -> str:
    """Decode a key or a value from the gateway."""
    return base64.b64decode(text).decode()
