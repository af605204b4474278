"""The Dockerfiles are correct."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = (ROOT / "Dockerfile", ROOT / "examples" / "base-image" / "Dockerfile")
KNOWN = {"ARG", "COPY", "ENTRYPOINT", "ENV", "FROM", "RUN", "STOPSIGNAL", "USER", "WORKDIR"}
each_file = pytest.mark.parametrize("path", FILES, ids=["own", "example"])


def instructions(path: Path) -> list[tuple[str, str]]:
    """Return the instructions, with continued lines joined."""
    text = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", "", text)
    return [
        (word, rest)
        for word, _, rest in (line.partition(" ") for line in joined.split("\n"))
        if word
    ]


@each_file
def test_every_instruction_exists(path: Path) -> None:
    """There is no typing error."""
    for word, rest in instructions(path):
        assert word in KNOWN
        if word == "ENTRYPOINT":
            assert isinstance(json.loads(rest), list)


@each_file
def test_every_final_stage_runs_leaderexec_without_rights(path: Path) -> None:
    """Its entrypoint is leaderexec, in the form without a shell; its user is a number and not
    root: a platform that forbids root can't know names."""
    stages: dict[str, list[tuple[str, str]]] = {}
    for word, rest in instructions(path):
        if word == "FROM":
            stages[rest.rpartition(" AS ")[2]] = []
        elif stages:
            stages[list(stages)[-1]].append((word, rest))
    finals = {"image", "binary", "without-python"} & set(stages)
    assert finals
    for stage in finals:
        last = dict(stages[stage])
        assert json.loads(last["ENTRYPOINT"])[-1] == "--"
        assert json.loads(last["ENTRYPOINT"])[0].endswith("leaderexec")
        assert re.fullmatch(r"[1-9]\d+:\d+", last["USER"])


def test_copied_files_exist_and_are_not_ignored() -> None:
    """Otherwise only the build would show it."""
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"]
    for word, rest in instructions(ROOT / "Dockerfile"):
        if word == "COPY" and "--from" not in rest:
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert any(source == one or source.startswith(f"{one}/") for one in kept), source
