"""Copy the compiled modules of the standard library that leaderexec imports into a folder.

    python -I packaging/compiled.py FOLDER

The interpreter compiles a module when it is first imported, into a file that can't be added to a
read-only image.
"""

import pkgutil
import shutil
import sys
from importlib import import_module
from pathlib import Path

import leaderexec

DEPENDENCIES = ("requests", "sseclient", "structlog", "h11", "psutil", "prometheus_client")


def main() -> None:
    """Import everything; copy what is outside this virtual environment."""
    for name in DEPENDENCIES:
        import_module(name)
    for module in pkgutil.walk_packages(leaderexec.__path__, "leaderexec."):
        # Test support does not belong in an image.
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
