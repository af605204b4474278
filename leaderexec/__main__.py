"""The program's entry: ``leaderexec`` and ``python -m leaderexec``."""

import errno
import os
import sys
from contextlib import suppress
from typing import NoReturn

_FAILURE = 125
# What one command and one election have open at the same time, and some more.
_ROOM = 12


def _end(message: str) -> NoReturn:
    with suppress(OSError):
        os.write(2, message.encode(errors="backslashreplace"))
    os._exit(_FAILURE)


def _find_room() -> None:
    """Raise OSError where too few descriptors can be opened: better now than at the start."""
    opened: list[int] = []
    try:
        opened.extend(os.dup(2) for _ in range(_ROOM))
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _remedy(error: OSError | ImportError) -> str:
    if isinstance(error, ImportError):
        # What dlopen(3) says; it keeps no errno.
        return "; raise the limit on open files (ulimit -n) to 32 or more, or install it anew"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "; raise the limit on open files (ulimit -n) to 32 or more"
    if error.filename == os.devnull:
        return "; mount /dev, or open descriptors 0, 1 and 2 for leaderexec"
    return ""


def main() -> None:
    """Run leaderexec with this process's arguments, and end with its exit code."""
    try:
        # First thing: see block_all(). The rest of the imports comes later.
        from leaderexec.process.kernel import Unavailable
        from leaderexec.process.signals import block_all, occupy_standard_descriptors

        block_all()
        occupy_standard_descriptors()
        _find_room()
        from leaderexec.cli import run
    except (OSError, ImportError) as error:
        # Of the world, not of ours: no files left, no /dev/null. No traceback would help.
        _end(f"leaderexec: can't start: {error}{_remedy(error)}\n")
    try:
        code = run(sys.argv[1:], os.environ)
        if sys.stdout is not None:
            sys.stdout.flush()
    except Unavailable as error:
        _end(f"leaderexec: can't run: {error}\n")
    except Exception:  # noqa: BLE001 - the last resort: say it, and use our own exit code
        import traceback

        _end(f"{traceback.format_exc()}leaderexec: internal error, see above; please report it\n")
    # Daemon threads wait on sockets; the interpreter's own end would have to wait for the GIL of
    # each and could crash in them.
    os._exit(code)


if __name__ == "__main__":
    main()
