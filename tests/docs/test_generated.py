"""Generated files match the code, and work where they are used."""

import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from generator import diagram
from generator.__main__ import ROOT, generated

from leaderexec.config.settings import OPTIONS
from leaderexec.core.lifecycle import QUESTIONS
from leaderexec.core.run import Stage

Run = Callable[..., subprocess.CompletedProcess[str]]
COMPLETION = ROOT / "docs" / "completion"


def needs(program: str) -> pytest.MarkDecorator:
    """Skip if a program that only checks is not installed."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def test_nothing_generated_is_stale() -> None:
    """`make generate` would change nothing."""
    for path, text in generated().items():
        assert path.read_text() == text, f"{path.relative_to(ROOT)} is stale: make generate"


def test_the_diagram_shows_every_stage_and_every_way_on() -> None:
    """And a visible promise: there is no way back."""
    edges = diagram.edges()
    order = list(Stage)
    assert all(order.index(after) > order.index(before) for before, after in edges)
    picture = diagram.svg()
    assert all(f">{stage.name}<" in picture for stage in Stage)
    assert picture.count('<path d="M') == len(edges) + 1
    assert "script" not in picture


def test_arcs_of_the_diagram_never_cross() -> None:
    """If two would, one goes below the row; one inside another is lower."""
    states = [(name, "") for name in "abcd"]
    crossing = [("a", "c", "one"), ("b", "d", "two")]
    inside = [("a", "d", "outer"), ("d", "b", "back")]
    assert len(peaks(diagram.render("", states, crossing), above=True)) == 1
    assert len(peaks(diagram.render("", states, crossing), above=False)) == 1
    assert len(set(peaks(diagram.render("", states, inside), above=True))) == 2


def peaks(picture: str, *, above: bool) -> list[int]:
    """Return how far each arc reaches above, or below, the row."""
    found = re.findall(r"<path d=\"M\S+ (\d+)C\S+ (-?\d+)", picture)
    return [int(peak) for edge, peak in found if (int(peak) < int(edge)) is above]


def test_every_question_of_the_plan_says_what_it_asks_and_what_follows() -> None:
    """In one line each, in their order."""
    lines = diagram.questions().splitlines()
    assert len(lines) == len(QUESTIONS)
    assert lines[-1].endswith("start the command.")


@needs("groff")
def test_the_man_page_is_rendered_without_warnings(run: Run) -> None:
    """By groff, with all warnings on."""
    page = str(ROOT / "docs" / "man" / "leaderexec.1")
    result = run("groff", "-man", "-ww", "-Tascii", "-P-cbou", page)
    assert result.stderr == ""
    assert "--takeover-delay DURATION" in result.stdout


def test_the_man_page_has_every_option() -> None:
    """By its flag."""
    page = (ROOT / "docs" / "man" / "leaderexec.1").read_text().replace("\\-", "-")
    for option in OPTIONS:
        assert f"\\fB{option.flag}\\fR" in page


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--electi"], ["--election", "--elections"]),
        (
            ["--election", ""],
            ["auto", "elector", "file", "lease", "etcd", "off", "postgres", "redis"],
        ),
        (["--stop-signal", "USR"], ["USR1", "USR2"]),
        (["--is"], ["--is-leader"]),
        (["--metrics", "o"], ["off", "on"]),
        (["--grace", ""], []),
        (["--", "bash"], ["bash"]),
        (["--", "cat", "--sta"], []),
    ],
)
def test_bash_completes(run: Run, tmp_path: Path, words: list[str], expected: list[str]) -> None:
    """Options, the values that an option allows, signals, and commands after --."""
    quoted = " ".join(f"'{word}'" for word in ["leaderexec", *words])
    script = (
        f"source {COMPLETION}/leaderexec.bash; COMP_WORDS=({quoted}); COMP_CWORD={len(words)};"
        ' _leaderexec; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    result = run("bash", "--norc", "-c", script, cwd=tmp_path)
    assert result.stderr == ""
    found = sorted(set(result.stdout.split()))
    assert set(expected) <= set(found)
    if words[0] != "--":
        assert found == sorted(expected)


@needs("zsh")
def test_zsh_can_read_its_completion(run: Run) -> None:
    """It has no syntax error."""
    assert run("zsh", "-n", str(COMPLETION / "_leaderexec")).stderr == ""


@needs("fish")
def test_fish_can_read_its_completion(run: Run) -> None:
    """It has no syntax error."""
    assert run("fish", "--no-execute", str(COMPLETION / "leaderexec.fish")).stderr == ""


@pytest.mark.parametrize("name", ["leaderexec.bash", "_leaderexec", "leaderexec.fish"])
def test_every_option_can_be_completed(name: str) -> None:
    """In each shell."""
    text = (COMPLETION / name).read_text()
    for option in OPTIONS:
        assert (f"-l {option.name} " if name.endswith("fish") else option.flag) in text
    assert signal.Signals.SIGUSR1.name.removeprefix("SIG") in text
