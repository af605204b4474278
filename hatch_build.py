"""What is made for the wheel: the launcher, a bill of materials, and the README for an index.

With ziglang installed, as for `make wheel`, the launcher is compiled for every machine that it is
written for, and one wheel serves them all. Otherwise a C compiler compiles it for this machine.
Without any the package is pure Python, and starts the command a few milliseconds later.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

FOLDER = Path("leaderexec/process")
MACHINES = ("aarch64", "x86_64")
# zig does not know it, and has nothing to separate.
NOT_FOR_ZIG = "-Wl,-z,noseparate-code"


class Readme(MetadataHookInterface):  # type: ignore[misc]
    """Called by hatchling for the metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Leave out the links to other files, which lead nowhere on an index."""
        text = (Path(self.root) / "README.md").read_text()
        text = re.sub(r"\[([^][]+)\]\((?!https?:)[^)]*\)", r"\1", text)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


class Contents(BuildHookInterface):  # type: ignore[type-arg,misc]
    """Called by hatchling before a wheel, or an editable one, is made, and afterwards."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - its interface
        """Add the launcher as compiled here, or elsewhere before, and the bill of materials."""
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
        self._made = tempfile.TemporaryDirectory()
        bill = Path(self._made.name) / "leaderexec.cdx.json"
        bill.write_text(json.dumps(self._bill(machines), indent=2))
        build_data["sbom_files"].append(str(bill))

    def finalize(self, *_: object) -> None:
        """Remove what is in the wheel by now."""
        self._made.cleanup()

    def _bill(self, machines: list[str]) -> dict[str, Any]:
        """Return what is in the wheel, as CycloneDX (PEP 770): this project alone, since what it
        needs is in the metadata. Without a time and a number, so that two builds are the same."""
        core, version = self.metadata.core, self.metadata.version
        purl = f"pkg:pypi/{core.name}@{version}"
        launchers = {
            str(program(FOLDER, machine)): program(Path(self.root) / FOLDER, machine)
            for machine in machines
        }
        return {
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {
                "component": {
                    "type": "application",
                    "bom-ref": purl,
                    "name": core.name,
                    "version": version,
                    "description": core.description,
                    "licenses": [{"expression": core.license_expression}],
                    "purl": purl,
                }
            },
            "components": [
                {
                    "type": "file",
                    "bom-ref": name,
                    "name": name,
                    "description": f"compiled from {FOLDER / 'launcher.c'}",
                    "hashes": [
                        {"alg": "SHA-256", "content": hashlib.sha256(file.read_bytes()).hexdigest()}
                    ],
                }
                for name, file in launchers.items()
            ],
            "dependencies": [{"ref": purl, "dependsOn": list(launchers)}],
        }


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
