"""Leadership by a lock file: the kernel keeps it, and there are never two."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import LEADEREXEC, Wrapper, alive, wait_for

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Wrapper]
SLEEP = ("sleep", "100")


@pytest.fixture
def lock(tmp_path: Path) -> str:
    """A path for the lock file."""
    return str(tmp_path / "lock")


def start_one(leaderexec: Start, lock: str, name: str, *words: str) -> Wrapper:
    """Start a replica; by default its command sleeps."""
    wrapper = leaderexec("--lock-file", lock, "--identity", name, *(words or ("--", *SLEEP)))
    wrapper.log("leaderexec started")
    return wrapper


def waits_in_flock(pid: int) -> bool:
    """Tell whether a process is blocked on a lock (proc_locks(5))."""
    waiting = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return any(words[1] == "->" and words[5] == str(pid) for words in waiting)


def is_held(pid: int) -> bool:
    """Tell whether every thread of a process is stopped."""
    states = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(state.rpartition(")")[2].split()[0] == "T" for state in states)


def test_the_holder_leads_and_says_so_in_the_file(leaderexec: Start, lock: str) -> None:
    """Identity, pid and time, for people and probes."""
    holder = start_one(leaderexec, lock, "a")
    holder.log("command started")
    said = json.loads(Path(lock).read_text())
    assert (said["name"], said["pid"]) == ("a", holder.pid)
    assert said["since"].endswith("Z")


def test_leadership_moves_when_the_holder_is_told_to_end(leaderexec: Start, lock: str) -> None:
    """After its command's tree has ended, not before."""
    first = start_one(leaderexec, lock, "a")
    first.log("command started")
    second = start_one(leaderexec, lock, "b")
    assert not second.events("command started")
    first.send(signal.SIGTERM)
    assert first.wait() == 143
    second.log("command started")


def test_a_killed_holder_s_command_keeps_leadership_until_it_has_ended(
    leaderexec: Start, lock: str
) -> None:
    """The command inherited the lock: no second one starts beside it, wrapper or no wrapper."""
    script = "trap 'echo told' TERM; echo up; while [ ! -e \"$GO\" ]; do sleep 0.02; done"
    go = f"{lock}.go"
    first = leaderexec(
        "--lock-file", lock, "--identity", "a", "--", "sh", "-c", script, env={"GO": go}
    )
    first.output("up")
    pid = first.command_pid()
    second = start_one(leaderexec, lock, "b")
    os.kill(first.pid, signal.SIGKILL)
    first.output("told")
    assert alive(pid)
    assert not second.events("command started")
    Path(go).touch()
    second.log("command started")
    assert not alive(pid)


def test_a_daemon_that_the_command_left_keeps_leadership_too(leaderexec: Start, lock: str) -> None:
    """The last process of the tree counts."""
    daemon = "trap '' TERM; echo ready; while [ ! -e \"$GO\" ]; do sleep 0.02; done"
    go = f"{lock}.go"
    first = leaderexec(
        "--lock-file",
        lock,
        "--identity",
        "a",
        "--",
        "sh",
        "-c",
        'setsid sh -c "$DAEMON" & exec sleep 100',
        env={"DAEMON": daemon, "GO": go},
    )
    first.output("ready")
    command = first.command_pid()
    second = start_one(leaderexec, lock, "b")
    os.kill(first.pid, signal.SIGKILL)
    wait_for(lambda: not alive(command), "the command to end")
    assert not second.events("command started")
    Path(go).touch()
    second.log("command started")


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_lock_file_removed_under_its_holder_is_a_loss(
    leaderexec: Start, lock: str, how: str
) -> None:
    """The command is stopped first; then whoever locks the new file leads, and only one does."""
    holder = start_one(leaderexec, lock, "a")
    first_pid = holder.command_pid()
    if how == "removed":
        Path(lock).unlink()
    else:
        Path(f"{lock}.new").touch()
        Path(f"{lock}.new").rename(lock)
    holder.log("lock file removed")
    wait_for(lambda: not alive(first_pid), "the command to be stopped")
    holder.log("command started", term=2)
    assert json.loads(Path(lock).read_text())["name"] == "a"
    waiter = start_one(leaderexec, lock, "b")
    assert not waiter.events("command started")
    holder.close()
    waiter.log("command started")


