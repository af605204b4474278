"""The images' entry: no TERM is lost, however early; and none of the command's code is imported."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import LEADEREXEC, Wrapper, wait_for

import leaderexec
from leaderexec.process.command import find_launcher

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Wrapper]
UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
NOBODY_ANSWERS = ("--sse-url", "http://127.0.0.1:9/sse", "--log-level", "error")
LEADS = ("--election", "off", "--log-level", "error")
FOR_EVER = "while :; do sleep 0.01; done"
HOSTILE = ("queue", "select", "json", "requests", "structlog", "signal", "typing")
compiled = pytest.mark.skipif(find_launcher() is None, reason="there is no C compiler here")


@pytest.fixture
def entry(tmp_path: Path) -> str:
    """The launcher next to Python's entry, as in the images."""
    launcher = find_launcher()
    assert launcher is not None
    path = tmp_path / "leaderexec"
    shutil.copy(launcher, path)
    script = f"#!{sys.executable} -I\nfrom leaderexec.__main__ import main\nmain()\n"
    path.with_suffix(".py").write_text(script)
    path.with_suffix(".py").chmod(0o755)
    return str(path)


def first_process(parent: int) -> int | None:
    """Return PID 1 of the namespace once it has become a program other than unshare."""
    try:
        pid = int(Path(f"/proc/{parent}/task/{parent}/children").read_text().split()[0])
        program = os.readlink(f"/proc/{pid}/exe")
    except (OSError, IndexError):
        return None
    return None if program.endswith("unshare") else pid


def is_blocked(pid: int) -> bool:
    """Return whether a TERM would stay pending for the process."""
    status = Path(f"/proc/{pid}/status").read_text()
    mask = next(line.split()[1] for line in status.splitlines() if line.startswith("SigBlk"))
    return bool(int(mask, 16) >> signal.SIGTERM - 1 & 1)


@pytest.mark.timeout(300)
@compiled
@pytest.mark.parametrize(
    ("words", "codes"),
    [
        ((*NOBODY_ANSWERS, "--", "sleep", "100"), {0}),
        # Before the command has begun, while its trap is not yet set, and afterwards.
        ((*LEADS, "--", "sh", "-c", f"trap 'exit 21' TERM; {FOR_EVER}"), {0, 143, 21}),
    ],
    ids=["standby", "leader"],
)
def test_no_term_is_lost_however_early(
    entry: str, environ: dict[str, str], words: tuple[str, ...], codes: set[int]
) -> None:
    """As PID 1, at moments throughout Python's own start."""
    chance = random.Random()
    seed = chance.randrange(2**32)
    chance.seed(seed)
    print(f"seed {seed}")
    for _ in range(12):
        with subprocess.Popen([*UNSHARE, entry, *words], env=environ) as unshare:
            parent = unshare.pid
            pid = wait_for(lambda parent=parent: first_process(parent) or 0)  # type: ignore[misc]
            # Before it is blocked there is a gap of microseconds, which tini has, too.
            wait_for(lambda pid=pid: is_blocked(pid))  # type: ignore[misc]
            moment = time.monotonic() + chance.uniform(0, 0.15)
            while time.monotonic() < moment:
                pass
            os.kill(pid, signal.SIGTERM)
            assert unshare.wait(30) in codes


@compiled
def test_python_never_runs_with_unblocked_signals(entry: str, environ: dict[str, str]) -> None:
    """The signals are blocked before Python begins, and stay blocked."""
    with subprocess.Popen(
        [*UNSHARE, entry, *NOBODY_ANSWERS, "--", "sleep", "100"], env=environ
    ) as unshare:
        python = os.path.realpath(sys.executable)

        def runs_python() -> int:
            pid = first_process(unshare.pid) or 0
            return pid if pid and os.readlink(f"/proc/{pid}/exe") == python else 0

        pid = wait_for(runs_python)
        assert is_blocked(pid)
        os.kill(pid, signal.SIGTERM)
        assert unshare.wait(30) == 0


@compiled
def test_the_entry_behaves_like_leaderexec(entry: str, run: Run) -> None:
    """In its arguments, environment, exit code and queries, and through a link."""
    script = "echo $X $LEADEREXEC; exit 7"
    result = run("env", "X=1", entry, "--election", "off", "--", "sh", "-c", script)
    assert (result.returncode, result.stdout) == (7, "1 1\n")
    link = Path(entry).with_name("link")
    link.symlink_to(entry)
    assert run(str(link), "--version").stdout.startswith("leaderexec ")
    with subprocess.Popen([entry, "--status", "--watch", "--http", "127.0.0.1:9"]) as asked:
        assert asked.wait(30) == 125


@compiled
def test_an_entry_without_its_python_says_so(entry: str, run: Run) -> None:
    """On one line, with exit code 125."""
    Path(entry).with_suffix(".py").unlink()
    result = run(entry, "--version")
    assert result.returncode == 125
    assert ".py beside it" in result.stderr


