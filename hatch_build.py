"""Add the launcher to the wheel.

With ziglang installed, as for `make wheel`, it is compiled for every machine that it is written
for, and one wheel serves them all. Otherwise a C compiler compiles it for this machine. Without
any the package is pure Python, and starts the command a few milliseconds later.
"""

import os
import platform
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("leaderexec/process")
MACHINES = ("aarch64", "x86_64")
# zig does not know it, and has nothing to separate.
NOT_FOR_ZIG = "-Wl,-z,noseparate-code"


class Launcher(BuildHookInterface):  # type: ignore[type-arg,misc]
    """Called by hatchling before a wheel, or an editable one, is made."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - its interface
        """Add what is compiled, or what was compiled elsewhere before."""
        folder = Path(self.root) / FOLDER
        machines = compiled(folder) or [
            machine for machine in MACHINES if program(folder, machine).exists()
        ]
        build_data["artifacts"] += [f"/{program(FOLDER, machine)}" for machine in machines]
        if len(machines) == 1:
            build_data["pure_python"] = False
            # It uses no C library, so it works with any.
            (machine,) = machines
            build_data["tag"] = f"py3-none-manylinux_2_17_{machine}.musllinux_1_1_{machine}"


def program(folder: Path, machine: str) -> Path:
    """Return the file of a machine's launcher."""
    return folder / f"launcher.{machine}"


def compiled(folder: Path) -> list[str]:
    """Compile; return the machines for which that worked."""
    flags = (folder / "launcher.flags").read_text().split()
    if find_spec("ziglang") is not None:
        flags.remove(NOT_FOR_ZIG)
        zig = (sys.executable, "-m", "ziglang", "cc", "-target")
        compilers = {machine: [*zig, f"{machine}-linux-musl"] for machine in MACHINES}
    elif found := os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc"):
        compilers = {platform.machine(): found.split()}
    else:
        print("no C compiler: leaderexec is built without its launcher", file=sys.stderr)
        return []
    return [
        machine
        for machine, compiler in compilers.items()
        if made([*compiler, *flags, str(folder / "launcher.c")], program(folder, machine))
    ]


def made(compile_to: list[str], target: Path) -> bool:
    """Compile to the target; return whether that worked."""
    # Replaced, not overwritten: it may be running (ETXTBSY).
    fresh = target.with_suffix(f".{os.getpid()}")
    done = subprocess.run(
        [*compile_to, "-o", str(fresh)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        print(f"leaderexec is built without its launcher:\n{done.stderr}", file=sys.stderr)
        return False
    fresh.replace(target)
    return True
