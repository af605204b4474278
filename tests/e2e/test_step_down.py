"""A leader that is asked to step down stops its command, releases leadership, and holds off."""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from apiserver import ApiServer
from support import LEADEREXEC, PATIENCE, Wrapper, alive, wait_for, without_threads

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Wrapper]
WORKER = ("--", "sh", "-c", "echo up; exec sleep 100")
# From the kernel's asm/unistd.h.
SETRESUID = {"x86_64": 117, "aarch64": 147}


@pytest.fixture(params=["file", "lease"])
def election(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """The options of an election in which a leader can release leadership."""
    if request.param == "file":
        yield ("--lock-file", str(tmp_path / "lock"))
        return
    with ApiServer() as server:
        server.add("demo")
        yield ("--lease", "demo", "--api-server", server.url)


def replica(leaderexec: Start, election: tuple[str, ...], name: str, *more: str) -> Wrapper:
    """Start a replica."""
    wrapper = leaderexec(*election, "--identity", name, *(more or WORKER))
    wrapper.log("leaderexec started")
    return wrapper


def control_socket(environ: dict[str, str], wrapper: Wrapper) -> str:
    """Wait for the wrapper's control socket; return its path."""
    path = wrapper.log("control socket")["path"]
    wait_for(lambda: os.path.exists(path))
    assert path.startswith(environ["XDG_RUNTIME_DIR"])
    return str(path)


def steps(result: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the steps of the time line."""
    return [line.split("s  ", 1)[1] for line in result.stdout.splitlines()]


def test_leadership_moves_and_the_time_line_says_how(
    leaderexec: Start, run: Run, environ: dict[str, str], election: tuple[str, ...]
) -> None:
    """Asked, stopped, released, taken over; exit code 0."""
    first = replica(leaderexec, election, "a")
    first.output("up")
    control_socket(environ, first)
    second = replica(leaderexec, election, "b")
    control_socket(environ, second)
    result = run(LEADEREXEC, "--step-down", "--until-taken", "--identity", "a")
    assert steps(result) == [
        "a is asked to step down (term 1)",
        "stopped",
        "released",
        "taken by b",
    ], result.stderr
    assert result.returncode == 0
    second.output("up")
    asked = first.log("transition", to="stopping")
    assert asked["reason"].startswith("asked to step down by pid ")
    assert first.process.poll() is None


def test_it_leads_again_after_the_hold_off_if_no_replica_has_taken_over(
    leaderexec: Start, run: Run, environ: dict[str, str], election: tuple[str, ...]
) -> None:
    """There is no deadlock: exit code 1, and another term."""
    only = replica(leaderexec, election, "a")
    only.output("up")
    control_socket(environ, only)
    result = run(
        LEADEREXEC, "--step-down", "--until-taken", "--hold-off", "300ms", "--identity", "a"
    )
    assert steps(result)[-1] == "no other replica took over within 300ms; this one competes again"
    assert result.returncode == 1
    only.output("up", count=2)
    assert only.log("command started", count=2)["term"] == 2


def test_no_other_replica_starts_before_the_whole_tree_is_gone(
    leaderexec: Start, environ: dict[str, str], election: tuple[str, ...], tmp_path: Path
) -> None:
    """Leadership is kept while the command stops, and is released only then."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    opener = os.open(gate, os.O_RDWR)
    script = f"trap 'echo stopping; read -r _ <{gate}; exit 7' TERM; echo up; sleep 100 & wait"
    try:
        first = replica(leaderexec, election, "a", "--", "sh", "-c", script)
        first.output("up")
        control_socket(environ, first)
        second = replica(leaderexec, election, "b")
        asking = subprocess.Popen(
            [LEADEREXEC, "--step-down", "--until-taken", "--identity", "a"],
            env=environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        first.output("stopping")
        assert not second.events("command started")
        os.write(opener, b"go\n")
        second.log("command started")
        assert asking.wait(20) == 0
        assert asking.stdout is not None
        asking.stdout.close()
        ended = first.log("command ended")
        assert ended["code"] == 7
        assert second.log("command started")["timestamp"] > ended["timestamp"]
    finally:
        os.close(opener)


def test_a_standby_has_nothing_to_release(
    leaderexec: Start, run: Run, environ: dict[str, str], election: tuple[str, ...]
) -> None:
    """Exit code 1, and the name of the leader."""
    replica(leaderexec, election, "a").output("up")
    standby = replica(leaderexec, election, "b")
    control_socket(environ, standby)
    result = run(LEADEREXEC, "--step-down", "--identity", "b")
    assert steps(result) == ["nothing to release: this replica does not lead, a does"]
    assert result.returncode == 1


def test_an_order_to_stop_meanwhile_makes_it_exit_with_the_commands_code(
    leaderexec: Start, environ: dict[str, str], election: tuple[str, ...]
) -> None:
    """Whoever asked is answered, and leadership is released at the exit."""
    script = "trap 'echo stopping' TERM; echo up; while :; do sleep 0.05; done"
    first = replica(leaderexec, election, "a", "--grace", "500ms", "--", "sh", "-c", script)
    first.output("up")
    control_socket(environ, first)
    with subprocess.Popen(
        [LEADEREXEC, "--step-down", "--identity", "a"],
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
    ) as asking:
        first.log("transition", to="stopping")
        first.send(signal.SIGTERM)
        assert first.wait() == 137
        # It may be gone before it could answer.
        said, _ = asking.communicate(timeout=20)
        assert said.splitlines()[0].endswith("a is asked to step down (term 1)")


def test_if_no_replica_can_step_down_it_says_which_could(run: Run, tmp_path: Path) -> None:
    """Exit code 125, the directory it looked in, and the remedy with an elector."""
    # Not the machine's own: replicas may be running there.
    result = run(LEADEREXEC, "--step-down", "--control-socket", str(tmp_path / "none"))
    assert result.returncode == 125
    assert "no leaderexec that can step down runs here" in result.stderr
    assert "With an elector none can: delete its Lease or its Pod" in result.stderr


def test_one_of_several_leaders_has_to_be_named(
    leaderexec: Start, run: Run, environ: dict[str, str], tmp_path: Path
) -> None:
    """Nothing happens to any of them."""
    for name in ("a", "b"):
        wrapper = replica(leaderexec, ("--lock-file", str(tmp_path / name)), name)
        wrapper.output("up")
        control_socket(environ, wrapper)
    result = run(LEADEREXEC, "--step-down")
    assert result.returncode == 125
    assert "several leaderexec run here: a (pid" in result.stderr
    assert run(LEADEREXEC, "--step-down", "--identity", "b").returncode == 0


def test_is_leader_asks_the_replica_that_runs_on_this_host(
    leaderexec: Start, run: Run, environ: dict[str, str], election: tuple[str, ...]
) -> None:
    """Also if the names end with a pid, or a nonce, which only the wrapper knows."""
    wrapper = leaderexec(*election, *WORKER)
    wrapper.output("up")
    control_socket(environ, wrapper)
    result = run(LEADEREXEC, *election, "--is-leader")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == wrapper.log("command started")["leader"]


def test_an_unwritable_directory_disables_nothing_else(leaderexec: Start, tmp_path: Path) -> None:
    """It is logged once, with the option that helps."""
    wrapper = leaderexec(
        *("--lock-file", str(tmp_path / "lock")),
        *("--control-socket", str(tmp_path / "nowhere" / "socket")),
        *WORKER,
    )
    wrapper.output("up")
    assert "--control-socket" in wrapper.log("no control socket")["remedy"]


def test_a_directory_that_belongs_to_others_is_not_used(
    leaderexec: Start, environ: dict[str, str], tmp_path: Path
) -> None:
    """Anyone who can write to it could put their own socket there."""
    open_to_all = Path(environ["XDG_RUNTIME_DIR"], "leaderexec")
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    wrapper = leaderexec(
        "--lock-file", str(tmp_path / "lock"), *WORKER, env={"TMPDIR": environ["XDG_RUNTIME_DIR"]}
    )
    assert not wrapper.log("control socket")["path"].startswith(str(open_to_all) + "/")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(os.uname().machine not in SETRESUID, reason="setresuid's number is unknown")
def test_another_user_is_not_answered(
    leaderexec: Start, environ: dict[str, str], tmp_path: Path
) -> None:
    """Not even if the modes of directory and socket let them in; and the next one is."""
    wrapper = replica(leaderexec, ("--lock-file", str(tmp_path / "lock")), "a")
    path = control_socket(environ, wrapper)
    for reached in (environ["XDG_RUNTIME_DIR"], os.path.dirname(path), path):
        os.chmod(reached, 0o777)  # noqa: S103 - on purpose
    assert answer_to(65534, path) == b""
    assert json.loads(answer_to(0, path))["identity"] == "a"


def answer_to(user: int, path: str) -> bytes:
    """Ask the control socket as this user; return the answer."""
    said = []

    def ask() -> None:
        # The C library's function would change the user of every thread (nptl(7)).
        result = ctypes.CDLL(None).syscall(SETRESUID[os.uname().machine], user, user, user)
        assert result == 0
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(path)
            with suppress(BrokenPipeError, ConnectionResetError):
                client.sendall(b'{"ask": "leader"}\n')
                client.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError), client.makefile("rb") as answer:
                said.append(answer.readline())

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return b"".join(said)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_a_socket_gets_its_name_only_once_it_accepts_connections(
    leaderexec: Start, tmp_path: Path
) -> None:
    """Otherwise another leaderexec that looks for stale sockets would remove it."""
    traced = tmp_path / "trace"
    calls = ("strace", "-D", "-f", "-qq", "-e", "trace=bind,listen,link,linkat", "-o", str(traced))
    wrapper = leaderexec("--lock-file", str(tmp_path / "lock"), *WORKER, prefix=calls)
    path = wrapper.log("control socket")["path"]
    wait_for(lambda: os.path.exists(path))

    def after_bind() -> list[str]:
        text = traced.read_text()
        return [line.split()[1] for line in text[text.index('~"') :].splitlines()[1:]]

    # The tracer prints a call when it has returned.
    wait_for(lambda: len(after_bind()) > 1)
    first, second, *_ = after_bind()
    assert first.startswith("listen(")
    assert second.startswith("link")
    # Detached (-D), the tracer is nobody's child, and exits after the last that it traces.
    status = Path(f"/proc/{wrapper.pid}/status").read_text()
    tracer = int(status.partition("TracerPid:")[2].split()[0])
    wrapper.close()
    wait_for(lambda: not alive(tracer))


def test_whoever_asks_is_answered_even_if_no_thread_can_be_created(
    leaderexec: Start, environ: dict[str, str], tmp_path: Path
) -> None:
    """One after the other."""
    words = ("--lock-file", str(tmp_path / "lock"))
    wrapper = leaderexec(
        *words, "--identity", "a", *WORKER, program=without_threads("control-client")
    )
    path = control_socket(environ, wrapper)
    for _ in range(2):
        assert json.loads(answer_to(0, path))["identity"] == "a"
    assert not wrapper.plain


def test_what_was_left_by_a_wrapper_killed_while_it_created_its_socket_is_removed(
    leaderexec: Start, environ: dict[str, str], tmp_path: Path
) -> None:
    """But not what another one may be about to use."""
    words = ("--lock-file", str(tmp_path / "lock"))
    directory = Path(control_socket(environ, replica(leaderexec, words, "a"))).parent
    old, new = directory / "0123abcd~", directory / "4567cdef~"
    for path in (old, new):
        path.touch()
    os.utime(old, (1.0, 1.0))
    control_socket(environ, replica(leaderexec, words, "b"))
    assert not old.exists()
    assert new.exists()


def test_a_killed_wrappers_socket_is_removed(
    leaderexec: Start, environ: dict[str, str], tmp_path: Path
) -> None:
    """A wrapper that exits leaves nothing."""
    words = ("--lock-file", str(tmp_path / "lock"))
    killed = replica(leaderexec, words, "a")
    left = control_socket(environ, killed)
    killed.send(signal.SIGKILL)
    killed.wait()
    after = replica(leaderexec, words, "b")
    own = control_socket(environ, after)
    wait_for(lambda: not os.path.exists(left))
    after.send(signal.SIGTERM)
    after.wait()
    assert not os.path.exists(own)


@pytest.mark.parametrize(
    "question",
    [
        b"",
        b"\n",
        b"{}\n",
        b"[" * 3000 + b"\n",
        b"x" * 100_000,
        b'{"ask": "step-down", "hold_off": "for ever"}\n',
        b'{"ask": "step-down", "hold_off": -1}\n',
        b'{"ask": "step-down", "hold_off": NaN}\n',
        b'{"ask": {"a": []}}\n',
        b"\xff\xfe\n",
    ],
)
def test_no_request_does_harm(
    question: bytes, leaderexec: Start, environ: dict[str, str], tmp_path: Path
) -> None:
    """A standby gets bad requests; it answers or hangs up, and keeps answering."""
    words = ("--lock-file", str(tmp_path / "lock"))
    replica(leaderexec, words, "a").output("up")
    standby = replica(leaderexec, words, "b")
    path = control_socket(environ, standby)
    for asked in (question, b'{"ask": "leader"}\n'):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(20)
            wait_for(lambda client=client: client.connect_ex(path) in (0, 106))  # type: ignore[misc]
            try:
                client.sendall(asked)
                client.shutdown(socket.SHUT_WR)
                said = client.makefile("rb").readline()
            except OSError:
                said = b""
    assert json.loads(said)["identity"] == "b"
    assert standby.process.poll() is None