@compiled
def test_the_c_library_keeps_its_own_signals(entry: str, run: Run) -> None:
    """It uses 32 to 34 to reach its threads; if they were blocked, setuid(2) could wait forever."""
    Path(entry).with_suffix(".py").write_text("#!/bin/sh\nexec grep SigBlk /proc/self/status\n")
    blocked = int(run(entry).stdout.split()[-1], 16)
    unblockable = {signal.SIGKILL, signal.SIGSTOP}
    assert {number for number in range(1, 65) if not blocked >> number - 1 & 1} == {
        *unblockable,
        *(32, 33, 34),
    }


@compiled
def test_the_command_has_nothing_blocked(entry: str, run: Run) -> None:
    """Only leaderexec itself has them blocked."""
    result = run(entry, *LEADS, "--", "grep", "SigBlk", "/proc/self/status")
    assert int(result.stdout.split()[-1], 16) == 0


@compiled
def test_without_proc_the_entry_is_expected_where_the_images_have_it(entry: str, run: Run) -> None:
    """It can't find out its own location then."""
    script = """
        mount -t tmpfs none /opt
        mkdir -p /opt/leaderexec/bin
        printf '#!/bin/sh\necho in place "$@"' >/opt/leaderexec/bin/leaderexec.py
        chmod +x /opt/leaderexec/bin/leaderexec.py
        umount -l /proc
        exec "$0" --version"""
    result = run("unshare", "--mount", "sh", "-euc", script, entry)
    assert (result.returncode, result.stdout) == (0, "in place --version\n"), result.stderr


@pytest.mark.parametrize("start", ["script", "module"])
def test_none_of_the_commands_modules_are_imported(
    run: Run, environ: dict[str, str], tmp_path: Path, start: str
) -> None:
    """Its queue.py and json.py are its own, and it still finds them."""
    for name in HOSTILE:
        (tmp_path / f"{name}.py").write_text("import os; os.write(2, b'hostile'); X = 1\n")
    program = [LEADEREXEC] if start == "script" else [sys.executable, "-m", "leaderexec"]
    command = (sys.executable, "-c", "import queue, requests; print(queue.X, requests.X)")
    elector = ("--get-url", "http://127.0.0.1:9/", "--is-leader")
    # Imports by site and by the installer's script come before we begin, as do those that
    # measure the tests' coverage.
    kept = {name: text for name, text in environ.items() if not name.startswith("COVERAGE")}
    hostile = kept | {"PYTHONPATH": str(tmp_path)}
    result = run(*program, *elector, env=hostile, cwd=tmp_path)
    assert result.returncode == 125
    assert "can't be reached" in result.stderr
    words = ("--election", "off", "--log-format", "console", "--http", "127.0.0.1:0")
    result = run(*program, *words, "--", *command, env=hostile, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, "1 1\n")
    assert "command ended" in result.stderr


def test_a_path_with_pythons_own_library_hides_nothing(run: Run, environ: dict[str, str]) -> None:
    """Some images set PYTHONPATH to it; the interpreter's own paths stay in use."""
    library = os.path.dirname(os.__file__)
    extensions = next(place for place in sys.path if place.endswith("lib-dynload"))
    for start in ((LEADEREXEC,), (sys.executable, "-I", "-m", "leaderexec")):
        for named in (library, extensions, f"{library}:{extensions}"):
            result = run(*start, *LEADS, "--", "true", env=environ | {"PYTHONPATH": named})
            assert (result.returncode, result.stderr) == (0, ""), named


def test_pythons_own_modules_come_before_the_commands(
    run: Run, environ: dict[str, str], tmp_path: Path
) -> None:
    """Leaderexec is in one folder with them, found by PYTHONPATH (`pip install --target`)."""
    (tmp_path / "leaderexec").symlink_to(os.path.dirname(leaderexec.__file__))
    for name in ("queue", "select", "json", "signal", "typing"):
        (tmp_path / f"{name}.py").write_text("import os; os.write(2, b'hostile'); X = 1\n")
    # Imports that measure the tests' coverage come before we begin.
    kept = {name: text for name, text in environ.items() if not name.startswith("COVERAGE")}
    hostile = kept | {"PYTHONPATH": str(tmp_path)}
    command = (sys.executable, "-c", "import queue; print(queue.X)")
    result = run(sys.executable, "-m", "leaderexec", *LEADS, "--", *command, env=hostile, cwd="/")
    # The command's own import prints it once.
    assert (result.returncode, result.stdout, result.stderr) == (0, "1\n", "hostile")


def test_a_missing_library_is_reported_with_the_remedy(
    run: Run, environ: dict[str, str], tmp_path: Path
) -> None:
    """It may be in PYTHONPATH, from which leaderexec imports nothing."""
    (tmp_path / "leaderexec").symlink_to(os.path.dirname(leaderexec.__file__))
    environ |= {"PYTHONPATH": str(tmp_path)}
    start = (sys.executable, "-S", "-m", "leaderexec")
    result = run(*start, *NOBODY_ANSWERS, "--", "true", env=environ, cwd="/")
    assert result.returncode == 125
    assert "reinstall leaderexec" in result.stderr
    assert "PYTHONPATH" in result.stderr
