"""Signals reach the command as if leaderexec were not there."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from support import LEADEREXEC, Wrapper, alive, wait_for

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Wrapper]
OFF = ("--election", "off")

# Prints the number of each signal it gets; by default USR2 ends it.
LISTENER = """
import os, signal, sys
last = int(sys.argv[1])
everything = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
signal.pthread_sigmask(signal.SIG_BLOCK, everything)
print("up", flush=True)
while True:
    number = signal.sigwait(everything)
    print(int(number), flush=True)
    if number == last:
        sys.exit(7)
"""
ORDERS_TO_END = {signal.SIGTERM, signal.SIGINT}
# CHLD is ours; KILL and STOP are the kernel's.
FORWARDED = sorted(
    signal.valid_signals()
    - ORDERS_TO_END
    - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGUSR2}
)


def listener(last: int = signal.SIGUSR2) -> list[str]:
    """Return a command that prints what it receives."""
    return [sys.executable, "-c", LISTENER, str(int(last))]


def test_every_catchable_signal_is_forwarded(leaderexec: Start) -> None:
    """All from 1 to 31, and the real-time range."""
    wrapper = leaderexec(*OFF, "--", *listener())
    wrapper.output("up")
    for number in FORWARDED:
        wrapper.send(number)
        wrapper.output(str(int(number)))
    wrapper.send(signal.SIGUSR2)
    assert wrapper.wait() == 7
    received = [int(line) for line in wrapper.out[1:]]
    assert received == [*FORWARDED, signal.SIGUSR2]


def test_real_time_signals_are_forwarded_as_often_as_they_arrive(leaderexec: Start) -> None:
    """They queue (signal(7)); none are merged."""
    wrapper = leaderexec(*OFF, "--", *listener())
    wrapper.output("up")
    for _ in range(50):
        wrapper.send(signal.SIGRTMIN + 1)
    wrapper.output(str(signal.SIGRTMIN + 1), count=50)
    wrapper.send(signal.SIGUSR2)
    assert wrapper.wait() == 7


def test_signals_on_standby_are_harmless(leaderexec: Start) -> None:
    """They are logged, not fatal; then TERM makes it exit with 0."""
    wrapper = leaderexec("--sse-url", "http://127.0.0.1:1/sse", "--", "true")
    wrapper.log("elector trouble")
    for number in FORWARDED:
        if number not in (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
            wrapper.send(number)
    wrapper.send(signal.SIGUSR2)
    wrapper.log("signal ignored", signal="SIGUSR2")
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 0


def test_a_rewritten_signal_arrives_as_the_other(leaderexec: Start) -> None:
    """Numbers or names, repeated or with commas."""
    wrapper = leaderexec(
        *OFF, "--rewrite", "HUP=QUIT", "--rewrite", "10=SIGRTMIN+2,WINCH=", "--", *listener()
    )
    wrapper.output("up")
    wrapper.send(signal.SIGWINCH)
    for sent, arrives in (
        (signal.SIGHUP, signal.SIGQUIT),
        (signal.SIGUSR1, signal.SIGRTMIN + 2),
        (signal.SIGUSR2, signal.SIGUSR2),
    ):
        wrapper.send(sent)
        wrapper.output(str(int(arrives)))
    assert wrapper.wait() == 7
    assert len(wrapper.out) == 4


def test_a_rewritten_term_stops_with_the_other_signal(leaderexec: Start) -> None:
    """Nginx stops gracefully on QUIT."""
    wrapper = leaderexec(*OFF, "--rewrite", "TERM=QUIT", "--", *listener(signal.SIGQUIT))
    wrapper.output("up")
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 7


def test_a_swallowed_term_does_nothing(leaderexec: Start) -> None:
    """INT still stops it."""
    wrapper = leaderexec(*OFF, "--rewrite", "TERM=", "--", *listener(signal.SIGTERM))
    wrapper.output("up")
    wrapper.send(signal.SIGTERM)
    wrapper.send(signal.SIGHUP)
    wrapper.output(str(int(signal.SIGHUP)))
    assert str(int(signal.SIGTERM)) not in wrapper.out
    wrapper.send(signal.SIGINT)
    assert wrapper.wait() == 7


@pytest.mark.parametrize("by_group", [False, True])
def test_the_stop_signal_goes_to_the_group_only_when_asked(
    leaderexec: Start, by_group: bool
) -> None:
    """By default the command alone gets it; with --signal-group its children do at once, too."""
    script = """
        trap 'kill -KILL $! 2>/dev/null; wait; exit 0' USR1
        trap 'echo parent' TERM
        sh -c 'trap "echo child; exit" TERM; echo ready; while :; do sleep 0.05; done' &
        while kill -0 $! 2>/dev/null; do wait; done; exit 8
    """
    options = ["--signal-group"] if by_group else []
    wrapper = leaderexec(*OFF, *options, "--", "sh", "-c", script)
    wrapper.output("ready")
    wrapper.send(signal.SIGTERM)
    wrapper.output("parent")
    if by_group:
        wrapper.output("child")
        assert wrapper.wait() == 8
    else:
        wrapper.send(signal.SIGUSR1)
        assert wrapper.wait() == 0
        assert "child" not in wrapper.out


@pytest.mark.parametrize("death_signal", ["TERM", "USR1"])
def test_death_signal_is_what_the_command_gets_when_we_are_killed(
    leaderexec: Start, death_signal: str
) -> None:
    """From the kernel: none of our processes is left to send it."""
    number = getattr(signal, f"SIG{death_signal}")
    wrapper = leaderexec(*OFF, "--death-signal", death_signal, "--", *listener(number))
    wrapper.output("up")
    pid = wrapper.command_pid()
    os.kill(wrapper.pid, signal.SIGKILL)
    assert wrapper.wait() == 137
    wrapper.output(str(int(number)))
    wait_for(lambda: not alive(pid), "the command to end")


def test_only_passed_descriptors_are_inherited(run: Run) -> None:
    """--pass-fd may be repeated."""
    read, write = os.pipe()
    other = os.dup(read)
    try:
        result = run(
            LEADEREXEC,
            *OFF,
            "--pass-fd",
            str(read),
            "--pass-fd",
            str(write),
            "--",
            "sh",
            "-c",
            "ls /proc/$$/fd",
            pass_fds=[read, write, other],
        )
    finally:
        for descriptor in (read, write, other):
            os.close(descriptor)
    assert {int(name) for name in result.stdout.split()} == {0, 1, 2, read, write}


def test_a_descriptor_that_is_not_open_is_refused_at_the_start(run: Run) -> None:
    """Otherwise the command would fail later."""
    result = run(LEADEREXEC, *OFF, "--pass-fd", "77", "--", "true")
    assert result.returncode == 125
    assert "--pass-fd is 77" in result.stderr
