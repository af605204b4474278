"""The Dockerfiles are correct."""

import json
import re
from pathlib import Path

import pytest

import leaderexec

ROOT = Path(__file__).parents[2]
FILES = (ROOT / "Dockerfile", ROOT / "examples" / "base-image" / "Dockerfile")
KNOWN = {
    *("ARG", "COPY", "ENTRYPOINT", "ENV", "FROM", "LABEL", "RUN", "STOPSIGNAL", "USER"),
    "WORKDIR",
}
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


def test_the_labels_are_of_this_version() -> None:
    """Both images say what they are, in the words of the OCI image specification."""
    found = instructions(ROOT / "Dockerfile")
    assert ("ARG", f"VERSION={leaderexec.__version__}") in found
    for label in [rest for word, rest in found if word == "LABEL"]:
        names = re.findall(r"org\.opencontainers\.image\.([a-z]+)=", label)
        assert names == ["title", "description", "version", "revision"]
    assert [word for word, _ in found].count("LABEL") == 2


def test_the_recipes_for_other_images_are_three_lines_that_run_the_folder() -> None:
    """Where `make containers` has put it, and by a list of words, since there may be no shell."""
    page = (ROOT / "docs" / "images.md").read_text()
    recipes = re.findall(r"^```dockerfile\n(FROM .*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(recipes) == 3
    for recipe in recipes:
        base, copied, entry = recipe.splitlines()
        assert re.fullmatch(r"FROM [a-z0-9:./-]+", base)
        assert copied == "COPY --from=leaderexec:binary /opt/leaderexec /opt/leaderexec"
        words = json.loads(entry.removeprefix("ENTRYPOINT "))
        assert words[:2] == ["/opt/leaderexec/bin/leaderexec", "--"]
        assert len(words) > 2


def test_what_is_copied_is_there_and_not_ignored() -> None:
    """Else only the build would tell."""
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"]
    for word, rest in instructions(ROOT / "Dockerfile"):
        if word == "COPY" and "--from" not in rest:
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert any(source == one or source.startswith(f"{one}/") for one in kept), source
