"""A package of its own."""

import subprocess
import sys
import tomllib
from pathlib import Path

import leaderexec

HOME = Path(__file__).parents[2] / "dev-elector"


def test_it_imports_neither_the_product_nor_any_other_package() -> None:
    """The standard library is enough to run it."""
    script = (
        "import pkgutil, sys; sys.path.insert(0, sys.argv.pop(1))\n"
        "import leaderexec_elector as package\n"
        "for module in pkgutil.iter_modules(package.__path__):\n"
        "    __import__(f'leaderexec_elector.{module.name}')\n"
        "assert len(sys.modules) > 50\n"
        "print(*{name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names)"
    )
    command = [sys.executable, "-ISc", script, str(HOME)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert set(done.stdout.split()) - {"__main__"} == {"leaderexec_elector"}


def test_its_version_equals_the_products() -> None:
    """So is the one that the extra requires."""
    project = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]
    assert project["version"] == leaderexec.__version__
    extras = tomllib.loads((HOME.parent / "pyproject.toml").read_text())["project"]
    wanted = f"{project['name']}>={leaderexec.__version__}"
    assert extras["optional-dependencies"]["dev-elector"] == [wanted]
