"""The wheel: one for every machine where it is built for release, and one wherever it is built."""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

import leaderexec

ROOT = Path(__file__).parents[2]
SOURCES = ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE")
FOLDERS = ("leaderexec", "docs/man", "docs/completion")
MACHINES = ("aarch64", "x86_64")
BUILD = "from hatchling.cli import hatchling; hatchling()"
# As it is where a user builds: in an environment with hatchling alone.
WITHOUT_ZIG = f"import sys; sys.modules['ziglang'] = None; {BUILD}"
released = pytest.mark.skipif(
    find_spec("ziglang") is None,
    reason="ziglang is not installed here; `make wheel` installs it",
)
# Starts the launcher in the emulator, which the kernel does only where that is registered.
# The emulator hands over the environment in reverse.
EMULATED = """
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int count, char **given)
{
    char **words = calloc(count + 4, sizeof *words), **first = environ, **last = environ;
    while (*last)
        last++;
    while (first < --last) {
        char *one = *first;
        *first++ = *last, *last = one;
    }
    words[0] = QEMU, words[1] = "-0", words[2] = given[0], words[3] = LAUNCHER;
    memcpy(words + 4, given + 1, (count - 1) * sizeof *words);
    execv(QEMU, words);
    return 1;
}
"""


def build(folder: Path, code: str, environ: Mapping[str, str]) -> tuple[Path, str]:
    """Build a copy of the sources; return the wheel, and what was said."""
    for name in SOURCES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    skipped = shutil.ignore_patterns("__pycache__", *(f"launcher.{name}" for name in MACHINES))
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=skipped)
    done = subprocess.run(
        [sys.executable, "-c", code, "build", "--target", "wheel", "--directory", "made"],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = (folder / "made").iterdir()
    return wheel, done.stderr


def launchers(wheel: Path) -> set[str]:
    """Return the machines for which a wheel has an executable launcher."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            entry.filename.rpartition(".")[2]
            for entry in archive.infolist()
            if "/process/launcher." in entry.filename and entry.external_attr >> 16 & 0o111
        }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as `make wheel` makes it."""
    return build(tmp_path_factory.mktemp("release") / "source", BUILD, os.environ)[0]


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the launchers."""
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    for machine in MACHINES:
        (folder / f"leaderexec/process/launcher.{machine}").chmod(0o755)
    return folder / "leaderexec" / "process"


@released
def test_one_wheel_has_the_launcher_of_every_machine(wheel: Path) -> None:
    """So it may say that it is for any."""
    assert wheel.name.endswith("-py3-none-any.whl")
    assert launchers(wheel) == set(MACHINES)


@released
def test_the_wheel_says_what_is_in_it(wheel: Path) -> None:
    """Each launcher by the hash of its file, in a bill of materials (PEP 770)."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith(".cdx.json"))
        bill = json.loads(archive.read(name))
        hashes = {
            one["name"]: hashlib.sha256(archive.read(one["name"])).hexdigest()
            for one in bill["components"]
        }
    assert name == f"leaderexec-{leaderexec.__version__}.dist-info/sboms/leaderexec.cdx.json"
    component = bill["metadata"]["component"]
    assert (component["name"], component["version"]) == ("leaderexec", leaderexec.__version__)
    assert hashes == {one["name"]: one["hashes"][0]["content"] for one in bill["components"]}
    assert list(hashes) == [f"leaderexec/process/launcher.{machine}" for machine in MACHINES]


@released
def test_two_builds_in_different_places_are_the_same_to_the_byte(
    wheel: Path, tmp_path: Path
) -> None:
    """Whoever doubts the wheel can build it; the time in it is the one that is asked for."""
    again, _ = build(tmp_path / "else" / "where", BUILD, os.environ)
    assert again.read_bytes() == wheel.read_bytes()
    dated = [
        build(tmp_path / name, BUILD, {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"})[0]
        for name in ("one", "two")
    ]
    assert dated[0].read_bytes() == dated[1].read_bytes() != wheel.read_bytes()


@released
@pytest.mark.timeout(600)
@pytest.mark.parametrize("machine", MACHINES)
def test_each_machines_launcher_keeps_the_launchers_promises(
    machine: str, unpacked: Path, tmp_path: Path
) -> None:
    """All of tests/process/test_launcher.py, under an emulator where this machine is another."""
    launcher = unpacked / f"launcher.{machine}"
    if machine != platform.machine():
        qemu = shutil.which(f"qemu-{machine}-static")
        if qemu is None:
            pytest.skip(f"qemu-{machine}-static is missing (Debian: qemu-user-static)")
        (tmp_path / "emulated.c").write_text(EMULATED)
        names = {"QEMU": qemu, "LAUNCHER": str(launcher)}
        launcher = tmp_path / "emulated"
        subprocess.run(
            [
                *("cc", "-o", launcher, tmp_path / "emulated.c"),
                *(f"-D{name}={json.dumps(value)}" for name, value in names.items()),
            ],
            check=True,
        )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-cov"),
            ROOT / "tests" / "process" / "test_launcher.py",
        ],
        cwd=ROOT,
        env={**os.environ, "LAUNCHER": str(launcher)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_without_a_compiler_the_wheel_is_pure_python(tmp_path: Path) -> None:
    """It says so, and works."""
    without = {name: value for name, value in os.environ.items() if name != "CC"}
    wheel, said = build(tmp_path / "source", WITHOUT_ZIG, {**without, "PATH": "/nowhere"})
    assert "built without its launcher" in said
    assert wheel.name.endswith("-py3-none-any.whl")
    assert launchers(wheel) == set()


def test_no_link_in_the_readme_leads_nowhere_on_an_index(tmp_path: Path) -> None:
    """The repository's own files are not there; their names stay."""
    wheel, _ = build(tmp_path / "source", WITHOUT_ZIG, os.environ)
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith("/METADATA"))
        text = archive.read(name).decode()
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert links
    assert all(link.startswith("https://") for link in links)
    assert "| Fencing |" in text


def test_with_a_compiler_the_wheel_is_for_this_machine(tmp_path: Path) -> None:
    """And for any C library."""
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler here")
    wheel, _ = build(tmp_path / "source", WITHOUT_ZIG, os.environ)
    machine = platform.machine()
    assert wheel.name.endswith(f"-py3-none-manylinux_2_17_{machine}.musllinux_1_1_{machine}.whl")
    assert launchers(wheel) == {machine}
