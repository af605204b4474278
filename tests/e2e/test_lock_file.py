"""Leadership by a lock file: the kernel guards it, and there are never two leaders."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import LEADEREXEC, Wrapper, alive, is_held, wait_for, waits_in_flock

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


def test_the_holder_leads_and_says_so_in_the_file(leaderexec: Start, lock: str) -> None:
    """Its identity, pid and time, for people and probes."""
    holder = start_one(leaderexec, lock, "a")
    holder.log("command started")
    said = json.loads(Path(lock).read_text())
    assert (said["name"], said["pid"]) == ("a", holder.pid)
    assert said["since"].endswith("Z")


def test_leadership_moves_when_the_holder_is_ordered_to_stop(leaderexec: Start, lock: str) -> None:
    """After its command's tree has ended, and no sooner."""
    first = start_one(leaderexec, lock, "a")
    first.log("command started")
    second = start_one(leaderexec, lock, "b")
    assert not second.events("command started")
    first.send(signal.SIGTERM)
    assert first.wait() == 143
    second.log("command started")


def test_a_killed_holders_command_keeps_leadership_until_it_has_ended(
    leaderexec: Start, lock: str
) -> None:
    """The command inherited the lock: no second one starts while it runs, wrapper or no wrapper."""
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


def test_a_daemon_left_by_the_command_keeps_leadership_too(leaderexec: Start, lock: str) -> None:
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
def test_removing_a_held_lock_file_is_a_loss(leaderexec: Start, lock: str, how: str) -> None:
    """The command is stopped first; then one replica, the one that locks the new file, leads."""
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


def test_a_waiter_does_not_lead_with_a_file_that_was_replaced(leaderexec: Start, lock: str) -> None:
    """It got the lock on the old file, notices, and tries again."""
    first = start_one(leaderexec, lock, "a")
    first.log("command started")
    second = start_one(leaderexec, lock, "b")
    wait_for(lambda: waits_in_flock(second.pid), "the second to wait for the old file's lock")
    os.kill(first.pid, signal.SIGSTOP)
    wait_for(lambda: is_held(first.pid), "the first to be frozen")
    Path(lock).unlink()
    third = start_one(leaderexec, lock, "c")
    third.log("command started")
    command = first.command_pid()
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    wait_for(lambda: not alive(command), "the first command to end")
    third.close()
    second.log("command started")


def test_a_holder_that_is_ordered_to_stop_releases_cleanly_while_another_waits(
    leaderexec: Start, lock: str
) -> None:
    """A waiter that is ordered to stop gives up waiting at once."""
    first = start_one(leaderexec, lock, "a")
    first.log("command started")
    waiter = start_one(leaderexec, lock, "b")
    waiter.send(signal.SIGTERM)
    assert waiter.wait() == 0


def test_a_namesake_is_warned_of(leaderexec: Start, lock: str) -> None:
    """--is-leader can't distinguish two replicas with one identity."""
    start_one(leaderexec, lock, "a").log("command started")
    second = start_one(leaderexec, lock, "a")
    assert "--identity" in second.log("identity is not unique")["remedy"]


def test_many_replicas_have_one_leader_at_a_time(
    leaderexec: Start, lock: str, tmp_path: Path
) -> None:
    """Each command ends after a moment; all replicas get their turn, one by one."""
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
        (os.mkfifo, "not a regular file"),
        (lambda path: path.symlink_to("/no/such/folder/lock"), "symbolic link"),
    ],
)
def test_a_path_that_cannot_be_a_lock_file_is_refused_at_the_start(
    run: Run, tmp_path: Path, make: Callable[[Path], None], told: str
) -> None:
    """With exit code 125, the path, and what to do."""
    path = tmp_path / "lock"
    make(path)
    result = run(LEADEREXEC, "--lock-file", str(path), "--", "true")
    assert result.returncode == 125
    assert str(path) in result.stderr
    assert told in result.stderr


def test_a_directory_that_does_not_exist_is_refused_at_the_start(run: Run, tmp_path: Path) -> None:
    """Like a directory that can't be written to."""
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


def test_a_file_system_without_locks_is_refused_at_the_start(run: Run, lock: str) -> None:
    """NFS without a lock daemon returns ENOLCK."""
    result = run(sys.executable, "-c", FAILING_FLOCK, "--lock-file", lock, "--", "true")
    assert result.returncode == 125
    assert "no locks available" in result.stderr


def test_restarts_keep_the_lock(leaderexec: Start, lock: str) -> None:
    """No other replica can lead between two runs."""
    first = start_one(leaderexec, lock, "a", "--restart", "always", "--", "sh", "-c", "exit 1")
    first.log("transition", to="backoff")
    second = start_one(leaderexec, lock, "b")
    first.log("command started", count=2)
    assert not second.events("command started")


