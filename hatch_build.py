"""Compile the launcher for the wheel, where there is a C compiler. Without one the package is pure
Python, and starts the command some milliseconds later."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path("leaderexec/process/launcher.c")
FLAGS = [
    *("-Os", "-s", "-static", "-nostdlib", "-ffreestanding", "-fno-builtin", "-fno-pie", "-no-pie"),
    *("-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-Wall", "-Wextra", "-Werror"),
    "-Wl,--build-id=none,-z,noseparate-code,-z,noexecstack",
]


class Launcher(BuildHookInterface):  # type: ignore[type-arg,misc]
    """Called by hatchling before a wheel, or an editable one, is made."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - its interface
        """Add the launcher to the wheel."""
        program = Path(self.root) / SOURCE.with_suffix("")
        if not compiled(Path(self.root) / SOURCE, program):
            return
        build_data["artifacts"].append(f"/{SOURCE.with_suffix('')}")
        build_data["pure_python"] = False
        # It uses no C library, so that every one will do.
        machine = platform.machine()
        build_data["tag"] = f"py3-none-manylinux_2_17_{machine}.musllinux_1_1_{machine}"


def compiled(source: Path, program: Path) -> bool:
    """Compile; return whether that worked."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        print("no C compiler: leaderexec does without its launcher", file=sys.stderr)
        return False
    # Replaced, not overwritten: it may be running (ETXTBSY).
    fresh = program.with_suffix(f".{os.getpid()}")
    made = subprocess.run(
        [*compiler.split(), *FLAGS, "-o", fresh, source],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        print(f"leaderexec does without its launcher:\n{made.stderr}", file=sys.stderr)
        return False
    fresh.replace(program)
    return True
