"""A leader that hangs or keeps crashing loses leadership to a replica that is fit."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from apiserver import ApiServer
from support import Wrapper, wait_for

from leaderexec.config.options import listen_address
from leaderexec_elector.running import RunningElector

Start = Callable[..., Wrapper]
# Keeps writing a line where the probe looks; a stopped one does not.
BEATS = (
    "import os, sys, time\n"
    "print('up', flush=True)\n"
    "while True:\n"
    "    open(sys.argv[1], 'w').close(); time.sleep(0.02)"
)
QUICK = (
    *("--health-interval", "200ms", "--health-threshold", "2", "--health-start-period", "60s"),
    *("--grace-lost", "200ms", "--grace", "200ms"),
)


@pytest.fixture(params=["file", "lease"])
def election(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """The options of an election in which a leader can release leadership."""
    if request.param == "file":
        yield ("--lock-file", str(tmp_path / "lock"))
        return
    with ApiServer() as server:
        server.add("demo")
        yield ("--lease", "demo", "--api-server", server.url)


def watched(
    leaderexec: Start, election: tuple[str, ...], name: str, beat: Path, *more: str
) -> Wrapper:
    """Start a replica whose command has to keep writing to a file."""
    wrapper = leaderexec(
        *(*election, "--identity", name, *QUICK, "--health-file", str(beat), *more),
        *("--", sys.executable, "-c", BEATS, str(beat)),
    )
    wrapper.log("leaderexec started")
    return wrapper


def test_a_leader_that_hangs_loses_leadership(
    leaderexec: Start, election: tuple[str, ...], tmp_path: Path
) -> None:
    """A frozen command is detected and killed, and the other replica leads; the first one holds
    off, and leads again only after that."""
    more = ("--unhealthy", "abdicate", "--hold-off", "1h")
    first = watched(leaderexec, election, "a", tmp_path / "a", *more)
    first.log("command healthy")
    second = watched(leaderexec, election, "b", tmp_path / "b", *more)
    os.kill(first.command_pid(), signal.SIGSTOP)
    second.output("up")
    assert first.log("abdicating")["hold_off_seconds"] == 3600.0
    stopping = first.log("transition", to="stopping")
    assert "--health-file was not written since the last check" in stopping["reason"]
    assert first.log("health probe failed")["reason"].startswith("--health-file")
    first.log("transition", to="standby")
    second.log("command healthy")


# Each does its work until USR1 comes; then it is stuck, and goes on living.
DEAD_LOCK = """
import signal, sys, threading, time
told = threading.Event()
signal.signal(signal.SIGUSR1, lambda *_: told.set())
one, other, both = threading.Lock(), threading.Lock(), threading.Barrier(2)

def take(first, second):
    with first:
        both.wait()
        with second:
            pass

while True:
    open(sys.argv[1], "w").close()
    time.sleep(0.02)
    if told.is_set():
        threading.Thread(target=take, args=(one, other)).start()
        take(other, one)
"""
FULL_DISK = """
import os, signal, sys, time