@pytest.mark.parametrize(
    "content",
    [
        b"[server]\nport = 1\n" * 100,
        b'{"name": "x"}\n',
        b'{"name": "x", "pid": 1e999, "since": ""}\n',
        b'{"name": "x", "pid": true, "since": ""}\n',
        b'{"name": "x", "pid": 4194305, "since": ""}\n',
        b'{"name": "\\u001b[2J", "pid": 1, "since": ""}\n',
        b'{"name": "x", "pid": 1, "since": "", "more": {"a": 1}}\n',
        b"[" * 4000,
        b"{" * 60000,
        b"\xff\xfe",
        b"\n",
    ],
    ids=lambda content: content[:30].decode(errors="replace").encode("ascii", "replace").decode(),
)
def test_a_file_that_is_not_ours_is_refused_and_kept(run: Run, lock: str, content: bytes) -> None:
    """With exit code 125, the path, its content and the remedy; not a byte of it changes."""
    Path(lock).write_bytes(content)
    for words in (("--", "true"), ("--is-leader",), ("--check",)):
        result = run(LEADEREXEC, "--lock-file", lock, *words)
        assert result.returncode == 125
        assert f"{lock!r} can't be used: it " in result.stderr
        assert f"({len(content)} bytes)" in result.stderr
        assert "specify another file" in result.stderr
    assert Path(lock).read_bytes() == content


def test_a_link_is_refused_and_its_target_is_kept(run: Run, lock: str) -> None:
    """Otherwise anyone who may write to the folder could make us overwrite any file of ours."""
    target = Path(f"{lock}.target")
    target.touch()
    Path(lock).symlink_to(target)
    for words in (("--", "true"), ("--is-leader",)):
        result = run(LEADEREXEC, "--lock-file", lock, *words)
        assert result.returncode == 125
        assert "symbolic link" in result.stderr
    assert not target.read_bytes()


def test_only_the_owner_can_open_the_file(leaderexec: Start, lock: str) -> None:
    """Anyone who can open it can lock it, and then no replica leads."""
    holder = leaderexec("--lock-file", lock, "--", *SLEEP, umask=0)
    holder.log("command started")
    assert Path(lock).stat().st_mode & 0o777 == 0o600
    assert not holder.events("lock file open to others")


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o602])
def test_a_file_that_is_open_to_others_is_warned_of(
    leaderexec: Start, run: Run, lock: str, mode: int
) -> None:
    """Replicas of several users may need it that way: its mode is left alone."""
    Path(lock).touch()
    Path(lock).chmod(mode)
    holder = start_one(leaderexec, lock, "a")
    warned = holder.log("lock file open to others", mode=f"{mode:04o}")
    assert "chmod 600" in warned["remedy"]
    assert Path(lock).stat().st_mode & 0o777 == mode
    assert (
        f"warning: {lock} has mode {mode:04o}"
        in run(LEADEREXEC, "--lock-file", lock, "--check").stdout
    )


def test_unknown_fields_in_the_file_are_kept(leaderexec: Start, lock: str) -> None:
    """A later version may have written them. What a crash left of a longer line is removed."""
    said = {"name": "b" * 200, "pid": 1, "since": "", "counter": 7}
    Path(lock).write_text(f'{json.dumps(said)}\n"since": ""}}\n')
    start_one(leaderexec, lock, "a").log("command started")
    (line,) = Path(lock).read_text().splitlines()
    assert (json.loads(line)["name"], json.loads(line)["counter"]) == ("a", 7)


def test_each_term_has_a_greater_fence_that_is_on_disk_before_the_start(
    leaderexec: Start, lock: str
) -> None:
    """The command, its hooks and the log get it, and the file keeps it."""
    show = f"echo $LEADEREXEC_FENCE $(grep -o '\"fence\": *[0-9]*' {lock} | tr -dc 0-9)"
    hook = "sh -c 'echo hook $LEADEREXEC_FENCE'"
    told = []
    for name in ("a", "b", "a"):
        one = start_one(leaderexec, lock, name, "--on-start", hook, "--", "sh", "-c", show)
        fence = one.log("command started")["fence"]
        one.output(f"hook {fence}")
        one.output(f"{fence} {fence}")
        assert one.wait() == 0
        told.append(fence)
    assert told == sorted(set(told))


def test_the_fence_of_a_removed_lock_file_is_not_given_again(leaderexec: Start, lock: str) -> None:
    """A new file counts from the current time."""
    fences = []
    for _ in range(2):
        one = start_one(leaderexec, lock, "a", "--", "true")
        fences.append(one.log("command started")["fence"])
        assert one.wait() == 0
        Path(lock).unlink()
    assert fences[0] < fences[1]


@pytest.mark.parametrize("fence", ["-1", "1.5", "true", '"7"', "9223372036854775808"])
def test_a_fence_that_leaderexec_has_not_written_is_refused(
    leaderexec: Start, lock: str, fence: str
) -> None:
    """Counting on from it could go backwards."""
    said = f'{{"name": "x", "pid": 1, "since": "", "fence": {fence}}}\n'
    Path(lock).write_text(said)
    assert leaderexec("--lock-file", lock, "--", *SLEEP).wait() == 125
    assert Path(lock).read_text() == said


