"""The demo is the first thing a new user sees: it must work, and must not flatter."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from examples.demo import Line, overlaps, runs_of

DEMO = str(Path(__file__).parents[2] / "examples" / "demo.py")


def test_the_demo_succeeds(
    run: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """Exit code 0, every act shown, and a verdict."""
    result = run(sys.executable, DEMO, timeout=55)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Never two workers at once" in result.stdout
    assert "app-b's worker ignores TERM" in result.stdout
    assert "killed" in result.stdout


def test_the_demos_checker_detects_an_overlap() -> None:
    """Also if a worker's last sign of life came after its successor's start."""
    lines = [
        Line(1.0, "app-a", 10, "start"),
        Line(2.0, "app-b", 11, "start"),
        Line(2.5, "app-a", 10, "work"),
        Line(3.0, "app-b", 11, "end"),
    ]
    assert overlaps(runs_of(lines)) == ["app-b started 0.500s before app-a had ended"]
    assert overlaps(runs_of([*lines[:2], lines[3]])) == []
