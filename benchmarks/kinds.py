"""What each kind of election costs, at its defaults, side by side: until the command runs,
and per minute for a leader and a standby with nothing to do.

    PYTHONPATH=.:tests python benchmarks/kinds.py --program .venv-bench/bin/leaderexec

Bytes sent and received are counted by a relay in front of the server; a send is what passes
at once, a request or part of one. PostgreSQL is reached by a Unix socket here, and not counted.
"""

import argparse
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from election_servers import an_election

from leaderexec.election import KINDS, kind_called
from leaderexec.testing import Election

PATIENCE = 60.0
SETTLE = 15.0


class Relay:
    """Passes bytes on to a port of loopback, and counts them."""

    def __init__(self, port: int) -> None:
        self.sends = self.octets = 0
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            inner, _ = self._listener.accept()
            outer = socket.create_connection(("127.0.0.1", self._port))
            for pair in ((inner, outer, 1), (outer, inner, 0)):
                threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, sends: int) -> None:
        with suppress(OSError):
            while chunk := source.recv(1 << 16):
                self.sends += sends
                self.octets += len(chunk)
                target.sendall(chunk)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def busy_and_wakes(pid: int) -> tuple[float, int]:
    """Return the CPU time of a process in ms, and its voluntary context switches, of all threads."""
    busy = wakes = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        busy += int((thread / "schedstat").read_text().split()[0])
        found = re.search(
            r"^voluntary_ctxt_switches:\s+(\d+)", (thread / "status").read_text(), re.MULTILINE
        )
        wakes += int(found[1]) if found else 0
    return busy / 1e6, wakes


class Cost(NamedTuple):
    """What a process and its connection to the server have cost so far; memory is current."""

    resident: int
    busy: float
    wakes: int
    sends: int
    octets: int


class Replica:
    """A leaderexec with its own relay to the server."""

    def __init__(
        self, program: str, kind: str, election: Election, name: str, runtime: str
    ) -> None:
        words, self._relay = _through_a_relay(election.words)
        clean = {key: text for key, text in os.environ.items() if not key.startswith("LEADEREXEC")}
        self._began = time.monotonic()
        self.process = subprocess.Popen(
            (
                *(program, "--election", kind, *words, "--identity", name),
                *("--takeover-delay", "0s", "--log-format", "json"),
                *("--", "sh", "-c", "echo up; exec sleep 1000"),
            ),
            # Separate from other leaderexecs on this machine, which look for replicas that run here.
            env={**clean, "XDG_RUNTIME_DIR": runtime},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def until_the_command_runs(self) -> float:
        """Wait for its first line; return the seconds since the start."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"up\n"
        return time.monotonic() - self._began

    def cost(self) -> Cost:
        """Return its costs so far."""
        pid = self.process.pid
        resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return Cost(
            resident * os.sysconf("SC_PAGE_SIZE"),
            *busy_and_wakes(pid),
            self._relay.sends if self._relay else 0,
            self._relay.octets if self._relay else 0,
        )

    def close(self) -> None:
        """Stop it, and wait."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()


def _through_a_relay(words: Sequence[str]) -> tuple[tuple[str, ...], Relay | None]:
    found = re.search(r"(?:127\.0\.0\.1|localhost|\[::1\]):(\d+)", " ".join(words))
    if found is None:
        return tuple(words), None
    relay = Relay(int(found[1]))
    return tuple(word.replace(found[0], f"127.0.0.1:{relay.port}") for word in words), relay


def _at_defaults(election: Election) -> Election:
    """Remove the settings that only exist to make tests fast."""
    words = list(election.words)
    while "--poll-interval" in words:
        at = words.index("--poll-interval")
        del words[at : at + 2]
    return Election(*words, elect=election.elect)


def start_up(program: str, kind: str, election: Election, count: int, runtime: str) -> float:
    """Return the median of the seconds from the start to the command's first line."""
    samples = []
    for _ in range(count):
        election.elect("a")
        replica = Replica(program, kind, election, "a", runtime)
        samples.append(replica.until_the_command_runs())
        replica.close()
    return statistics.median(samples)


def main() -> None:
    """Measure all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default=str(Path(sys.executable).with_name("leaderexec")))
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    names = [kind.name for kind in KINDS]
    with tempfile.TemporaryDirectory(prefix="kinds") as folder, ExitStack() as stack:
        places = {name: Path(folder, name) for name in names}
        for place in places.values():
            place.mkdir()
        elections = {name: _at_defaults(an_election(name, places[name], stack)) for name in names}
        began = {
            name: start_up(arguments.program, name, elections[name], arguments.count, folder)
            for name in names
        }
        replicas = {}
        for name in names:
            elections[name].elect("a")
            leader = Replica(arguments.program, name, elections[name], "a", folder)
            leader.until_the_command_runs()
            standby = Replica(arguments.program, name, elections[name], "b", folder)
            replicas[name] = (leader, standby)
        time.sleep(SETTLE)
        before = {name: [one.cost() for one in pair] for name, pair in replicas.items()}
        time.sleep(arguments.seconds)
        after = {name: [one.cost() for one in pair] for name, pair in replicas.items()}
        for leader, standby in replicas.values():
            standby.close()
            leader.close()
    print(
        f"median of {arguments.count} starts; {arguments.seconds:g} s with nothing to do\n\n"
        "| | start to command | resident | CPU a minute | wake-ups a minute |"
        " sends a minute | bytes a minute, both ways |\n|---|---|---|---|---|---|---|"
    )
    per_minute = 60 / arguments.seconds
    for name in names:
        print(f"| `{name}` | {began[name] * 1000:.0f} ms | | | | | |")
        for role, then, now in zip(("leading", "standby"), before[name], after[name], strict=True):
            if role == "standby" and not kind_called(name).can_be_lost:
                continue
            cells = [
                f"{now.resident / 1e6:.1f} MB",
                f"{(now.busy - then.busy) * per_minute:.0f} ms",
                f"{(now.wakes - then.wakes) * per_minute:.0f}",
                f"{(now.sends - then.sends) * per_minute:.0f}" if now.octets else "-",
                f"{(now.octets - then.octets) * per_minute:,.0f}" if now.octets else "-",
            ]
            print(f"| {role} | | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
