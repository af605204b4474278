"""The program's entry: ``leaderexec`` and ``python -m leaderexec``."""

import os
import sys
from contextlib import suppress


def main() -> None:
    """Run leaderexec with this process's arguments, and end with its exit code."""
    # First thing: see block_all(). The rest of the imports comes later.
    from leaderexec.process.signals import block_all, occupy_standard_descriptors

    block_all()
    occupy_standard_descriptors()
    from leaderexec.cli import run

    try:
        code = run(sys.argv[1:], os.environ)
        if sys.stdout is not None:
            sys.stdout.flush()
    except Exception:  # noqa: BLE001 - the last resort: say it, and use our own exit code
        import traceback

        with suppress(OSError):
            os.write(2, traceback.format_exc().encode(errors="backslashreplace"))
            os.write(2, b"leaderexec: internal error, see above; please report it\n")
        code = 125
    # Daemon threads wait on sockets; the interpreter's own end would have to wait for the GIL of
    # each and could crash in them.
    os._exit(code)


if __name__ == "__main__":
    main()
