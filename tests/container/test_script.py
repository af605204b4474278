"""How images for tests are made; with stand-ins for the tools, so that this needs none of them."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "packaging" / "containers.sh"
TOOLS = ("buildah", "catatonit", "mmdebstrap", "podman", "runc")
ONLY_A_HEADER = "11331"
Build = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Run the script with stand-ins that note how they were called; `behaves` is what they do."""
    places = {name: tmp_path / name for name in ("bin", "temporary")}
    for place in places.values():
        place.mkdir()

    def program(name: str, script: str) -> None:
        path = places["bin"] / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def build(**behaves: str) -> subprocess.CompletedProcess[str]:
        note = f'echo ${{0##*/}} "$@" >>{tmp_path}/calls\n'
        program("id", "echo 0")
        for name, script in behaves.items():
            program(name, note + script)
        for name in ("dirname", "mktemp", "rm", "sh"):
            program(name, f'PATH=/usr/bin:/bin exec {name} "$@"')
        environment = {"PATH": str(places["bin"]), "TMPDIR": str(places["temporary"])}
        done = subprocess.run(
            ["/bin/sh", SCRIPT], env=environment, capture_output=True, text=True, check=False
        )
        assert list(places["temporary"].iterdir()) == []
        return done

    return build


def calls(tmp_path: Path, start: str) -> list[str]:
    """Return the calls that begin so."""
    return [
        line for line in (tmp_path / "calls").read_text().splitlines() if line.startswith(start)
    ]


def test_a_tool_that_is_missing_is_named(build: Build) -> None:
    """With how to get it; nothing is begun."""
    result = build()
    assert result.returncode == 1
    for tool in TOOLS:
        assert tool in result.stderr.partition("apt-get install")[2]


def test_no_image_is_made_of_a_system_that_could_not_be(build: Build, tmp_path: Path) -> None:
    """Else an empty one would stay, and be taken for good the next time."""
    behaves = dict.fromkeys(TOOLS, "exit 0") | {
        "mmdebstrap": "exit 3",
        "podman": '[ "$2" != inspect ] && [ "$2" != exists ]',
    }
    assert build(**behaves).returncode == 3
    assert calls(tmp_path, "podman import") == []
    assert calls(tmp_path, "buildah") == []


def test_an_empty_image_that_an_earlier_run_left_is_made_anew(build: Build, tmp_path: Path) -> None:
    """That it has the name is not enough."""
    behaves = dict.fromkeys(TOOLS, "exit 0")
    behaves["podman"] = f'[ "$2" != inspect ] || echo {ONLY_A_HEADER}'
    assert build(**behaves).returncode == 0
    assert len(calls(tmp_path, "podman import")) == 3


def test_a_system_that_is_there_is_used_again(build: Build, tmp_path: Path) -> None:
    """To make one takes minutes."""
    behaves = dict.fromkeys(TOOLS, "exit 0")
    behaves["podman"] = '[ "$2" != inspect ] || echo 90000000'
    assert build(**behaves).returncode == 0
    assert calls(tmp_path, "podman import") == []
    assert len(calls(tmp_path, "buildah bud")) == 3
