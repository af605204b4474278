"""A container that is restarted keeps leading: neither it nor any other replica has to wait."""

import base64
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from apiserver import ApiServer
from support import Wrapper, wait_for

Start = Callable[..., Wrapper]
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a PID namespace needs root")
UID = "0c1f2a9b-0000-4000-8000-000000000000"
WORKER = ("--", "sh", "-c", "echo up $LEADEREXEC_FENCE; exec sleep 1000")
# A test that waits for this to run out times out first.
WORDS = ("--lease", "demo", "--lease-duration", "1000s", "--renew-deadline", "900s")


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """An API server with an empty Lease."""
    with ApiServer() as server:
        server.add("demo")
        yield server


def container(folder: Path, name: str) -> tuple[str, ...]:
    """Return the command that acts as a container of this pod, as far as leaderexec can see."""
    account = folder / "account"
    account.mkdir(exist_ok=True)
    claims = json.dumps({"kubernetes.io": {"pod": {"uid": UID}}}).encode()
    (account / "token").write_text(f"a.{base64.urlsafe_b64encode(claims).decode()}.b")
    message = folder / "pods" / UID / "containers" / name / "1a2b3c4d"
    message.parent.mkdir(parents=True, exist_ok=True)
    message.touch()
    (folder / "termination-log").touch()
    script = (
        "mount -t tmpfs tmpfs /run; mkdir -p /run/secrets/kubernetes.io;"
        f" cp -r {account} /run/secrets/kubernetes.io/serviceaccount;"
        f' mount --bind {message} {folder}/termination-log; exec "$@"'
    )
    unshare = ("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")
    return (*unshare, "sh", "-euc", script, "sh")


def kill(wrapper: Wrapper) -> None:
    """Kill the container's first process, and with it the whole container."""
    children = Path(f"/proc/{wrapper.pid}/task/{wrapper.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    wrapper.wait()


def fences(wrapper: Wrapper) -> list[int]:
    """Return the fences that its commands got."""
    return [int(line.split()[1]) for line in wrapper.out if line.startswith("up ")]


def test_it_takes_its_own_lease_at_once(
    server: ApiServer, leaderexec: Start, tmp_path: Path
) -> None:
    """After a KILL, without waiting for the Lease to expire, and with a greater fence."""
    words = (*WORDS, "--api-server", server.url, *WORKER)
    first = leaderexec(*words, prefix=container(tmp_path, "worker"))
    wait_for(lambda: fences(first))
    kill(first)
    again = leaderexec(*words, prefix=container(tmp_path, "worker"))
    again.log("command started")
    wait_for(lambda: fences(again))
    assert fences(again)[0] > fences(first)[0]
    kill(again)


def test_another_container_of_the_pod_does_not(
    server: ApiServer, leaderexec: Start, tmp_path: Path
) -> None:
    """It has the same name, but what the first one started may still be running."""
    words = (*WORDS, "--api-server", server.url, *WORKER)
    first = leaderexec(*words, prefix=container(tmp_path, "worker"))
    first.log("command started")
    kill(first)
    other = leaderexec(*words, prefix=container(tmp_path, "sidecar"))
    changed = other.log("leader changed")
    assert changed["to"].endswith("(an earlier or another process)")
    assert not other.events("command started")
    kill(other)


def test_a_container_that_keeps_being_killed_holds_off(
    server: ApiServer, leaderexec: Start, tmp_path: Path
) -> None:
    """By --abdicate-after; a wrapper that is killed with its command can't count by itself."""
    words = (*WORDS, "--api-server", server.url, "--abdicate-after", "2", "--restart", "always")
    for _ in range(2):
        worker = leaderexec(*words, *WORKER, prefix=container(tmp_path, "worker"))
        worker.log("command started")
        kill(worker)
    third = leaderexec(*words, *WORKER, prefix=container(tmp_path, "worker"))
    said = third.log("holding off")
    assert "killed 2 times in a row" in said["reason"]
    assert said["hold_off_seconds"] == 1000 + 30
    third.log("leader changed")
    assert not third.events("command started")
    kill(third)
