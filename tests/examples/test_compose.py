"""The compose file is valid by the specification's schema, and its replicas share a lock."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from examples.reading import ROOT, Document, configured, documents, faults, schema
from support import BIN, Wrapper, wait_for

from leaderexec.config.options import duration
from leaderexec.core.run import KILL_PATIENCE

FILE = "compose/compose.yaml"
Run = Callable[..., subprocess.CompletedProcess[str]]


def worker() -> Document:
    """Return the service."""
    (document,) = documents(FILE)
    service = document["services"]["worker"]
    assert isinstance(service, dict)
    return service


def dockerfile(word: str) -> list[str]:
    """Return the rest of each line of the service's Dockerfile that begins with this word."""
    lines = worker()["build"]["dockerfile_inline"].splitlines()
    return [line.partition(" ")[2] for line in lines if line.startswith(f"{word} ")]


def test_it_is_valid() -> None:
    """By the compose specification's own schema."""
    (document,) = documents(FILE)
    assert faults(document, schema("compose")) == []


def test_the_schema_detects_a_misspelt_field() -> None:
    """A check of the test above."""
    (document,) = documents(FILE)
    service = document["services"]["worker"]
    service["stop_grace"] = service.pop("stop_grace_period")
    (fault,) = faults(document, schema("compose"))
    assert "'stop_grace' was unexpected" in fault


def test_compose_waits_longer_than_leaderexec() -> None:
    """The grace and the KILL's own time fit."""
    settings = configured(["leaderexec", "--", "true"], worker()["environment"])
    assert settings.election == "file"
    assert duration(worker()["stop_grace_period"]) > settings.grace + KILL_PATIENCE


def test_the_lock_is_on_the_shared_volume() -> None:
    """Its folder is the volume's, and belongs to the user that the image runs as."""
    (volume,) = worker()["volumes"]
    (document,) = documents(FILE)
    name, _, folder = volume.partition(":")
    assert name in document["volumes"]
    assert str(Path(worker()["environment"]["LEADEREXEC_LOCK_FILE"]).parent) == folder
    user, _, group = dockerfile("USER")[0].partition(":")
    made = next(line for line in dockerfile("RUN") if folder in line)
    assert f"--owner={user} --group={group}" in made


def test_copied_files_exist() -> None:
    """Relative to the build's contexts."""
    build = worker()["build"]
    for line in dockerfile("COPY"):
        source, *words = line.removeprefix("--from=checkout ").split()
        is_ours = line.startswith("--from=checkout ")
        context = build["additional_contexts"]["checkout"] if is_ours else build["context"]
        for name in (source, *words[:-1]):
            assert ((ROOT / FILE).parent / context / name).exists(), name


@pytest.mark.timeout(60)
def test_another_replica_takes_over_when_the_leader_is_killed(
    leaderexec: Callable[..., Wrapper], tmp_path: Path
) -> None:
    """As many replicas as the file has, with its variables and command, and other folders."""
    variables = dict(worker()["environment"])
    variables["LEADEREXEC_LOCK_FILE"] = str(tmp_path / "lock")
    # Replicas in containers have a port each.
    del variables["LEADEREXEC_HTTP"]
    command = [str(BIN / "python"), str(ROOT / "worker.py")]
    replicas = [
        leaderexec("--identity", f"worker-{number}", "--", *command, env=variables)
        for number in range(worker()["deploy"]["replicas"])
    ]

    def leading() -> list[Wrapper]:
        return [one for one in replicas if one.events("command started")]

    wait_for(lambda: len(leading()) == 1, "one leader")
    (first,) = leading()
    first.process.kill()
    wait_for(lambda: len(leading()) == 2, "a second leader, once the first one was killed")
