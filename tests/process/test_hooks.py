"""--on-start and --on-stop, as real processes."""

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import LEADEREXEC, Wrapper, alive, wait_for

Start = Callable[..., Wrapper]
Run = Callable[..., subprocess.CompletedProcess[str]]
OFF = ("--election", "off")


def test_hooks_run_around_the_command_with_what_they_need_to_know(run: Run) -> None:
    """They run before it starts and after it ended, in its environment, with the exit code; the
    wrapper's own exit code is the command's."""
    tell = (
        'echo "$LEADEREXEC_HOOK of $LEADEREXEC_REPLICA in $LEADEREXEC_TERM:'
        ' <$LEADEREXEC_EXIT_CODE>"'
    )
    result = run(
        *(LEADEREXEC, *OFF, "--identity", "app-a"),
        *("--on-start", f"sh -c '{tell}'", "--on-stop", f"sh -c '{tell}'"),
        *("--", "sh", "-c", "echo works; exit 7"),
    )
    assert result.returncode == 7
    assert result.stdout == "on-start of app-a in 1: <>\nworks\non-stop of app-a in 1: <7>\n"


def test_on_stop_runs_when_the_whole_tree_is_gone(leaderexec: Start, tmp_path: Path) -> None:
    """The end of the command itself is not enough."""
    daemon = tmp_path / "daemon"
    wrapper = leaderexec(
        *(*OFF, "--grace", "3s", "--on-stop-timeout", "2s"),
        *("--on-stop", f"sh -c 'kill -0 $(cat {daemon}) && echo too early || echo gone'"),
        *("--", "sh", "-c"),
        f"setsid sh -c 'echo $$ > {daemon}; trap : TERM; echo up; while :; do sleep 0.02; done'",
    )
    wrapper.output("up")
    wrapper.send(signal.SIGTERM)
    wrapper.wait()
    wrapper.output("gone")


def test_a_stop_while_on_start_runs_ends_the_hook_and_cleans_up(leaderexec: Start) -> None:
    """The command is never started."""
    wrapper = leaderexec(
        *(*OFF, "--on-start", "sh -c 'echo warming; exec sleep 600'"),
        *("--on-stop", "echo cleaned", "--", "echo", "started"),
    )
    wrapper.output("warming")
    pid = int(wrapper.log("hook started")["pid"])
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 0
    assert not alive(pid)
    wrapper.output("cleaned")
    assert "started" not in wrapper.out


def test_a_hook_that_takes_too_long_is_killed_along_with_its_descendants(leaderexec: Start) -> None:
    """By default the failure is ignored: the command starts."""
    wrapper = leaderexec(
        *(*OFF, "--on-start-timeout", "200ms"),
        *("--on-start", "sh -c 'trap : TERM; (setsid sleep 600 &) ; while :; do sleep 0.02; done'"),
        *("--", "sh", "-c", "echo up; exec sleep 600"),
    )
    wrapper.output("up")
    failed = wrapper.log("hook failed", hook="on-start")
    assert "longer than its timeout" in failed["reason"]
    assert "--hook-failure is ignore" in failed["remedy"]


@pytest.mark.parametrize("hook", ["false", "/etc/passwd", "sh -c 'kill -9 $$'"])
def test_a_failed_on_start_aborts_if_the_option_asks_for_it(run: Run, hook: str) -> None:
    """It exits with 125, and the command is not started."""
    result = run(
        *(LEADEREXEC, *OFF, "--hook-failure", "abort", "--on-start", hook, "--", "echo", "started")
    )
    assert result.returncode == 125
    assert "--on-start" in result.stderr
    assert "started\n" not in result.stdout


@pytest.mark.parametrize("option", ["--on-start", "--on-stop"])
def test_a_missing_hook_is_reported_at_the_start(run: Run, option: str) -> None:
    """With the option, the value and the cause; nothing is started."""
    result = run(LEADEREXEC, *OFF, option, "no-such-hook now", "--", "echo", "started")
    assert result.returncode == 125
    assert (
        f"{option} is 'no-such-hook', but no-such-hook was not found in any directory of PATH"
        in result.stderr
    )
    assert "started" not in result.stdout


def test_a_hook_reads_nothing_of_the_commands_input(run: Run) -> None:
    """Its stdin is empty."""
    result = run(LEADEREXEC, *OFF, "--on-start", "cat", "--", "cat", input="for the command\n")
    assert result.stdout == "for the command\n"


def test_processes_left_by_on_start_do_not_run_alongside_the_command(leaderexec: Start) -> None:
    """They are stopped first."""
    wrapper = leaderexec(
        *(*OFF, "--on-start", "sh -c 'sleep 600 & echo $!'"),
        *("--", "sh", "-c", "echo up; exec sleep 600"),
    )
    wrapper.output("up")
    left = int(next(line for line in wrapper.out if line.isdigit()))
    assert not alive(left)


def test_a_killed_wrapper_takes_its_hook_with_it(leaderexec: Start) -> None:
    """A hook has the parent-death signal, too."""
    wrapper = leaderexec(*OFF, "--on-start", "sleep 600", "--", "true")
    pid = int(wrapper.log("hook started")["pid"])
    wrapper.process.kill()
    wait_for(lambda: not alive(pid), "the hook to end")