def test_a_waiter_does_not_lead_by_a_file_that_was_replaced(leaderexec: Start, lock: str) -> None:
    """It got the lock of the old file, and looks again."""
    first = start_one(leaderexec, lock, "a")
    first.log("command started")
    second = start_one(leaderexec, lock, "b")
    wait_for(lambda: waits_in_flock(second.pid), "the second to wait for the old file's lock")
    os.kill(first.pid, signal.SIGSTOP)
    wait_for(lambda: is_held(first.pid), "the first to notice nothing any more")
    Path(lock).unlink()
    third = start_one(leaderexec, lock, "c")
    third.log("command started")
    command = first.command_pid()
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    wait_for(lambda: not alive(command), "the first command to end")
    third.close()
    second.log("command started")


def test_a_holder_told_to_end_lets_go_cleanly_while_another_waits(
    leaderexec: Start, lock: str
) -> None:
    """A waiter that is told to end gives its wait up at once."""
    first = start_one(leaderexec, lock, "a")
    first.log("command started")
    waiter = start_one(leaderexec, lock, "b")
    waiter.send(signal.SIGTERM)
    assert waiter.wait() == 0


def test_a_namesake_is_warned(leaderexec: Start, lock: str) -> None:
    """Two replicas with one identity can't be told apart by --is-leader."""
    start_one(leaderexec, lock, "a").log("command started")
    second = start_one(leaderexec, lock, "a")
    assert "--identity" in second.log("identity is not unique")["remedy"]


def test_many_replicas_have_one_leader_at_a_time(
    leaderexec: Start, lock: str, tmp_path: Path
) -> None:
    """Each ends its command after a moment; all get their turn, one by one."""
    journal = tmp_path / "journal"
    script = f"echo start >> {journal}; sleep 0.05; echo end >> {journal}"
    wrappers = [
        leaderexec("--lock-file", lock, "--identity", f"r{number}", "--", "sh", "-c", script)
        for number in range(6)
    ]
    assert [wrapper.wait() for wrapper in wrappers] == [0] * 6
    assert journal.read_text().split() == ["start", "end"] * 6


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: path.mkdir(), "it is a directory"),
        (os.mkfifo, "no regular file"),
        (lambda path: path.symlink_to("/no/such/folder/lock"), "does not exist"),
    ],
)
def test_a_path_that_can_be_no_lock_file_is_refused_at_start(
    run: Run, tmp_path: Path, make: Callable[[Path], None], told: str
) -> None:
    """125, the path, and what to do."""
    path = tmp_path / "lock"
    make(path)
    result = run(LEADEREXEC, "--lock-file", str(path), "--", "true")
    assert result.returncode == 125
    assert str(path) in result.stderr
    assert told in result.stderr


def test_a_folder_that_does_not_exist_is_refused_at_start(run: Run, tmp_path: Path) -> None:
    """As a directory that can't be written to is."""
    result = run(LEADEREXEC, "--lock-file", str(tmp_path / "no" / "lock"), "--", "true")
    assert result.returncode == 125
    assert "create it" in result.stderr


FAILING_FLOCK = """
import errno, fcntl, os, sys
from leaderexec.__main__ import main
def failing(descriptor, operation):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
fcntl.flock = failing
sys.argv = ["leaderexec", *sys.argv[1:]]
main()
"""


def test_a_file_system_without_locks_is_refused_at_start(run: Run, lock: str) -> None:
    """NFS without a lock daemon says ENOLCK."""
    result = run(sys.executable, "-c", FAILING_FLOCK, "--lock-file", lock, "--", "true")
    assert result.returncode == 125
    assert "no locks to give" in result.stderr


def test_restarts_keep_the_lock(leaderexec: Start, lock: str) -> None:
    """Between two runs nobody else can lead."""
    first = start_one(leaderexec, lock, "a", "--restart", "always", "--", "sh", "-c", "exit 1")
    first.log("transition", to="backoff")
    second = start_one(leaderexec, lock, "b")
    first.log("command started", count=2)
    assert not second.events("command started")
