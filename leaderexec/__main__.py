"""The program's entry: ``leaderexec`` and ``python -m leaderexec``."""

import gc
import os
import site
import sys


def isolate() -> None:
    """Import none of the command's modules: PYTHONPATH, the current directory (``python -m``) and
    the script's own are meant for it, and may contain a queue.py or a json.py. The environment, and
    so the command's own path, stays unchanged. Directories that the interpreter itself uses are
    kept, even if PYTHONPATH lists them, and so is the one that leaderexec was found in, after
    Python's library."""
    library = os.path.dirname(os.__file__)
    standard = (library, f"{library}/lib-dynload")
    foreign: set[str | None] = set()
    if not sys.flags.ignore_environment:
        foreign.update(map(_absolute, os.environ.get("PYTHONPATH", "").split(":")))
    if not sys.flags.safe_path and sys.path:
        begun_in = ("", os.path.dirname(os.path.realpath(sys.argv[0])))
        # A zipped application has its own path there instead.
        foreign.update({_absolute(sys.path[0])}.intersection(map(_absolute, begun_in)))
    foreign.difference_update(standard, site.getsitepackages(), [site.USER_SITE])
    ours = [place for place in sys.path if _absolute(place) not in foreign]
    own = os.path.dirname(os.path.dirname(_absolute(__file__)))
    if own in foreign:
        ours.insert(1 + max(map(ours.index, {*standard}.intersection(ours)), default=-1), own)
    sys.path[:] = ours


def _absolute(place: str) -> str:
    try:
        return os.path.abspath(place)
    except OSError:
        # The working directory was removed.
        return place


def _occupy_standard_descriptors() -> None:
    """Open /dev/null as 0, 1 or 2 if that is closed; else one of our descriptors would get that
    number, and a log line would be written to it. Python closes it again when the command is
    executed, so that the command finds the descriptor closed, as it would without us.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def main() -> None:
    """Run leaderexec with this process's arguments, and end with its exit code."""
    # Modules are not garbage, and scanning them repeatedly during the imports takes time.
    gc.disable()
    isolate()
    from contextlib import suppress

    try:
        # Before ctypes is imported, for which libffi may open a file.
        _occupy_standard_descriptors()
        # Before the other imports: see block_all().
        from leaderexec.process.signals import block_all

        block_all()
        from leaderexec.cli import run
    except (OSError, ImportError) as error:
        # Too few descriptors, no /dev/null, a broken installation.
        message = (
            f"leaderexec: can't be set up: {error}; nothing was started; check ulimit -n, /dev\n"
        )
        with suppress(OSError):
            os.write(2, message.encode(errors="backslashreplace"))
        os._exit(125)
    try:
        code = run(sys.argv[1:], os.environ)
        if sys.stdout is not None:
            sys.stdout.flush()
    except Exception as error:  # noqa: BLE001 - the last resort: print it, and use our exit code
        _tell_bug(error)
        code = 125
    # Daemon threads wait on sockets; the interpreter's own exit would have to wait for the GIL of
    # each and could crash in them.
    os._exit(code)


def _tell_bug(error: Exception) -> None:
    from contextlib import suppress

    trace = f"{type(error).__name__}: {error}\n"
    with suppress(OSError, ImportError):
        import traceback

        trace = traceback.format_exc()
    with suppress(OSError):
        os.write(2, trace.encode(errors="backslashreplace"))
        os.write(2, b"leaderexec: internal error, see above; please report it\n")


if __name__ == "__main__":
    main()