def test_two_terminals_have_two_names(leaderexec: Start, run: Run, lock: str) -> None:
    """By default the name includes the pid, so neither is warned about the other; a query for one
    of them has to name it."""
    first = leaderexec("--lock-file", lock, "--", *SLEEP)
    first.log("command started")
    second = leaderexec("--lock-file", lock, "--", *SLEEP)
    second.log("leaderexec started")
    wait_for(lambda: waits_in_flock(second.pid), "the second to wait")
    names = [f"{os.uname().nodename}.{wrapper.pid}" for wrapper in (first, second)]
    assert [wrapper.lines[0]["identity"] for wrapper in (first, second)] == names
    assert json.loads(Path(lock).read_text())["name"] == names[0]
    assert not second.events("identity is not unique")

    def asked(*words: str) -> tuple[int, str]:
        result = run(LEADEREXEC, "--lock-file", lock, "--is-leader", *words)
        return result.returncode, result.stdout

    assert asked("--identity", names[0]) == (0, f"{names[0]}\n")
    assert asked("--identity", names[1]) == (1, f"{names[0]}\n")
    assert asked() == (125, f"{names[0]}\n")


def test_a_descendant_of_the_leader_needs_no_name_to_ask(leaderexec: Start, lock: str) -> None:
    """The leaderexec that runs the asking process is the one in question."""
    ask = f'"{LEADEREXEC}" --lock-file "{lock}" --is-leader --quiet; echo "said $?"; sleep 100'
    leaderexec("--lock-file", lock, "--", "sh", "-c", ask).output("said 0")


def test_in_a_container_no_name_is_needed_to_ask(leaderexec: Start, run: Run, lock: str) -> None:
    """In each container leaderexec is PID 1; the other container's does not lead."""
    unshare = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    first = leaderexec("--lock-file", lock, "--", *SLEEP, prefix=unshare)
    first.log("command started")
    second = leaderexec("--lock-file", lock, "--", *SLEEP, prefix=unshare)
    second.log("leaderexec started")

    def inside(container: Wrapper) -> int:
        (pid,) = Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text().split()
        return int(pid)

    def asked(container: Wrapper) -> int:
        entered = ("nsenter", "--pid", "--mount", "--target", str(inside(container)))
        return run(*entered, LEADEREXEC, "--lock-file", lock, "--is-leader").returncode

    assert asked(first) == 0
    assert asked(second) == 1
    for container in (second, first):
        # Signalled instead, unshare would leave it behind for a moment.
        os.kill(inside(container), signal.SIGTERM)
        container.wait()


def test_a_replica_restarted_after_a_kill_stands_by_and_says_why(
    leaderexec: Start, run: Run, lock: str
) -> None:
    """Processes of its former life hold the lock under its own name, and are no namesake."""
    script = "trap '' TERM; echo up; while [ ! -e \"$GO\" ]; do sleep 0.02; done"
    go = f"{lock}.go"
    words = ("--lock-file", lock, "--identity", "a", "--")
    first = leaderexec(*words, "sh", "-c", script, env={"GO": go})
    first.output("up")
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    second = leaderexec(*words, *SLEEP)
    assert second.log("lock outlives its holder")["holder_pid"] == first.pid
    assert not second.events("identity is not unique")
    asked = run(LEADEREXEC, "--lock-file", lock, "--identity", "a", "--is-leader")
    assert (asked.returncode, asked.stdout) == (1, "a\n")
    Path(go).touch()
    second.log("command started")


def test_long_names_are_compared_in_full(leaderexec: Start, run: Run, lock: str) -> None:
    """Only electors truncate names."""
    holder, other = "n" * 63, "n" * 63 + "-other"
    start_one(leaderexec, lock, holder).log("command started")
    second = start_one(leaderexec, lock, other)
    wait_for(lambda: waits_in_flock(second.pid), "the second to wait")
    assert not second.events("identity is not unique")
    for name, code in ((holder, 0), (other, 1), (f"{holder}-more", 1)):
        words = ("--lock-file", lock, "--identity", name, "--is-leader")
        assert run(LEADEREXEC, *words).returncode == code


def test_a_replica_that_does_not_lead_within_its_wait_exits_without_running_the_command(
    leaderexec: Start, lock: str
) -> None:
    """With 75, or the code that was given."""
    start_one(leaderexec, lock, "a").log("command started")
    for words, code in (((), 75), (("--wait-exit-code", "0"), 0)):
        late = leaderexec("--lock-file", lock, "--wait", "200ms", *words, "--", "echo", "ran")
        assert late.wait() == code
        assert late.log("transition", to="ended")["reason"] == (
            "did not become leader within --wait"
        )
        assert not late.events("command started")


def test_a_replica_that_leads_within_its_wait_runs_the_command_to_its_end(
    leaderexec: Start, lock: str
) -> None:
    """The option only limits the waiting."""
    wrapper = leaderexec("--lock-file", lock, "--wait", "60s", "--", "sh", "-c", "exit 3")
    assert wrapper.wait() == 3
