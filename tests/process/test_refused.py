"""What the system refuses: signals, system calls, threads, descriptors, our own /proc."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support import LEADEREXEC, Wrapper, alive, wait_for, without_threads

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Wrapper]
OFF = ("--election", "off")
WITHOUT_CAP_KILL = ("setpriv", "--bounding-set=-kill", "--inh-caps=-kill")
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
traced = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@pytest.fixture
def strangers() -> Iterator[list[int]]:
    """Processes of another user that the wrapper can't kill; they are killed here."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda pid=pid: not alive(pid))  # type: ignore[misc]


@root
def test_a_signal_that_is_not_permitted_is_logged_once_and_changes_nothing(
    leaderexec: Start, strangers: list[int]
) -> None:
    """With another user's command and no CAP_KILL, the wrapper stays, and notices the end."""
    wrapper = leaderexec(*OFF, "--", *NOBODY, "sleep", "100", prefix=WITHOUT_CAP_KILL)
    pid = wrapper.command_pid()
    strangers.append(pid)
    wait_for(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n")
    for _ in range(3):
        wrapper.send(signal.SIGWINCH)
        wrapper.send(signal.SIGHUP)
    assert "CAP_KILL" in wrapper.log("signal not permitted", pid=pid)["reason"]
    os.kill(pid, signal.SIGUSR1)
    assert wrapper.wait() == 128 + signal.SIGUSR1
    assert len(wrapper.events("signal not permitted")) == 1


@root
@pytest.mark.parametrize("told", [True, False])
def test_processes_that_cannot_be_killed_are_named_and_given_up(
    leaderexec: Start, strangers: list[int], told: bool
) -> None:
    """Whether stopped or ended on its own, it is over a few seconds after KILL."""
    # It must be another user's before it is left behind, or it is still within our reach.
    changed = "until [ $(stat -c %u /proc/$!) = 65534 ]; do :; done"
    ends = "wait" if told else "exit 3"
    stays = f"{' '.join(NOBODY)} sleep 100 & {changed}; echo $!; {ends}"
    wrapper = leaderexec(*OFF, "--grace", "200ms", "--", "sh", "-c", stays, prefix=WITHOUT_CAP_KILL)
    wait_for(lambda: wrapper.out)
    pid = int(wrapper.out[0])
    strangers.append(pid)
    wait_for(lambda: f"{Path(f'/proc/{pid}').stat().st_uid}" == "65534")
    if told:
        wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == (143 if told else 3)
    named = wrapper.log("processes survive SIGKILL")["processes"]
    assert any(f"pid {pid} 'sleep' (user 65534" in one for one in named)
    assert alive(pid)


@root
def test_check_warns_of_a_missing_cap_kill(run: Run) -> None:
    """Before the first stop that fails."""
    words = (LEADEREXEC, *OFF, "--check", "--", "true")
    assert "capability KILL" in run(*WITHOUT_CAP_KILL, *words).stdout
    assert "capability KILL" not in run(*words).stdout


@traced
@pytest.mark.parametrize("call", ["prctl", "timerfd_create", "signalfd4", "eventfd2"])
@pytest.mark.parametrize("error", ["ENOSYS", "EPERM"])
def test_a_missing_system_call_is_reported_on_one_line(run: Run, call: str, error: str) -> None:
    """With a seccomp profile or an old kernel: exit code 125, and nothing is started."""
    inject = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={call}:error={error}")
    result = run(*inject, LEADEREXEC, *OFF, "--", "echo", "ran", timeout=50)
    assert (result.returncode, result.stdout) == (125, "")
    assert result.stderr.count("\n") == 1
    assert "can't be set up" in result.stderr
    assert call.rstrip("24") in result.stderr


@traced
def test_where_limits_can_not_be_changed_it_runs_all_the_same(run: Run) -> None:
    """A core dump of leaderexec is then limited as the command's."""
    inject = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=prlimit64:error=EPERM")
    assert run(*inject, LEADEREXEC, *OFF, "--", "echo", "ran", timeout=50).stdout == "ran\n"


def test_the_log_is_written_even_if_no_thread_can_be_created(run: Run) -> None:
    """By the main thread, which does not wait for the missing one."""
    began = time.monotonic()
    result = run(*without_threads("all"), *OFF, "--", "sh", "-c", "exit 9")
    assert result.returncode == 9
    assert "command ended" in result.stderr
    assert time.monotonic() - began < 9, "it waited for a thread"


@pytest.mark.parametrize("refused", ["lock", "http", "control"])
def test_a_thread_that_can_not_be_created_is_reported_on_one_line(
    run: Run, tmp_path: Path, refused: str
) -> None:
    """Before anything is started; a container is restarted, and may have room then."""
    words = ("--lock-file", str(tmp_path / "lock"), "--http", "127.0.0.1:0", "--", "echo", "ran")
    result = run(*without_threads(refused), *words)
    assert (result.returncode, result.stdout) == (125, "")
    assert result.stderr.count("\n") == 1
    assert "can't start new thread: the user's limit" in result.stderr


@pytest.mark.parametrize("limit", [6, 7, 8, 12])
def test_too_few_descriptors_are_reported_on_one_line(run: Run, limit: int) -> None:
    """At once, not by endlessly retrying the start."""
    script = f"ulimit -n {limit}; exec {LEADEREXEC} --election off -- echo ran"
    result = run("sh", "-c", script)
    assert (result.returncode, result.stdout) == (125, "")
    assert "open files" in result.stderr
    assert "Traceback" not in result.stderr


@root
def test_a_missing_dev_null_with_a_closed_stdin_is_reported_on_one_line(
    run: Run, tmp_path: Path
) -> None:
    """As in an image built from scratch."""
    script = f"mount --bind {tmp_path} /dev && exec {LEADEREXEC} --election off -- true <&-"
    result = run("unshare", "--mount", "sh", "-c", script)
    assert result.returncode == 125
    assert "/dev/null" in result.stderr
    assert "Traceback" not in result.stderr


@root
def test_the_proc_of_another_pid_namespace_is_not_trusted(
    leaderexec: Start, environ: dict[str, str]
) -> None:
    """The pids in it are other processes': the command's group is stopped, and nothing else."""
    with subprocess.Popen(["sleep", "100"], env=environ) as bystander:
        script = "trap '' TERM; echo up; while :; do sleep 0.05; done"
        wrapper = leaderexec(
            *OFF, "--grace", "300ms", "--", "sh", "-c", script, prefix=("unshare", "-pf")
        )
        wrapper.output("up")
        inner = int(Path(f"/proc/{wrapper.pid}/task/{wrapper.pid}/children").read_text())
        os.kill(inner, signal.SIGTERM)
        assert wrapper.wait() == 137
        assert bystander.poll() is None
        bystander.kill()


def test_a_leftover_whose_main_thread_has_ended_is_stopped(leaderexec: Start) -> None:
    """It looks like a zombie, but its other threads keep working."""
    python = (
        "import threading, time, sys, ctypes\n"
        "def work():\n"
        "    print('works', flush=True)\n"
        "    time.sleep(100)\n"
        "threading.Thread(target=work).start()\n"
        "ctypes.CDLL(None).syscall(60, 0)\n"
    )
    wrapper = leaderexec(
        *OFF, "--grace", "10m", "--", "sh", "-c", f'{sys.executable} -c "$0" & sleep 100', python
    )
    wrapper.output("works")
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 143
    assert wrapper.log("stopping what the command left behind")["processes"] >= 1
