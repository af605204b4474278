"""A terminal that hangs up, as when an ssh connection ends: nothing keeps running unseen."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from support import LEADEREXEC, MARK, PATIENCE, Wrapper, alive, marked, wait_for

from leaderexec_elector.running import RunningElector

Start = Callable[..., Wrapper]
ON_TERMINAL = ("setsid", "--ctty")
SLEEP = ("--", "sleep", "100")


class Terminal:
    """A pseudo-terminal; closing our end of it hangs it up."""

    def __init__(self) -> None:
        self.ours, self.theirs = os.openpty()
        self._open = True

    def hang_up(self) -> None:
        """Do what sshd or a terminal emulator does when it ends."""
        if self._open:
            self._open = False
            os.close(self.ours)
            os.close(self.theirs)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """A pseudo-terminal that is not a controlling terminal yet."""
    terminal = Terminal()
    yield terminal
    terminal.hang_up()


def start_on(
    leaderexec: Start,
    terminal: Terminal,
    *words: str,
    prefix: Sequence[str] = (),
    **options: Any,
) -> Wrapper:
    """Start leaderexec with the terminal as its controlling terminal; the session's leader is the
    wrapper itself or, with a prefix, a shell."""
    return leaderexec(*words, stdin=terminal.theirs, prefix=[*ON_TERMINAL, *prefix], **options)


def ended(wrapper: Wrapper) -> dict[str, Any]:
    """Wait for the end of a wrapper that may not be our child; return its last transition."""
    return wait_for(lambda: wrapper.events("transition", to="ended"), "the end")[-1]


STANDBY_BY_A_SHELL = {
    # It dies of the HUP, and the kernel sends another to the terminal's foreground group.
    "a shell that dies": ("dash", "-c", '"$@"; :', "dash"),
    # An interactive shell passes it on to its jobs.
    "a job in the foreground": ("bash", "--norc", "-imc", '"$@"; :', "bash"),
    "a job in the background": ("bash", "--norc", "-imc", '"$@" & wait', "bash"),
}


def test_a_standby_that_leads_its_session_exits_on_a_hang_up(
    leaderexec: Start, elector: RunningElector, terminal: Terminal
) -> None:
    """With 129, like any program that does not handle HUP; stderr may be gone with the terminal."""
    wrapper = start_on(leaderexec, terminal, "--sse-url", elector.sse_url, *SLEEP)
    wrapper.log("leader changed", to="other")
    terminal.hang_up()
    assert wrapper.wait() == 129
    assert ended(wrapper)["reason"] == "the terminal was closed"


@pytest.mark.parametrize("shell", STANDBY_BY_A_SHELL)
def test_a_standby_under_a_shell_exits_on_a_hang_up(
    leaderexec: Start,
    elector: RunningElector,
    terminal: Terminal,
    environ: dict[str, str],
    shell: str,
) -> None:
    """Whether the kernel or the shell sends the HUP."""
    wrapper = start_on(
        leaderexec,
        terminal,
        "--sse-url",
        elector.sse_url,
        *SLEEP,
        prefix=STANDBY_BY_A_SHELL[shell],
    )
    wrapper.log("leader changed", to="other")
    terminal.hang_up()
    assert ended(wrapper)["code"] == 129
    # It is not our child, so it ends a moment after its last log line.
    wait_for(lambda: not list(marked(environ[MARK])), "it to be gone")


def test_under_nohup_a_standby_keeps_running_and_leads_later(
    leaderexec: Start, elector: RunningElector, terminal: Terminal
) -> None:
    """That is what nohup is for."""
    wrapper = start_on(
        leaderexec,
        terminal,
        "--sse-url",
        elector.sse_url,
        "--identity",
        "app-a",
        *SLEEP,
        prefix=("nohup",),
    )
    wrapper.log("leader changed", to="other")
    terminal.hang_up()
    elector.lead("app-a")
    assert alive(wrapper.command_pid())


def test_a_hup_sent_by_a_process_is_harmless_on_standby(
    leaderexec: Start, elector: RunningElector, terminal: Terminal
) -> None:
    """The terminal is still there."""
    wrapper = start_on(leaderexec, terminal, "--sse-url", elector.sse_url, *SLEEP)
    wrapper.log("leader changed", to="other")
    wrapper.send(signal.SIGHUP)
    wrapper.log("signal ignored", signal="SIGHUP")
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 0


def test_a_hup_without_a_controlling_terminal_is_harmless_on_standby(
    leaderexec: Start, elector: RunningElector
) -> None:
    """A container has no terminal that could be gone."""
    wrapper = leaderexec("--sse-url", elector.sse_url, *SLEEP, start_new_session=True)
    wrapper.log("leader changed", to="other")
    wrapper.send(signal.SIGHUP)
    wrapper.log("signal ignored", signal="SIGHUP")
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 0


def test_the_log_may_go_to_the_terminal_that_hangs_up(
    environ: dict[str, str], elector: RunningElector, terminal: Terminal
) -> None:
    """Its last lines can't be written; the exit code is the same."""
    wrapper = subprocess.Popen(
        [*ON_TERMINAL, LEADEREXEC, "--sse-url", elector.sse_url, *SLEEP],
        env=environ,
        stdin=terminal.theirs,
        stdout=terminal.theirs,
        stderr=terminal.theirs,
    )
    try:
        elector.wait_subscribers(1)
        terminal.hang_up()
        assert wrapper.wait(PATIENCE) == 129
    finally:
        wrapper.kill()
        wrapper.wait()


@pytest.mark.parametrize("shell", [(), ("dash", "-c", '"$@"; :', "dash")])
def test_a_command_is_not_restarted_once_the_terminal_is_gone(
    leaderexec: Start, terminal: Terminal, environ: dict[str, str], shell: Sequence[str]
) -> None:
    """Whether the HUP was sent to us and passed on, or the kernel sent it to the command
    alone, which is in the foreground."""
    wrapper = start_on(
        leaderexec, terminal, "--election", "off", "--restart", "always", *SLEEP, prefix=shell
    )
    pid = wrapper.command_pid()
    wait_for(lambda: os.tcgetpgrp(terminal.ours) == pid, "the command in the foreground")
    terminal.hang_up()
    assert ended(wrapper)["code"] == 129
    assert len(wrapper.events("command started")) == 1
    wait_for(lambda: not list(marked(environ[MARK])), "it to be gone")
