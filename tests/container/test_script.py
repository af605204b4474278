"""How images for tests are built; the tools are fakes, so none of them is needed here."""

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
    """Run the script with fake tools that record their calls; `behaves` is what they do."""
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
    """Return the calls that begin with this."""
    return [
        line for line in (tmp_path / "calls").read_text().splitlines() if line.startswith(start)
    ]


def test_a_missing_tool_is_named(build: Build) -> None:
    """With how to install it; nothing is started."""
    result = build()
    assert result.returncode == 1
    for tool in TOOLS:
        assert tool in result.stderr.partition("apt-get install")[2]


def test_no_image_is_built_from_a_system_that_could_not_be_built(
    build: Build, tmp_path: Path
) -> None:
    """Otherwise an empty image would stay, and be used from then on."""
    behaves = dict.fromkeys(TOOLS, "exit 0") | {
        "mmdebstrap": "exit 3",
        "podman": '[ "$2" != inspect ] && [ "$2" != exists ]',
    }
    assert build(**behaves).returncode == 3
    assert calls(tmp_path, "podman import") == []
    assert calls(tmp_path, "buildah") == []


def test_an_empty_image_left_by_an_earlier_run_is_rebuilt(build: Build, tmp_path: Path) -> None:
    """It is not enough that it has the name."""
    behaves = dict.fromkeys(TOOLS, "exit 0")
    behaves["podman"] = f'[ "$2" != inspect ] || echo {ONLY_A_HEADER}'
    assert build(**behaves).returncode == 0
    assert len(calls(tmp_path, "podman import")) == 5


def test_an_existing_system_is_reused(build: Build, tmp_path: Path) -> None:
    """Building one takes minutes."""
    behaves = dict.fromkeys(TOOLS, "exit 0")
    behaves["podman"] = '[ "$2" != inspect ] || echo 90000000'
    assert build(**behaves).returncode == 0
    assert calls(tmp_path, "podman import") == []
    assert len(calls(tmp_path, "buildah bud")) == 8
