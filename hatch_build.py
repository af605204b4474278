"""Compile the launcher for the wheel, if there is a C compiler. Without one the package is pure
Python, and starts the command a few milliseconds later."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path("leaderexec/process/launcher.c")


class Launcher(BuildHookInterface):  # type: ignore[type-arg,misc]
    """Called by hatchling before a wheel, or an editable one, is made."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - its interface
        """Add the launcher to the wheel."""
        program = Path(self.root) / SOURCE.with_suffix("")
        if not compiled(Path(self.root) / SOURCE, program) and not program.exists():
            return
        build_data["artifacts"].append(f"/{SOURCE.with_suffix('')}")
        build_data["pure_python"] = False
        # It uses no C library, so it works with any.
        machine = platform.machine()
        build_data["tag"] = f"py3-none-manylinux_2_17_{machine}.musllinux_1_1_{machine}"


def compiled(source: Path, program: Path) -> bool:
    """Compile; return whether that worked."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        print("no C compiler: leaderexec is built without its launcher", file=sys.stderr)
        return False
    # Replaced, not overwritten: it may be running (ETXTBSY).
    fresh = program.with_suffix(f".{os.getpid()}")
    flags = source.with_suffix(".flags").read_text().split()
    made = subprocess.run(
        [*compiler.split(), *flags, "-o", fresh, source],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        print(f"leaderexec is built without its launcher:\n{made.stderr}", file=sys.stderr)
        return False
    fresh.replace(program)
    return True
