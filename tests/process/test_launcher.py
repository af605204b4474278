"""The child and the launcher wait for the go-ahead alike, as far as the command can see."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from support import MARK, marked, wait_for

from leaderexec.process import command as command_module
from leaderexec.process.command import Command, Launch, find_launcher

LAUNCHER = find_launcher()
compiled = pytest.mark.skipif(
    LAUNCHER is None, reason="no C compiler was found when the package was installed"
)
# tests/packaging names another machine's, under an emulator.
TRIED = os.environ.get("LAUNCHER", LAUNCHER)
both = pytest.mark.parametrize(
    "launcher", [None, pytest.param(TRIED, marks=compiled)], ids=["child", "launcher"]
)

NAMES = ("HUP", "TERM", "INT", "USR1", "PIPE", "QUIT")

TELL = """
import ctypes, json, os, sys
death = ctypes.c_int()
ctypes.CDLL(None).prctl(2, ctypes.byref(death), 0, 0, 0)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
descriptors = [int(name) for name in os.listdir("/proc/self/fd")]
def inherited(number):
    try:
        return os.get_inheritable(number)
    except OSError:
        return False
told = {
    "environ": open("/proc/self/environ", "rb").read().decode(errors="surrogateescape"),
    "blocked": int(status["SigBlk"], 16),
    "death_signal": death.value,
    # Those that this interpreter has opened, or libffi has, are closed in its own programs.
    "descriptors": sorted(filter(inherited, descriptors)),
    "leads_its_group": os.getpgrp() == os.getpid(),
}
open(sys.argv[1], "w").write(json.dumps(told))
"""


def reap(pid: int) -> int:
    """Wait for the end; return the exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def shell(script: str, launcher: str | None) -> Launch:
    """Return the launch of a shell script."""
    return Launch("/bin/sh", ["sh", "-c", script], {}, launcher=launcher)


@both
def test_the_command_gets_the_same_environment(launcher: str | None, tmp_path: Path) -> None:
    """Variables are replaced in place or appended, bytes are kept; no signal is blocked, nothing
    leaked; the parent-death signal is set; it has its own process group."""
    output = tmp_path / "output"
    extra = os.open("/dev/null", os.O_RDONLY)
    command = Command(
        Launch(
            sys.executable,
            [sys.executable, "-I", "-S", "-c", TELL, str(output)],
            {b"A": b"old", b"AB": b"kept", b"BYTES": b"\xff=\n", b"EMPTY": b""},
            pass_fds=(extra,),
            death_signal=signal.SIGUSR2,
            launcher=launcher,
        )
    )
    command.prepare()
    assert reap(command.start({"A": "new=1", "LEADEREXEC_TERM": "3", "NAME": "ä"})) == 0
    assert command.reaped() is None
    os.close(extra)
    told: dict[str, Any] = json.loads(output.read_text())
    assert told == {
        "environ": "A=new=1\0AB=kept\0BYTES=\udcff=\n\0EMPTY=\0LEADEREXEC_TERM=3\0NAME=ä\0",
        "blocked": 0,
        "death_signal": signal.SIGUSR2,
        "descriptors": [0, 1, 2, extra],
        "leads_its_group": True,
    }


@both
def test_an_empty_environment_is_an_ordinary_case(launcher: str | None) -> None:
    """Nothing is inherited, nothing added."""
    command = Command(shell("exit 7", launcher))
    assert reap(command.start({})) == 7
    assert command.reaped() is None


@both
@pytest.mark.parametrize(
    ("content", "cause", "code"),
    [
        (None, errno.ENOENT, 127),
        (b"no program\n", errno.ENOEXEC, 126),
        (b"#!/no/such/interpreter\n", errno.ENOENT, 127),
    ],
    ids=["gone", "no interpreter line", "no interpreter"],
)
def test_a_command_that_cannot_be_executed_is_reported_by_cause(
    launcher: str | None, content: bytes | None, cause: int, code: int, tmp_path: Path
) -> None:
    """By errno, and by the right exit code."""
    path = tmp_path / "command"
    if content is not None:
        path.write_bytes(content)
        path.chmod(0o755)
    command = Command(Launch(str(path), ["command"], {}, launcher=launcher))
    assert reap(command.start({"A": "1"})) == code
    assert errno.errorcode[cause] in str(command.reaped())


@both
@pytest.mark.parametrize(
    "number", [*(getattr(signal, f"SIG{n}") for n in NAMES), signal.SIGRTMIN + 5, signal.SIGRTMAX]
)
def test_a_signal_that_arrived_while_it_waited_does_not_reach_the_command(
    launcher: str | None, number: int
) -> None:
    """It was sent to the whole group, or to a process that did nothing yet."""
    command = Command(shell("exit 7", launcher))
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        command.prepare()
        (waiting,) = psutil.Process().children()
        wait_for(lambda: waiting.status() == psutil.STATUS_SLEEPING)
        waiting.send_signal(number)
        assert reap(command.start({})) == 7
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    command.reaped()


