"""A core dump contains the memory of a process: of leaderexec, the credentials of the election."""

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
OFF = ("--election", "off")
WITH_CORE_DUMPS = ("sh", "-c", 'ulimit -Sc "$(ulimit -Hc)"; exec "$@"', "sh")
# It ends as by a bug in the interpreter, once its stdin has ended.
CRASHES = """
import ctypes, sys, threading
from leaderexec.__main__ import main
threading.Thread(target=lambda: (sys.stdin.read(), ctypes.string_at(0)), daemon=True).start()
main()
"""


def test_no_core_dump_is_made_of_leaderexec(leaderexec: Start, tmp_path: Path) -> None:
    """Neither in a file, nor for a program that the system gives it to."""
    wrapper = leaderexec(
        *OFF,
        *("--", "sleep", "1000"),
        prefix=WITH_CORE_DUMPS,
        program=(sys.executable, "-c", CRASHES),
        stdin=subprocess.PIPE,
        cwd=tmp_path,
    )
    command = wrapper.command_pid()
    assert wrapper.process.stdin is not None
    wrapper.process.stdin.close()
    ended = os.waitid(os.P_PID, wrapper.pid, os.WEXITED | os.WNOWAIT)
    assert ended is not None
    assert (ended.si_code, ended.si_status) == (os.CLD_KILLED, signal.SIGSEGV)
    assert list(tmp_path.iterdir()) == []
    # By its death signal.
    wait_for(lambda: not alive(command))


@pytest.mark.parametrize("limit", ["0", "1", "4096", "the hard one"])
@pytest.mark.parametrize("options", [(), ("--child-logs", "json")], ids=["inherited", "marked"])
def test_the_commands_core_dumps_are_limited_as_without_leaderexec(
    run: Run, limit: str, options: tuple[str, ...]
) -> None:
    """Its hooks', too."""
    blocks = "$(ulimit -Hc)" if limit == "the hard one" else limit
    prefix = ("sh", "-c", f'ulimit -Sc {blocks} 2> /dev/null; exec "$@"', "sh")
    shows = "echo core $(ulimit -Sc) $(ulimit -Hc)"
    expected = run(*prefix, "sh", "-c", shows).stdout.strip()
    hook = ("--on-stop", f"sh -c '{shows}'")
    said = run(*prefix, LEADEREXEC, *OFF, *options, *hook, "--", "sh", "-c", shows)
    assert said.stdout.count(expected) == 2
