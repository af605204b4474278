"""--health-cmd: the program that is run as a probe, with real processes."""

import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e.test_health import QUICK, get
from support import Wrapper, alive, wait_for

from leaderexec.config.options import listen_address
from leaderexec.core.actions import Job
from leaderexec.core.events import Exited
from leaderexec.health.command_probe import CommandProbe
from leaderexec.process.command import Command, Launch

Start = Callable[..., Wrapper]
LONG = 20.0
# Next to the command, for as long as it runs.
WORKS = ("--", "sh", "-c", "echo up; exec sleep 600")


def watched(
    leaderexec: Start, script: str, *more: str, command: tuple[str, ...] = WORKS
) -> Wrapper:
    """Start a command whose health this script checks."""
    probe = f"sh -c {shlex.quote(script)}"
    return leaderexec("--election", "off", *QUICK, "--health-cmd", probe, *more, *command)


def test_a_program_that_exits_with_0_is_healthy(leaderexec: Start, tmp_path: Path) -> None:
    """It has the command's environment, an empty stdin, and its own process group."""
    said = tmp_path / "said"
    script = (
        'echo "$LEADEREXEC_TERM $LEADEREXEC_REPLICA <$(cat)>'
        f' $(cut -d" " -f5 /proc/$$/stat) $$" > {said}'
    )
    wrapper = watched(leaderexec, script, "--identity", "app-a")
    wrapper.log("command healthy")
    term, name, stdin, group, pid = said.read_text().split()
    assert (term, name, stdin) == ("1", "app-a", "<>")
    assert group == pid


def test_if_it_fails_its_last_lines_are_logged(leaderexec: Start, tmp_path: Path) -> None:
    """Of both streams; then the command is unhealthy, and restarted."""
    bad = tmp_path / "bad"
    script = f"[ -e {bad} ] || exit 0; seq 9; echo no database >&2; exit 3"
    wrapper = watched(leaderexec, script)
    wrapper.log("command healthy")
    bad.touch()
    failed = wrapper.log("health probe failed")
    assert failed["reason"] == "--health-cmd ended with 3"
    assert failed["output"] == ["8", "9", "no database"]
    stopping = wrapper.log("transition", to="stopping")
    assert stopping["reason"] == "command unhealthy: --health-cmd ended with 3 (2 times in a row)"
    bad.unlink()
    wrapper.log("command healthy", count=2)


def test_a_program_that_hangs_is_killed_with_its_group(leaderexec: Start, tmp_path: Path) -> None:
    """Nothing is left of it, and what it had printed is logged."""
    pids = tmp_path / "pids"
    script = f"trap '' TERM; sleep 600 & echo $$ $! >> {pids}; echo asking; wait"
    # Time enough to get that far, on a busy machine.
    wrapper = watched(leaderexec, script, "--health-timeout", "3s")
    failed = wrapper.log("health probe failed")
    assert failed["reason"] == "--health-cmd took longer than 3s"
    assert failed["output"] == ["asking"]
    wrapper.send(signal.SIGTERM)
    wrapper.wait()
    started = [int(pid) for pid in pids.read_text().split()]
    assert started
    assert not any(map(alive, started))
    assert wrapper.events("killed") == []


UNTIL_TOLD = """
import signal
orders = {signal.SIGTERM, signal.SIGUSR1}
signal.pthread_sigmask(signal.SIG_BLOCK, orders)
print("up", flush=True)
signal.sigwait(orders)
raise SystemExit(4)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_program_that_hangs_does_not_delay_the_exit(
    leaderexec: Start, tmp_path: Path, number: int
) -> None:
    """Whether ordered or not: the probe is killed in the first moment, and is not one of the
    command's processes."""
    wrapper = watched(
        leaderexec,
        f"trap '' TERM; echo > {tmp_path}/asked; exec sleep 600",
        *("--health-timeout", "1h", "--grace", "1h", "--http", "127.0.0.1:0"),
        command=("--", sys.executable, "-c", UNTIL_TOLD),
    )
    wrapper.output("up")
    wait_for((tmp_path / "asked").exists)
    port = listen_address(wrapper.log("http listening")["address"]).port
    assert "leaderexec_tree_processes 1.0" in get(port, "/metrics")[1]
    wrapper.send(number)
    assert wrapper.wait() == 4
    assert wrapper.events("stopping what the command left behind") == []


def test_processes_it_leaves_behind_are_killed_when_it_ends(
    leaderexec: Start, tmp_path: Path
) -> None:
    """By its process group."""
    left = tmp_path / "left"
    wrapper = watched(leaderexec, f"sleep 600 & echo $! > {left}")
    wrapper.log("command healthy")
    wait_for(lambda: not alive(int(left.read_text())))


def test_a_flood_of_output_delays_nothing(leaderexec: Start) -> None:
    """It is read as it arrives, and its end is kept."""
    wrapper = watched(leaderexec, "yes | head -c 3000000; echo the end; exit 1")
    assert wrapper.log("health probe failed")["output"] == ["y", "y", "the end"]


def test_a_missing_program_is_a_usage_error(leaderexec: Start) -> None:
    """Before the election."""
    wrapper = leaderexec("--election", "off", "--health-cmd", "no-such-probe -x", "--", "true")
    assert wrapper.wait() == 125
    wrapper.join()
    assert "--health-cmd is 'no-such-probe', but" in wrapper.plain[0]


class Refused(Command):
    """A program for which no process can be created."""

    def start(self, *_told: object) -> int:
        """Refuse."""
        raise BlockingIOError(11, "Resource temporarily unavailable")


class Endless(Command):
    """A program that can't be killed."""

    def start(self, *_told: object) -> int:
        """Start."""
        self.pid = 4711
        return self.pid

    def kill(self) -> None:
        """Do not."""


def probe_of(program: type[Command]) -> CommandProbe:
    """Return a probe whose main loop runs inside the call that wakes it."""
    command = program(Launch("/bin/true", ["true"], {}))
    probe = CommandProbe(command, lambda: probe.serve(wanted=True))
    return probe


def test_a_fork_that_is_refused_is_a_failed_probe() -> None:
    """With the reason; nothing crashes."""
    said = str(probe_of(Refused).ask(LONG))
    assert said.startswith("could not be run: [Errno 11] Resource temporarily unavailable; ")


def test_a_program_that_cannot_be_killed_is_not_started_again() -> None:
    """Until it has ended: there is one at a time."""
    probe = probe_of(Endless)
    assert probe.ask(0.0) == "took longer than 0s"
    said = "was not started within 0s: the one before still runs, and can't be killed"
    assert probe.ask(0.0) == said
    assert probe.take([Exited(Job.PROBE, 0)]) == []
    assert probe.ask(0.0) == "took longer than 0s"
