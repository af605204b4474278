"""What --http costs: event to exec and loss to SIGTERM, alone, with a thousand idle connections and
with a flood of requests; the memory before and after; requests per second.

Needs the program installed as users have it: see `make bench`.
"""

import argparse
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Self

from latency import RIVAL, Table, Wrapped, memory, moves
from wire import Wire

HERE = Path(__file__).parent


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def ask(port: int, path: str) -> int:
    """Send one request; return the status."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


class Flood:
    """Clients that send requests without a pause."""

    def __init__(self, port: int, path: str, callers: int) -> None:
        self.count = 0
        self._over = threading.Event()
        self._port, self._path = port, path
        self._threads = [threading.Thread(target=self._run) for _ in range(callers)]
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self.rate = self.count / (time.monotonic() - self._began)

    def _run(self) -> None:
        while not self._over.is_set():
            ask(self._port, self._path)
            self.count += 1


def told(table: Table, wire: Wire, wrapped: Wrapped, count: int, beside: str) -> None:
    """Print how long it took to act on moves of leadership."""
    starts, stops = moves(wire, wrapped, count)
    table.row(f"event to exec, {beside}", starts, "ms")
    table.row(f"loss to SIGTERM, {beside}", stops, "ms")


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default=str(Path(sys.executable).with_name("leaderexec")))
    parser.add_argument("--count", type=int, default=30)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stamp = str(Path(folder) / "stamp")
        subprocess.run(["cc", "-static", "-O1", "-o", stamp, HERE / "stamp.c"], check=True)
        table = Table()
        wire = Wire(RIVAL)
        plain = Wrapped(arguments.program, wire, stamp, "--poll-interval", "off")
        wire.wait_subscribed(1)
        time.sleep(1)
        told(table, wire, plain, arguments.count, "without --http")
        without = memory(plain.process.pid)
        plain.end()
        wire.hang_up()

        port = free_port()
        address = f"127.0.0.1:{port}"
        wrapped = Wrapped(
            arguments.program, wire, stamp, "--poll-interval", "off", "--http", address
        )
        wire.wait_subscribed(2)
        time.sleep(2)
        ask(port, "/metrics")
        before = memory(wrapped.process.pid)
        told(table, wire, wrapped, arguments.count, "with --http, no requests")
        with ExitStack() as stack:
            for _ in range(1000):
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            told(table, wire, wrapped, arguments.count, "1,000 idle connections")
        rates = {}
        for path in ("/livez", "/status", "/metrics"):
            with Flood(port, path, 2) as flood:
                told(table, wire, wrapped, arguments.count, f"a flood of {path}")
            rates[path] = flood.rate
        print()
        for path, rate in rates.items():
            print(f"{path}: {rate:.0f} answers a second")
        print(f"memory without --http: {without}")
        print(f"memory with --http, asked once: {before}")
        print(f"memory after all of it: {memory(wrapped.process.pid)}")
        wrapped.end()


if __name__ == "__main__":
    main()
