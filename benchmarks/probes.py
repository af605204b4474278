"""What it costs to ask a healthy command for its health, by each kind of probe, at the defaults.

    PYTHONPATH=.:tests:benchmarks python benchmarks/probes.py [--seconds 120]

CPU time and wake-ups of leaderexec, and the CPU time of the programs that it runs for --health-cmd;
without what the command itself does for it.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from kinds import busy_and_wakes
from support import Wrapper

SLEEPS = ("sleep", "100000")
BEATS = ("sh", "-c", 'while :; do : > "$0"; sleep 5; done')
NOTIFIES = """
import os, socket, time
address = os.environ["NOTIFY_SOCKET"].replace("@", "\\0", 1)
while True:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as telling:
        telling.sendto(b"WATCHDOG=1", address)
    time.sleep(5)
"""


class Healthy(BaseHTTPRequestHandler):
    """Answers each GET."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def cases(port: int, folder: str) -> dict[str, tuple[str, ...]]:
    """Return the words of each probe, with a command that it finds healthy."""
    beat = f"{folder}/beat"
    return {
        "none": ("--", *SLEEPS),
        "--health-tcp": ("--health-tcp", f"127.0.0.1:{port}", "--", *SLEEPS),
        "--health-http": ("--health-http", f"http://127.0.0.1:{port}/", "--", *SLEEPS),
        "--health-file": ("--health-file", beat, "--", *BEATS, beat),
        "--health-cmd true": ("--health-cmd", "true", "--", *SLEEPS),
        "--health-watchdog 10s": ("--health-watchdog", "10s", "--", sys.executable, "-c", NOTIFIES),
    }


def cost(pid: int) -> tuple[float, int, float]:
    """Return leaderexec's CPU time in ms, its wake-ups, and the CPU time of what it has reaped."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    reaped = (int(fields[13]) + int(fields[14])) * 1000 / os.sysconf("SC_CLK_TCK")
    return *busy_and_wakes(pid), reaped


def main() -> None:
    """Measure all of them at once, and print the rows of the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0)
    seconds = parser.parse_args().seconds
    clean = {name: text for name, text in os.environ.items() if not name.startswith("LEADEREXEC")}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Healthy))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        running = {}
        for name, words in cases(server.server_port, folder).items():
            off = ("--log-format", "json", "--election", "off")
            running[name] = Wrapper([*off, *words], {**clean, "XDG_RUNTIME_DIR": folder})
            stack.callback(running[name].close)
        for name, wrapper in running.items():
            wrapper.log("command started" if name == "none" else "command healthy")
        # What is loaded at the first turn is not what an idle probe costs.
        time.sleep(15)
        before = {name: cost(wrapper.pid) for name, wrapper in running.items()}
        time.sleep(seconds)
        after = {name: cost(wrapper.pid) for name, wrapper in running.items()}
        server.shutdown()
    print(
        "| probe, every 10 s | CPU per minute | of programs that were run | wake-ups per minute |"
    )
    print("|---|---|---|---|")
    for name, used in before.items():
        own, wakes, reaped = (
            (now - then) * 60 / seconds for then, now in zip(used, after[name], strict=True)
        )
        print(f"| `{name}` | {own:.1f} ms | {reaped:.0f} ms | {wakes:.0f} |")


if __name__ == "__main__":
    main()
