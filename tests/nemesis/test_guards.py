"""The nemesis finds the fault if any one of the guards is taken out of a copy of the program, and
none with all of them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import leaderexec

ROOT = Path(__file__).parents[2]
MODULES = ":".join(map(str, (ROOT, ROOT / "tests", ROOT / "examples/plugin/tests")))
WORKER = ROOT / "benchmarks/moving/worker.c"
APART = ("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "true")
Run = Callable[..., subprocess.CompletedProcess[str]]


def _missing() -> str:
    """Return why it can't be run here; nothing where it can."""
    for program in ("ip", "iptables", "nsenter", "cc", "redis-server"):
        if shutil.which(program) is None:
            return f"there is no {program}"
    if os.geteuid() or subprocess.run(APART, check=False, capture_output=True).returncode:
        return "namespaces of its own are refused"
    return ""


pytestmark = [pytest.mark.apart, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", autouse=True)
def _possible() -> None:
    if why := _missing():
        pytest.skip(why)


class Guard(NamedTuple):
    """What protects, where it is, and what shows that it is gone. `changes`: a file, its text, and
    the text without the guard."""

    source: str
    steps: str
    changes: tuple[tuple[str, str, str], ...]
    finding: str


GUARDS = {
    "takeover delay": Guard(
        "elector",
        "drop a 4 + move b 0",
        (
            (
                "core/lifecycle.py",
                "start_at=now + policy.takeover_delay,\n    )\n    return _plan",
                "start_at=now,\n    )\n    return _plan",
            ),
        ),
        "two at once",
    ),
    "renew deadline": Guard(
        "redis",
        "drop leader 8",
        (
            (
                "election/store/campaign.py",
                "return self.fence is not None and now.boot < self.deadline",
                "return self.fence is not None",
            ),
            (
                "election/kind.py",
                "return ContactPolicy(config.renew_deadline)",
                "return ContactPolicy(None)",
            ),
        ),
        "two at once",
    ),
    "fence check": Guard(
        "redis",
        "freeze-both leader 8",
        (("worker.c", "if (fence >= strtoull(line, NULL, 10)) {", "if (1) {"),),
        "an older write was accepted",
    ),
    "release check": Guard(
        "redis",
        "stop standby 0; stop standby 0; stop standby 0",
        (
            (
                "election/redis/store.py",
                "if redis.call('GET', KEYS[1]) ~= ARGV[1] then\n  return 0",
                "if ARGV[1] == '' then\n  return 0",
            ),
        ),
        "two at once",
    ),
    "tree wait": Guard(
        "redis",
        # What is left behind is gone before a busy machine has started the next command.
        "; ".join(["step-down leader 0"] * 5),
        (
            (
                "core/run.py",
                "Trigger.EXITED: _to(Stage.STOPPING, _keep_code),",
                "Trigger.EXITED: _to(Stage.GONE, _keep_code),",
            ),
        ),
        "two at once",
    ),
}


def _without(guard: Guard, folder: Path) -> tuple[Path, Path]:
    """Copy program and worker without a guard; return their paths."""
    package = folder / "leaderexec"
    shutil.copytree(Path(leaderexec.__file__).parent, package)
    shutil.copy(WORKER, package)
    for name, text, less in guard.changes:
        path = package / name
        whole = path.read_text()
        assert whole.count(text) >= 1, f"the guard in {name} has moved"
        path.write_text(whole.replace(text, less, 1))
    program = folder / "run" / "leaderexec"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(folder)!r})\n"
        "from leaderexec.__main__ import main\nmain()\n"
    )
    program.chmod(0o755)
    return program, package / "worker.c"


def _haunted(
    run: Run, environ: dict[str, str], source: str, steps: str, *words: str
) -> subprocess.CompletedProcess[str]:
    return run(
        *(sys.executable, str(ROOT / "benchmarks/nemesis.py"), "--source", source),
        # Two that compete, and one that has seen less of it.
        *("--replicas", "3", "--steps", steps, *words),
        env=environ | {"PYTHONPATH": MODULES},
        timeout=580,
    )


@pytest.mark.parametrize("name", GUARDS)
def test_a_guard_that_is_taken_out_is_missed(
    run: Run, environ: dict[str, str], tmp_path: Path, name: str
) -> None:
    """By the one fault against which it is there."""
    guard = GUARDS[name]
    program, worker = _without(guard, tmp_path)
    words = ("--program", str(program), "--worker", str(worker))
    done = _haunted(run, environ, guard.source, guard.steps, *words)
    assert done.returncode == 1, f"{done.stdout}\n{done.stderr}"
    assert f"VIOLATION: {guard.finding}" in done.stdout, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("source", ["elector", "redis"])
def test_with_all_guards_the_same_faults_break_no_promise(
    run: Run, environ: dict[str, str], source: str
) -> None:
    """So it was the guard."""
    steps = "; ".join(guard.steps for guard in GUARDS.values() if guard.source == source)
    done = _haunted(run, environ, source, steps)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
