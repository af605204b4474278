"""Compile the modules of the standard library that leaderexec imports into a folder.

    PYTHONHASHSEED=0 python -P packaging/compiled.py FOLDER

The interpreter compiles a module when it is first imported, into a file that can't be added to a
read-only image.
"""

import pkgutil
import sys
from importlib import import_module
from importlib.util import cache_from_source
from pathlib import Path
from py_compile import PycInvalidationMode
from py_compile import compile as compile_to

import leaderexec

DEPENDENCIES = ("requests", "sseclient", "structlog", "h11", "psutil", "prometheus_client")


def main() -> None:
    """Import everything; compile what is outside this virtual environment."""
    for name in DEPENDENCIES:
        import_module(name)
    for module in pkgutil.walk_packages(leaderexec.__path__, "leaderexec."):
        # Test support does not belong in an image.
        if not module.name.endswith("__main__") and "testing" not in module.name:
            import_if_possible(module.name)
    loaded = {getattr(module, "__file__", None) or "" for module in sys.modules.values()}
    for source in sorted(loaded):
        if source.endswith(".py") and not source.startswith((sys.prefix, str(Path.cwd()))):
            target = sys.argv[1] + cache_from_source(source)
            # The base image's own files keep their times.
            mode = PycInvalidationMode.TIMESTAMP
            compile_to(source, target, doraise=True, invalidation_mode=mode)


def import_if_possible(name: str) -> None:
    """Import a module, unless it needs a library that was not to be installed."""
    try:
        import_module(name)
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] == "leaderexec":
            raise


if __name__ == "__main__":
    main()
