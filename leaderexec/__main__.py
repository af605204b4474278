"""The program's entry: ``leaderexec`` and ``python -m leaderexec``."""

import os
import sys


def main() -> None:
    """Run leaderexec with this process's arguments, and end with its exit code."""
    # First thing: see block_all(). Threads and the rest of the imports come later.
    from leaderexec.process.signals import block_all

    block_all()
    from leaderexec.cli import run

    try:
        code = run(sys.argv[1:], os.environ)
    except Exception:  # noqa: BLE001 - the last resort: say it, and use our own exit code
        import traceback

        traceback.print_exc()
        sys.stderr.write("leaderexec: internal error, see above; please report it\n")
        code = 125
    sys.stdout.flush()
    sys.stderr.flush()
    # Daemon threads wait on sockets; the interpreter's own end would have to wait for the GIL of
    # each and could crash in them.
    os._exit(code)


if __name__ == "__main__":
    main()
