"""The two ways to wait for the go, in the child and in the launcher, are one to the command."""

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
from support import wait_for

from leaderexec.process.child import Command, Launch, find_launcher

LAUNCHER = find_launcher()
compiled = pytest.mark.skipif(
    LAUNCHER is None, reason="no C compiler was found when the package was installed"
)
both = pytest.mark.parametrize(
    "launcher", [None, pytest.param(LAUNCHER, marks=compiled)], ids=["child", "launcher"]
)

TELL = """
import ctypes, json, os, sys
death = ctypes.c_int()
ctypes.CDLL(None).prctl(2, ctypes.byref(death), 0, 0, 0)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
descriptors = [int(name) for name in os.listdir("/proc/self/fd")]
told = {
    "environ": open("/proc/self/environ", "rb").read().decode(errors="surrogateescape"),
    "blocked": int(status["SigBlk"], 16),
    "death_signal": death.value,
    "descriptors": sorted(number for number in descriptors if os.path.exists(f"/dev/fd/{number}")),
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
def test_the_command_finds_the_same_world(launcher: str | None, tmp_path: Path) -> None:
    """Variables replaced in their place, added at the end, bytes kept; nothing blocked, nothing
    leaked; the death signal set; a group of its own."""
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
    """Nothing inherited, nothing added."""
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
def test_what_cannot_be_executed_is_told_by_cause(
    launcher: str | None, content: bytes | None, cause: int, code: int, tmp_path: Path
) -> None:
    """By the number of the error, and by the right exit code."""
    path = tmp_path / "command"
    if content is not None:
        path.write_bytes(content)
        path.chmod(0o755)
    command = Command(Launch(str(path), ["command"], {}, launcher=launcher))
    assert reap(command.start({"A": "1"})) == code
    assert errno.errorcode[cause] in str(command.reaped())


@both
def test_a_signal_that_came_while_it_waited_is_delivered_at_the_start(launcher: str | None) -> None:
    """With the default effect, and before the command runs."""
    command = Command(shell("exit 7", launcher))
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        command.prepare()
        (waiting,) = psutil.Process().children()
        waiting.send_signal(signal.SIGTERM)
        assert reap(command.start({})) == -signal.SIGTERM
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    command.reaped()


@both
def test_no_go_starts_nothing(launcher: str | None, tmp_path: Path) -> None:
    """Neither end-of-file nor half a message: the wrapper has died."""
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
def test_the_launcher_is_what_waits() -> None:
    """And is a hundredth of a Python process."""
    command = Command(shell("exit 7", LAUNCHER))
    command.prepare()
    (waiting,) = psutil.Process().children()
    assert LAUNCHER is not None
    # Not psutil: it keeps the first answer.
    wait_for(lambda: os.readlink(f"/proc/{waiting.pid}/exe") == LAUNCHER, "the launcher to run")
    assert waiting.memory_info().rss < 400_000
    command.discard()


@compiled
def test_the_launcher_refuses_more_than_a_pipe_holds() -> None:
    """Told as E2BIG, not cut off."""
    command = Command(shell("exit 7", LAUNCHER))
    pid = command.start({"A": "x" * 70_000})
    assert reap(pid) == 126
    assert "E2BIG" in str(command.reaped())


@pytest.mark.parametrize("content", [b"", b"no program\n"], ids=["empty", "text"])
def test_a_launcher_that_cannot_be_executed_is_done_without(content: bytes, tmp_path: Path) -> None:
    """The child waits as it is, and the launcher's descriptors do not leak to the command."""
    launcher = tmp_path / "launcher"
    launcher.write_bytes(content)
    launcher.chmod(0o755)
    command = Command(
        shell(
            'for fd in /proc/$$/fd/*; do [ -e "$fd" ] && n=$((n + 1)); done; exit $n', str(launcher)
        )
    )
    command.prepare()
    # 0, 1 and 2; the pattern is read by the shell itself, with no descriptor left open.
    assert reap(command.start({})) == 3
    assert command.reaped() is None


def test_the_package_works_without_a_launcher(tmp_path: Path) -> None:
    """As installed where no compiler was."""
    import leaderexec

    shutil.copytree(
        Path(leaderexec.__file__).parent,
        tmp_path / "leaderexec",
        ignore=shutil.ignore_patterns("launcher", "__pycache__"),
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
