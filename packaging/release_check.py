"""Build wheel and sdist, and check both in an empty environment: `make release-check`."""

import re
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SMOKE = """
import leaderexec
from leaderexec import Leadership, is_leader, subscribe
assert callable(is_leader) and callable(subscribe)
"""
TYPED = "from leaderexec import is_leader\nreveal_type(is_leader)\n"


def run(*words: str | Path, expected: int = 0, cwd: Path | None = None) -> str:
    """Run a command; exit with its output unless it exits as expected."""
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False
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
    names = set(zipfile.ZipFile(wheel).namelist())
    for needed in (
        "leaderexec/py.typed",
        "leaderexec/__main__.py",
        "leaderexec/process/launcher.c",
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
    assert "leaderexec/process/launcher" not in inside, "a compiled file in the sdist"
    say(f"{wheel.name} has {len(names)} files, {sdist.name} {len(inside)}")


def check_version(wheel: Path) -> None:
    """Check that the newest version in the changelog is the one being built, or unreleased."""
    version = wheel.name.split("-")[1]
    headings = re.findall(r"^## \[([^]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert version in headings or headings[0] == "Unreleased", f"{version} is not in CHANGELOG.md"
    say(f"version {version}, changelog {headings[0]}")


def check_installed(package: Path, folder: Path) -> None:
    """Install into an empty environment and try what users do first."""
    venv.create(folder, with_pip=True)
    python, program = folder / "bin" / "python", folder / "bin" / "leaderexec"
    run(python, "-m", "pip", "install", "--quiet", f"{package}[metrics]")
    assert run(program, "--version").startswith("leaderexec ")
    assert run(python, "-m", "leaderexec", "--version").startswith("leaderexec ")
    run(program, "--election", "off", "--", "sh", "-c", "exit 7", expected=7)
    run(program, "--", "true", expected=125)
    run(program, "--election", "off", "--", "/no/such", expected=127)
    assert not (folder / "bin" / "leaderexec-elector").exists()
    run(python, "-I", "-c", SMOKE)
    say(f"{package.name} installs into an empty environment and works there")


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
        run(sys.executable, "-m", "build", "--outdir", folder / "dist", ROOT)
        (wheel,) = (folder / "dist").glob("*.whl")
        (sdist,) = (folder / "dist").glob("*.tar.gz")
        run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
        say("twine check --strict")
        check_contents(wheel, sdist)
        check_version(wheel)
        check_installed(wheel, folder / "from-wheel")
        check_installed(sdist, folder / "from-sdist")
        run(sys.executable, "-m", "build", "--outdir", folder / "tools", ROOT / "dev-elector")
        (elector,) = (folder / "tools").glob("*.whl")
        run(sys.executable, "-m", "twine", "check", "--strict", elector)
        check_dev_elector(elector, folder / "dev-elector")
        check_typed(folder / "from-wheel" / "bin" / "python", folder)


if __name__ == "__main__":
    main()
