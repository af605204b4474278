"""A virtual environment for a plug-in next to leaderexec, with the packages of the tests' own."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path


class PluginVenv:
    """A folder with its own environment."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, symlinks=True)
        self.bin = folder / "bin"
        paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
        (Path(paths["purelib"]) / "outer.pth").write_text(
            "".join(
                f"import site; site.addsitedir({place!r})\n"
                for place in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
            )
        )
        program = self.bin / "leaderexec"
        program.write_text(f"#!{self.bin}/python\nfrom leaderexec.__main__ import main\nmain()\n")
        program.chmod(0o755)

    def run(self, *words: str, cwd: Path) -> str:
        """Run a program of this environment; return its output. Raises AssertionError."""
        result = subprocess.run(
            words,
            cwd=cwd,
            env={**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stdout
        return result.stdout

    def install(self, project: Path) -> None:
        """Install a project, without its dependencies and without a package index."""
        words = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation", ".")
        self.run("python", "-m", "pip", "install", *words, cwd=project)

    def test(self, project: Path) -> str:
        """Run a project's tests, one after the other; return pytest's closing line."""
        words = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov")
        return self.run("python", "-m", "pytest", *words, cwd=project).splitlines()[-1]


assert sys.prefix != sys.base_prefix, "the tests run in a virtual environment"
