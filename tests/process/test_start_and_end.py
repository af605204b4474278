"""The command starts as it would without leaderexec, and its end is reported unchanged."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from support import LEADEREXEC, Wrapper, alive, wait_for

from leaderexec.process.command import Command, Launch

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Wrapper]
OFF = ("--election", "off")
# glibc keeps signals 32 and 33 for itself (nptl(7)): a threaded parent may pass them on ignored,
# and no program can change that.
OF_THE_C_LIBRARY = 3 << 31


@pytest.mark.parametrize("code", [0, 1, 2, 42, 124, 125, 126, 127, 128, 200, 255])
def test_every_exit_code_of_the_command_is_ours(run: Run, code: int) -> None:
    assert run(LEADEREXEC, *OFF, "--", "sh", "-c", f"exit {code}").returncode == code


@pytest.mark.parametrize("name", ["KILL", "TERM", "SEGV", "HUP", "USR1", "PIPE"])
def test_a_command_killed_by_a_signal_is_reported_as_128_plus_its_number(
    run: Run, name: str
) -> None:
    """As a shell does."""
    number = getattr(signal, f"SIG{name}")
    result = run(LEADEREXEC, *OFF, "--", "sh", "-c", f"kill -{name} $$")
    assert result.returncode == 128 + number


def test_a_command_that_does_not_exist_exits_with_127_before_any_election(run: Run) -> None:
    """Nobody should have to wait for leadership to notice a wrong command."""
    result = run(LEADEREXEC, "--", "/no/such")
    assert result.returncode == 127
    assert "/no/such was not found" in result.stderr
    result = run(LEADEREXEC, "--", "no-such-command")
    assert result.returncode == 127
    assert "in any directory of PATH" in result.stderr


def test_a_command_that_cannot_be_executed_exits_with_126_before_any_election(
    run: Run, tmp_path: Path
) -> None:
    """Files that are not executable, and directories."""
    result = run(LEADEREXEC, "--", "/etc/passwd")
    assert result.returncode == 126
    assert "chmod +x" in result.stderr
    result = run(LEADEREXEC, "--", str(tmp_path))
    assert result.returncode == 126
    assert "directory" in result.stderr


def test_a_script_without_an_interpreter_line_is_recognized(run: Run, tmp_path: Path) -> None:
    """Execve returns ENOEXEC; no shell is tried, and the error has the remedy."""
    script = tmp_path / "script"
    script.write_text("echo hello\n")
    script.chmod(0o755)
    result = run(LEADEREXEC, *OFF, "--", str(script))
    assert result.returncode == 126
    assert "needs #!" in result.stderr
    assert "ENOEXEC" in result.stderr


def test_a_missing_interpreter_is_recognized(run: Run, tmp_path: Path) -> None:
    """The file exists, but the interpreter in its first line does not."""
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    result = run(LEADEREXEC, *OFF, "--", str(script))
    assert result.returncode == 127
    assert "interpreter" in result.stderr


def run_directly(launch: Launch) -> tuple[int, str | None]:
    """Run a command without a wrapper; return its exit code and why it could not be executed."""
    command = Command(launch)
    pid = command.start({})
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), command.reaped()


def test_an_argument_that_is_too_long_is_reported_by_cause() -> None:
    """E2BIG comes from execve, after the fork (a single argument has 128 KiB at most)."""
    code, why = run_directly(Launch("/bin/true", ["true", "x" * 200_000], {}))
    assert code == 126
    assert "too large" in str(why)
    assert "E2BIG" in str(why)


def test_a_command_removed_meanwhile_is_reported_by_cause(tmp_path: Path) -> None:
    """It was found at start-up, and is gone at the win."""
    code, why = run_directly(Launch(str(tmp_path / "gone"), ["gone"], {}))
    assert code == 127
    assert "ENOENT" in str(why)


def test_a_missing_working_directory_is_no_obstacle(run: Run, tmp_path: Path) -> None:
    """The command starts as it would without us."""
    folder = tmp_path / "gone"
    folder.mkdir()
    script = f"cd {folder} && rmdir {folder} && exec {LEADEREXEC} --election off -- sh -c 'exit 5'"
    assert run("sh", "-c", script).returncode == 5


def test_the_command_is_found_in_path(run: Run, environ: dict[str, str], tmp_path: Path) -> None:
    """As execvp does: the first executable one, skipping other files of that name."""
    for folder, mode in (("a", 0o644), ("b", 0o755)):
        (tmp_path / folder).mkdir()
        script = tmp_path / folder / "tool"
        script.write_text(f"#!/bin/sh\necho {folder}\n")
        script.chmod(mode)
    environ["PATH"] = f"{tmp_path}/a:{tmp_path}/b:{environ['PATH']}"
    assert run(LEADEREXEC, *OFF, "--", "tool").stdout == "b\n"


def test_standard_streams_are_the_commands_own(run: Run) -> None:
    """Bytes pass unchanged."""
    result = run(
        LEADEREXEC, *OFF, "--log-level", "error", "--", "sh", "-c", "cat; echo e >&2", input="in"
    )
    assert (result.stdout, result.stderr) == ("in", "e\n")


def test_the_environment_describes_the_election(run: Run, environ: dict[str, str]) -> None:
    """LEADEREXEC_* is added, and option variables pass through unchanged."""
    environ["LEADEREXEC_GRACE"] = "3s"
    result = run(LEADEREXEC, *OFF, "--identity", "me", "--", "env")
    told = dict(line.split("=", 1) for line in result.stdout.splitlines())
    assert told["LEADEREXEC"] == "1"
    assert told["LEADEREXEC_REPLICA"] == "me"
    assert told["LEADEREXEC_LEADER"] == "me"
    assert told["LEADEREXEC_LEADER_SINCE"].endswith("Z")
    assert told["LEADEREXEC_TERM"] == "1"
    assert told["LEADEREXEC_SOURCE"] == "off"
    assert told["LEADEREXEC_GRACE"] == "3s"


@pytest.mark.parametrize("locale", [{}, {"LC_CTYPE": "C"}, {"LC_CTYPE": "C.UTF-8"}, {"LANG": "C"}])
def test_nothing_else_in_the_environment_is_changed(run: Run, locale: dict[str, str]) -> None:
    """In the C locale Python sets LC_CTYPE for itself; the command does not see it."""
    given = {"PATH": os.environ["PATH"], "EMPTY": "", **locale}
    result = run(LEADEREXEC, *OFF, "--", "env", env=given)
    told = dict(line.split("=", 1) for line in result.stdout.splitlines())
    del told["NOTIFY_SOCKET"]
    assert {k: v for k, v in told.items() if not k.startswith("LEADEREXEC")} == given


def test_dispositions_are_default_and_no_signal_is_blocked(run: Run) -> None:
    """SIGPIPE too: a C program expects `| head` to end it."""
    show = "grep -E '^Sig(Blk|Ign)' /proc/self/status"
    result = run(LEADEREXEC, *OFF, "--", "sh", "-c", show)
    masks = dict(line.split(":\t") for line in result.stdout.splitlines())
    assert {int(mask, 16) & ~OF_THE_C_LIBRARY for mask in masks.values()} == {0}


def test_a_hangup_that_nohup_ignores_stays_ignored(run: Run) -> None:
    """And is not forwarded either."""
    show = "kill -HUP $PPID; grep ^SigIgn /proc/self/status"
    result = run("nohup", LEADEREXEC, *OFF, "--", "sh", "-c", show)
    assert result.returncode == 0
    ignored = int(result.stdout.split()[1], 16) & ~OF_THE_C_LIBRARY
    assert ignored == 1 << (signal.SIGHUP - 1)


def test_a_parent_that_ignores_sigchld_loses_no_exit_code(run: Run) -> None:
    """The kernel would reap for us, and lose the exit code."""
    ignoring = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "os.execv(sys.argv[1], sys.argv[1:])\n"
    )
    result = run(sys.executable, "-c", ignoring, LEADEREXEC, *OFF, "--", "sh", "-c", "exit 9")
    assert result.returncode == 9


def test_no_other_descriptor_is_inherited(run: Run, tmp_path: Path) -> None:
    """Neither ours nor one that our own parent leaked."""
    with (tmp_path / "leak").open("w") as leak:
        result = run(LEADEREXEC, *OFF, "--", "sh", "-c", "ls /proc/$$/fd", pass_fds=[leak.fileno()])
    assert result.stdout.split() == ["0", "1", "2"]


def test_the_command_gets_sigterm_when_the_wrapper_is_killed(leaderexec: Start) -> None:
    """A wrapper killed by SIGKILL leaves no command running."""
    wrapper = leaderexec(
        *OFF,
        "--",
        "sh",
        "-c",
        "trap 'echo told; exit 0' TERM; echo up; while :; do sleep 0.05; done",
    )
    wrapper.output("up")
    pid = wrapper.command_pid()
    os.kill(wrapper.pid, signal.SIGKILL)
    assert wrapper.wait() == 137
    wrapper.output("told")
    wait_for(lambda: not alive(pid), "the command to end")


def test_a_process_forked_ahead_of_time_is_gone_before_its_wrapper() -> None:
    """Nothing outlives us, not even for a moment."""
    command = Command(Launch("/bin/true", ["true"], {}))
    command.prepare()
    (waiting,) = psutil.Process().children()
    command.discard()
    assert not waiting.is_running()


def test_a_process_forked_ahead_of_time_is_replaced_if_it_is_killed() -> None:
    """Whether or not its end has been noticed: the command starts."""
    for noticed in (False, True):
        command = Command(Launch("/bin/sh", ["sh", "-c", "exit 7"], {}))
        command.prepare()
        (waiting,) = psutil.Process().children()
        waiting.kill()
        waiting.wait()
        if noticed:
            command.was_reaped(waiting.pid)
        pid = command.start({})
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 7
        command.reaped()
