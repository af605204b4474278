"""Copy what is compiled of the standard library, as far as leaderexec imports it, into a folder.

    python -I packaging/compiled.py FOLDER

The interpreter compiles a module when it is first imported, into a file that a read-only image can
no longer be given.
"""

import pkgutil
import shutil
import sys
from importlib import import_module
from pathlib import Path

import leaderexec

DEPENDENCIES = ("requests", "sseclient", "structlog", "h11", "psutil", "prometheus_client")


def main() -> None:
    """Import everything; copy what lies outside of this virtual environment."""
    for name in DEPENDENCIES:
        import_module(name)
    for module in pkgutil.walk_packages(leaderexec.__path__, "leaderexec."):
        # What is for tests has no place in an image.
        if not module.name.endswith("__main__") and "testing" not in module.name:
            import_module(module.name)
    for loaded in list(sys.modules.values()):
        cached = getattr(loaded, "__cached__", None)
        if cached and Path(cached).is_file() and not cached.startswith(sys.prefix):
            target = Path(sys.argv[1] + cached)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(cached, target)


if __name__ == "__main__":
    main()