@both
def test_a_signal_that_is_sent_right_after_the_start_reaches_the_command(
    launcher: str | None,
) -> None:
    """However soon it is sent: a stop must not be lost."""
    for _ in range(50):
        command = Command(shell("exec sleep 100", launcher))
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            pid = command.start({})
            command.send(signal.SIGTERM)
            assert reap(pid) == -signal.SIGTERM
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        command.reaped()


@both
def test_no_command_outlives_a_wrapper_that_is_killed_right_after_its_start(
    launcher: str | None, environ: dict[str, str]
) -> None:
    """However far its process has come by then, it gets the signal, or does not begin."""
    code = (
        "import os; from leaderexec.process.command import Command, Launch;"
        "sleep = Launch('/bin/sleep', ['sleep', '100'], os.environb, launcher=%r);"
        "Command(sleep).start({}); os.kill(os.getpid(), 9)"
    )
    for _ in range(30):
        killed = subprocess.run([sys.executable, "-c", code % launcher], env=environ, check=False)
        assert killed.returncode == -signal.SIGKILL
    wait_for(lambda: not list(marked(environ[MARK])), "the commands to end")


@both
def test_a_process_that_was_frozen_while_it_waited_starts(launcher: str | None) -> None:
    """The SIGSTOP was not meant for the command, either."""
    command = Command(shell("exit 7", launcher))
    command.prepare()
    (waiting,) = psutil.Process().children()
    waiting.suspend()
    assert reap(command.start({})) == 7
    command.reaped()


@both
def test_a_name_that_the_locale_cannot_encode_is_passed_as_utf_8(launcher: str | None) -> None:
    """Another leader's name comes from elsewhere."""
    code = (
        "import os, sys; from leaderexec.process.command import Command, Launch;"
        f"c = Command(Launch('/usr/bin/printenv', ['printenv', 'A'], {{}}, launcher={launcher!r}));"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(c.start({'A': chr(8364)}), 0)[1]))"
    )
    environ = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, check=True
    )
    assert result.stdout == "\u20ac\n".encode()


@compiled
def test_a_launcher_that_does_not_run_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it is truncated, or built for another machine, it would fail at each start."""
    assert LAUNCHER is not None
    monkeypatch.setattr(command_module, "__file__", str(tmp_path / "child.py"))
    broken = tmp_path / Path(LAUNCHER).name
    whole = Path(LAUNCHER).read_bytes()
    assert find_launcher() is None
    for content in (whole[:300], whole[:100], b"", b"#!/bin/false\n", b"\x7fELF"):
        broken.write_bytes(content)
        broken.chmod(0o755)
        assert find_launcher() is None
    broken.write_bytes(whole)
    assert find_launcher() == str(broken)


@both
def test_without_the_go_ahead_nothing_starts(launcher: str | None, tmp_path: Path) -> None:
    """Neither end-of-file nor half a message starts it: the wrapper has died."""
    for message in (b"", b"A=1\0", b"A=1\0\0g"):
        command = Command(shell(f"touch {tmp_path}/started", launcher))
        command.prepare()
        ready = command._ready
        assert ready is not None
        os.write(ready.go, message)
        os.close(ready.go)
        assert reap(ready.pid) == 0
        os.close(ready.failure)
    assert not list(tmp_path.iterdir())


@compiled
def test_it_is_the_launcher_that_waits() -> None:
    """It takes a hundredth of a Python process's memory."""
    command = Command(shell("exit 7", LAUNCHER))
    command.prepare()
    (waiting,) = psutil.Process().children()
    assert LAUNCHER is not None
    # Not psutil: it caches the first answer.
    wait_for(lambda: os.readlink(f"/proc/{waiting.pid}/exe") == LAUNCHER, "the launcher to run")
    assert waiting.memory_info().rss < 400_000
    command.discard()


@compiled
def test_the_launcher_refuses_more_than_a_pipe_holds() -> None:
    """It is reported as E2BIG, not truncated."""
    command = Command(shell("exit 7", LAUNCHER))
    pid = command.start({"A": "x" * 70_000})
    assert reap(pid) == 126
    assert "E2BIG" in str(command.reaped())


@pytest.mark.parametrize("content", [b"", b"no program\n"], ids=["empty", "text"])
def test_a_launcher_that_cannot_be_executed_is_not_used(content: bytes, tmp_path: Path) -> None:
    """The child itself waits, and the launcher's descriptors do not leak to the command."""
    launcher = tmp_path / "launcher"
    launcher.write_bytes(content)
    launcher.chmod(0o755)
    command = Command(
        shell(
            'for fd in /proc/$$/fd/*; do [ -e "$fd" ] && n=$((n + 1)); done; exit $n', str(launcher)
        )
    )
    command.prepare()
    # 0, 1 and 2; the shell itself expands the pattern, with no descriptor left open.
    assert reap(command.start({})) == 3
    assert command.reaped() is None


def test_the_package_works_without_a_launcher(tmp_path: Path) -> None:
    """As installed without a compiler."""
    import leaderexec

    shutil.copytree(
        Path(leaderexec.__file__).parent,
        tmp_path / "leaderexec",
        ignore=shutil.ignore_patterns("launcher.*", "__pycache__"),
    )
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "leaderexec", "--election", "off", "--", "sh", "-c", "exit 7"],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 7
