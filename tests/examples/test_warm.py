"""The workers that wait warm are run with the command lines in their headers."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from examples.reading import ROOT, command_lines
from support import BIN, Wrapper, wait_for

from leaderexec_elector.running import RunningElector

WARM = ROOT / "warm"
NEEDS = {"worker.py": "python", "worker.sh": "sh", "worker.mjs": "node", "Worker.java": "java"}

Start = Callable[..., Wrapper]
Run = Callable[..., subprocess.CompletedProcess[str]]

each = pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                shutil.which(needed) is None and not (BIN / needed).exists(),
                reason=f"{needed} is not installed",
            ),
        )
        for name, needed in NEEDS.items()
    ],
)


@pytest.fixture
def start(leaderexec: Start, elector: RunningElector, environ: dict[str, str]) -> Start:
    """Run a worker on standby, with an elector in place of the header's lock file."""

    def start_it(name: str) -> Wrapper:
        (words,) = command_lines(WARM / name)
        split = words.index("--")
        command = ["0" if word == "2" else word for word in words[split + 1 :]]
        return leaderexec(
            *("--warm", "--identity", "app-a", "--sse-url", elector.sse_url, "--", *command),
            cwd=WARM,
            env={"PATH": f"{BIN}{os.pathsep}{environ['PATH']}"},
        )

    return start_it


@each
def test_it_works_only_once_it_leads(start: Start, elector: RunningElector, name: str) -> None:
    """It exits when leadership moves; another one waits then."""
    worker = start(name)
    worker.output("prepared")
    worker.log("command ready")
    assert worker.out == ["prepared"]
    elector.lead("app-a")
    wait_for(lambda: len(worker.out) == 2, "the line")
    assert worker.out[1].lower() == "working in term 1, fence none"
    elector.lead("other")
    worker.log("command ready", count=2)
    assert not worker.events("killed")


@each
def test_it_exits_at_once_on_standby(start: Start, name: str) -> None:
    """When ordered to stop."""
    worker = start(name)
    worker.log("command ready")
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    worker.join()
    assert worker.out == ["prepared"]
    assert not worker.events("killed")


@pytest.mark.parametrize("path", sorted(WARM.iterdir()), ids=lambda path: path.name)
def test_each_example_has_a_test(path: Path) -> None:
    assert path.name in {*NEEDS, "__pycache__"}
