"""A leader that hangs or keeps crashing loses leadership to a replica that is fit."""

import os
import signal
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


def test_a_crash_loop_moves_after_the_given_number_of_crashes(
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
