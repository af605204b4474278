"""Orders to stop: which signals they are, and which signal the command gets for them."""

import signal
import subprocess
from collections.abc import Callable

import pytest
from support import LEADEREXEC, Wrapper

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Wrapper]
OFF = ("--election", "off")
TELL = (
    'for s in INT TERM QUIT HUP; do trap "echo $s; exit 0" $s; done;'
    " echo up; while :; do sleep 0.05; done"
)


def telling(leaderexec: Start, *words: str) -> Wrapper:
    """Start a command that prints which signal ended it."""
    wrapper = leaderexec(*OFF, *words, "--", "sh", "-c", TELL)
    wrapper.output("up")
    return wrapper


@pytest.mark.parametrize(
    ("words", "number", "told"),
    [
        ((), signal.SIGINT, "TERM"),
        (("--stop-signal", "same"), signal.SIGINT, "INT"),
        (("--stop-signal", "same"), signal.SIGTERM, "TERM"),
        (("--rewrite", "INT=INT"), signal.SIGINT, "INT"),
        (("--end-on", "QUIT"), signal.SIGQUIT, "QUIT"),
        (("--end-on", "QUIT", "--rewrite", "QUIT=HUP"), signal.SIGQUIT, "HUP"),
    ],
)
def test_the_command_gets_the_chosen_signal(
    leaderexec: Start, words: tuple[str, ...], number: int, told: str
) -> None:
    """The stop signal, or the same signal that we got."""
    wrapper = telling(leaderexec, *words)
    wrapper.send(number)
    assert wrapper.wait() == 0
    assert wrapper.out[-1] == told


def test_a_second_order_is_forwarded_unchanged(leaderexec: Start) -> None:
    """It does not extend the deadline, and may have another meaning for the command."""
    trap = "trap 'trap \"echo twice; exit 7\" QUIT; echo once' QUIT"
    script = f"{trap}; echo up; while :; do sleep 0.05; done"
    wrapper = leaderexec(*OFF, "--end-on", "QUIT", "--", "sh", "-c", script)
    wrapper.output("up")
    wrapper.send(signal.SIGQUIT)
    wrapper.output("once")
    wrapper.send(signal.SIGQUIT)
    assert wrapper.wait() == 7
    assert wrapper.out[-1] == "twice"


def test_a_signal_in_end_on_stops_a_leader_that_restarts_its_command(leaderexec: Start) -> None:
    """As TERM does; a QUIT that is forwarded would only end one run of many."""
    wrapper = telling(leaderexec, "--restart", "always", "--end-on", "QUIT")
    wrapper.send(signal.SIGQUIT)
    assert wrapper.wait() == 0
    assert wrapper.out.count("up") == 1


def test_a_signal_in_end_on_stops_a_standby(leaderexec: Start, tmp_path: object) -> None:
    """An image whose STOPSIGNAL is QUIT stops at once."""
    holder = leaderexec("--lock-file", f"{tmp_path}/l", "--identity", "a", "--", "sleep", "100")
    holder.log("command started")
    standby = leaderexec(
        *("--lock-file", f"{tmp_path}/l", "--identity", "b", "--end-on", "QUIT,RTMIN+3"),
        *("--", "sleep", "100"),
    )
    standby.log("leaderexec started")
    standby.send(signal.SIGRTMIN + 3)
    assert standby.wait() == 0


def test_quit_on_standby_is_logged_with_the_remedy(leaderexec: Start, tmp_path: object) -> None:
    """It is probably an image's STOPSIGNAL."""
    holder = leaderexec("--lock-file", f"{tmp_path}/l", "--identity", "a", "--", "sleep", "100")
    holder.log("command started")
    standby = leaderexec("--lock-file", f"{tmp_path}/l", "--identity", "b", "--", "sleep", "100")
    standby.log("leaderexec started")
    standby.send(signal.SIGQUIT)
    assert "--end-on QUIT" in standby.log("signal ignored", signal="SIGQUIT")["remedy"]


def test_the_group_gets_forwarded_signals_if_the_option_asks_for_it(leaderexec: Start) -> None:
    """HUP and USR1 too, as under a shell."""
    child = "trap 'echo child got it' USR1; echo child listens; while :; do sleep 0.05; done"
    script = f"trap : USR1; ({child}) & echo up; while :; do wait; done"
    wrapper = leaderexec(*OFF, "--signal-group", "--", "sh", "-c", script)
    wrapper.output("up")
    # Before that it is a copy of its parent, with the parent's handler.
    wrapper.output("child listens")
    wrapper.send(signal.SIGUSR1)
    wrapper.output("child got it")


def test_signals_that_a_shell_ignores_for_a_background_job_stay_ignored(run: Run) -> None:
    """INT and QUIT (POSIX, XCU 2.11), and TERM, for us and for the command."""
    show = "grep -h SigIgn /proc/$PPID/status /proc/$$/status"
    script = 'trap "" INT QUIT TERM; exec "$@"'
    result = run("sh", "-c", script, "sh", LEADEREXEC, *OFF, "--", "sh", "-c", show)
    masks = [int(line.split()[-1], 16) for line in result.stdout.splitlines()]
    ignored = sum(1 << number - 1 for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM))
    assert len(masks) == 2
    assert all(mask & ignored == ignored for mask in masks)
