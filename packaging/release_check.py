"""Build wheel and sdist, and check both in empty environments: `make release-check`."""

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Mapping
from email import message_from_bytes
from email.message import Message
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
SMOKE = """
import leaderexec
from leaderexec import Leadership, is_leader, subscribe
assert callable(is_leader) and callable(subscribe)
"""
# What each extra is for; who installs another one has the whole program all the same.
IMPORTED = {
    "metrics": "prometheus_client",
    "postgres": "psycopg",
    "redis": "redis",
    "testing": "leaderexec.testing",
}
TYPED = "from leaderexec import is_leader\nreveal_type(is_leader)\n"


def run(
    *words: str | Path,
    expected: int = 0,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a command; exit with its output unless it exits as expected."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != expected:
        sys.exit(
            f"{' '.join(map(str, words))} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
    return done.stdout


def say(what: str) -> None:
    """Print a step that is done."""
    sys.stdout.write(f"ok: {what}\n")
    sys.stdout.flush()


def check_contents(wheel: Path, sdist: Path) -> None:
    """Check that both contain everything they should, and nothing from this machine."""
    assert wheel.name.endswith("-py3-none-any.whl"), wheel.name
    names = set(zipfile.ZipFile(wheel).namelist())
    for needed in (
        "leaderexec/py.typed",
        "leaderexec/__main__.py",
        "leaderexec/process/launcher.c",
        "leaderexec/process/launcher.aarch64",
        "leaderexec/process/launcher.x86_64",
        "leaderexec/http/page/page.html",
        "leaderexec/http/page/page.css",
        "leaderexec/http/page/page.js",
    ):
        assert needed in names, needed
    for shared in ("man/man1/leaderexec.1", "bash-completion/completions/leaderexec"):
        assert any(name.endswith(f"/share/{shared}") for name in names), shared
    assert not any(name.startswith(("tests/", "docs/", "hatch_build")) for name in names)
    assert not any("elector" in name.split("/")[0] for name in names)
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    for needed in (
        "hatch_build.py",
        "tests/conftest.py",
        "dev-elector/pyproject.toml",
        "docs/index.md",
        "mkdocs.yml",
        "Makefile",
    ):
        assert needed in inside, needed
    launchers = [name for name in inside if name.startswith("leaderexec/process/launcher.")]
    assert sorted(launchers) == [f"leaderexec/process/launcher.{end}" for end in ("c", "flags")]
    say(f"{wheel.name} has {len(names)} files, {sdist.name} {len(inside)}")


def check_version(wheel: Path) -> None:
    """Check that the newest version in the changelog is the one being built, or unreleased."""
    version = wheel.name.split("-")[1]
    headings = re.findall(r"^## \[([^]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert version in headings or headings[0] == "Unreleased", f"{version} is not in CHANGELOG.md"
    say(f"version {version}, changelog {headings[0]}")


def metadata_of(wheel: Path) -> Message:
    """Return the METADATA of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def check_readme(wheel: Path) -> None:
    """Check that no link on an index leads to a file of this repository."""
    text = str(metadata_of(wheel).get_payload())
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert all(link.startswith("https://") for link in links), links
    say(f"the README has {len(links)} link(s) on an index, all to elsewhere")


def check_bill(wheel: Path) -> None:
    """Check the bill of materials (PEP 770) by the schema of CycloneDX."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if ".dist-info/sboms/" in one)
        bill = archive.read(name).decode()
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill)
    assert fault is None, fault
    say(f"{name} is valid")


def installed(
    package: Path,
    folder: Path,
    *pip: str | Path,
    extra: str = "",
    env: Mapping[str, str] | None = None,
) -> Path:
    """Install into an empty environment; return its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    what = f"{package}[{extra}]" if extra else str(package)
    run(python, "-m", "pip", "install", "--quiet", *pip, what, env=env)
    return python


def check_installed(python: Path) -> None:
    """Try what users do first."""
    program = python.with_name("leaderexec")
    assert run(program, "--version").startswith("leaderexec ")
    assert run(python, "-m", "leaderexec", "--version").startswith("leaderexec ")
    run(program, "--election", "off", "--", "sh", "-c", "exit 7", expected=7)
    run(program, "--election", "off", "--http", "127.0.0.1:0", "--", "true")
    run(program, "--lock-file", python.parents[1] / "lock", "--", "sh", "-c", "exit 7", expected=7)
    run(program, "--", "true", expected=125)
    run(program, "--election", "off", "--", "/no/such", expected=127)
    assert not python.with_name("leaderexec-elector").exists()
    run(python, "-I", "-c", SMOKE)


def has_launcher(python: Path) -> bool:
    """Tell whether the command's process waits in the launcher there."""
    code = "from leaderexec.process.command import find_launcher as f; print(f() is not None)"
    return run(python, "-I", "-c", code).strip() == "True"


def check_wheel(wheel: Path, folder: Path) -> None:
    """Check the bare wheel, and each extra."""
    bare = installed(wheel, folder / "bare")
    check_installed(bare)
    assert has_launcher(bare)
    say(f"{wheel.name} alone works in an empty environment, with the launcher")
    for extra, module in IMPORTED.items():
        python = installed(wheel, folder / extra, extra=extra)
        run(python, "-I", "-c", f"import {module}")
        check_installed(python)
        say(f"{wheel.name}[{extra}] as well")


def check_sdist(sdist: Path, folder: Path) -> None:
    """Check that it can be built and installed where there is no compiler."""
    without = {name: value for name, value in os.environ.items() if name != "CC"}
    python = installed(sdist, folder, env=without | {"PATH": str(folder / "bin")})
    check_installed(python)
    assert not has_launcher(python)
    say(f"{sdist.name} works where no compiler is, without the launcher")


def check_versions(wheel: Path, folder: Path) -> None:
    """Check with the lowest and the highest version of every dependency that is allowed."""
    extras = ("metrics", "postgres", "redis")
    found = [Requirement(line) for line in metadata_of(wheel).get_all("Requires-Dist", [])]
    lowest = [
        f"{one.name}=={bound.version}"
        for one in found
        if one.marker is None or any(one.marker.evaluate({"extra": name}) for name in extras)
        for bound in one.specifier
        if bound.operator == ">="
    ]
    constraints = folder / "lowest.txt"
    constraints.write_text("\n".join(lowest))
    for name, pip in (("lowest", ("--constraint", constraints)), ("highest", ("--upgrade",))):
        python = installed(wheel, folder / name, *pip, extra=",".join(extras))
        check_installed(python)
        run(python, "-I", "-c", f"import {', '.join(IMPORTED[extra] for extra in extras)}")
        listed = run(python, "-m", "pip", "list", "--format=freeze").split()
        say(f"{name} versions: {' '.join(sorted(listed))}")


def check_dev_elector(package: Path, folder: Path) -> None:
    """Install it without an index: it needs nothing."""
    venv.create(folder, with_pip=True)
    run(folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-index", package)
    assert "leaderexec-elector" in run(folder / "bin" / "leaderexec-elector", "--help")
    say(f"{package.name} installs alone and works there")


def check_typed(python: Path, folder: Path) -> None:
    """Check that a user's mypy finds the types of the installed package."""
    (folder / "user.py").write_text(TYPED)
    told = run(
        *(sys.executable, "-m", "mypy", "--strict", "--no-incremental"),
        *("--python-executable", python, "user.py"),
        cwd=folder,
    )
    assert "-> builtins.bool" in told or "-> bool" in told, told
    say("typed: a user's mypy sees is_leader() -> bool")


def main() -> None:
    """Check everything."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # With this environment's ziglang, which makes the launcher for every machine.
        build = (sys.executable, "-m", "build", "--no-isolation", "--outdir")
        run(*build, folder / "dist", ROOT)
        (wheel,) = (folder / "dist").glob("*.whl")
        (sdist,) = (folder / "dist").glob("*.tar.gz")
        run(*build, folder / "again", "--wheel", ROOT)
        again = folder / "again" / wheel.name
        assert again.read_bytes() == wheel.read_bytes(), "two builds differ"
        say("two builds are the same, to the byte")
        run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
        say("twine check --strict")
        check_contents(wheel, sdist)
        check_version(wheel)
        check_readme(wheel)
        check_bill(wheel)
        check_wheel(wheel, folder)
        check_sdist(sdist, folder / "from-sdist")
        check_versions(wheel, folder)
        run(sys.executable, "-m", "build", "--outdir", folder / "tools", ROOT / "dev-elector")
        (elector,) = (folder / "tools").glob("*.whl")
        run(sys.executable, "-m", "twine", "check", "--strict", elector)
        check_dev_elector(elector, folder / "dev-elector")
        check_typed(folder / "bare" / "bin" / "python", folder)


if __name__ == "__main__":
    main()