def fill(*_):
    try:
        with open(f"{sys.argv[1]}.filler", "wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
    except OSError:
        pass

signal.signal(signal.SIGUSR1, fill)
while True:
    try:
        with open(f"{sys.argv[1]}.new", "w") as beat:
            beat.write("alive")
        os.replace(f"{sys.argv[1]}.new", sys.argv[1])
    except OSError as error:
        print(error.strerror, flush=True)
    time.sleep(0.02)
"""
# They would be started again if they were found stuck before they are, on a busy machine.
PATIENT = (
    *("--health-interval", "1s", "--health-threshold", "4", "--health-start-period", "60s"),
    *("--grace-lost", "200ms", "--grace", "200ms"),
)
SMALL_DISK = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=64k none "$0" && exec "$@"')


@pytest.mark.parametrize("program", [DEAD_LOCK, FULL_DISK], ids=["dead-lock", "full disk"])
def test_a_leader_that_is_stuck_loses_the_lead(
    leaderexec: Start, election: tuple[str, ...], tmp_path: Path, program: str
) -> None:
    """In a dead-lock of its threads, or because the disk with the health file is full."""
    disk = tmp_path / "disk"
    disk.mkdir()
    small = (*SMALL_DISK, str(disk)) if program is FULL_DISK else ()
    if small and subprocess.run([*small, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    beat = str(disk / "a")
    first = leaderexec(
        *(*election, "--identity", "a", *PATIENT, "--health-file", beat),
        *("--unhealthy", "abdicate", "--hold-off", "1h"),
        *("--", sys.executable, "-c", program, beat),
        prefix=small,
    )
    first.log("command healthy")
    second = watched(leaderexec, election, "b", tmp_path / "b")
    os.kill(first.command_pid(), signal.SIGUSR1)
    second.output("up")
    assert first.log("abdicating")["reason"] == "command unhealthy"
    assert ("No space left on device" in first.out) == (program is FULL_DISK)


def test_a_crash_loop_moves_after_so_many_ends(
    leaderexec: Start, election: tuple[str, ...]
) -> None:
    """The other replica leads."""
    first = leaderexec(
        *(*election, "--identity", "a", "--restart", "always"),
        *("--abdicate-after", "2", "--hold-off", "1h", "--", "false"),
    )
    first.log("command started")
    second = leaderexec(*election, "--identity", "b", "--", "sh", "-c", "echo up; exec sleep 600")
    second.output("up")
    first.log("abdicating")
    assert len(first.events("command started")) == 2


def test_if_no_replica_is_fit_they_take_turns(leaderexec: Start, election: tuple[str, ...]) -> None:
    """None of three replicas can do the work: each tries, and tries again."""
    replicas = [
        leaderexec(
            *(*election, "--identity", name, "--restart", "always"),
            *("--abdicate-after", "1", "--hold-off", "300ms", "--", "false"),
        )
        for name in "abc"
    ]
    for replica in replicas:
        replica.log("abdicating", count=2)


def test_an_unhealthy_command_is_restarted(leaderexec: Start, tmp_path: Path) -> None:
    """This is the default, whatever --restart says."""
    wrapper = watched(leaderexec, ("--election", "off"), "a", tmp_path / "beat")
    wrapper.log("command healthy")
    os.kill(wrapper.command_pid(), signal.SIGSTOP)
    wrapper.log("command started", count=2)
    wrapper.log("command healthy", count=2)


@pytest.mark.parametrize("what", ["exit", "abdicate"])
def test_with_an_elector_the_container_exits(
    leaderexec: Start, elector: RunningElector, tmp_path: Path, what: str
) -> None:
    """Leadership can't be released there: it exits with 123, and the log says what that means."""
    elector.lead("app-a")
    election = ("--sse-url", elector.sse_url)
    wrapper = watched(leaderexec, election, "app-a", tmp_path / "beat", "--unhealthy", what)
    wrapper.log("command healthy")
    os.kill(wrapper.command_pid(), signal.SIGSTOP)
    assert wrapper.wait() == 123
    if what == "abdicate":
        assert "leadership did not move" in wrapper.log("can't abdicate")["remedy"]


def test_leader_is_503_until_the_command_proves_healthy(leaderexec: Start, tmp_path: Path) -> None:
    """/leader and the metric agree."""
    beat, go = tmp_path / "beat", tmp_path / "go"
    waits = f"until [ -e {go} ]; do sleep 0.02; done; while :; do : > {beat}; sleep 0.02; done"
    wrapper = leaderexec(
        *("--election", "off", *QUICK, "--health-file", str(beat), "--http", "127.0.0.1:0"),
        *("--", "sh", "-c", f"echo up; {waits}"),
    )
    port = listen_address(wrapper.log("http listening")["address"]).port
    wrapper.output("up")
    assert get(port, "/leader")[0] == 503
    go.touch()
    wait_for(lambda: get(port, "/leader")[0] == 200)
    assert '"healthy": true' in get(port, "/leader")[1]
    assert "leaderexec_command_healthy 1.0" in get(port, "/metrics")[1]


def get(port: int, path: str) -> tuple[int, str]:
    """Return status and body."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body
