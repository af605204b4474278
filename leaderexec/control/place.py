"""Where control sockets are created. Each leaderexec has its own, in a directory that only its user
can enter; they share the directory, so that a client finds all of them."""

import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress

from leaderexec.config.options import LONGEST_SOCKET_PATH

SUFFIX = ".sock"
# Of the name that a socket has until it accepts connections, and seconds after which that is a
# leftover of a process that was killed meanwhile.
UNFINISHED = "~"
_LONG_UNFINISHED = 60.0


class NoPlace(Exception):
    """No directory is usable; the message says why."""


def directories(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the directories to try, the best first."""
    user = os.geteuid()
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    temporary = environ.get("TMPDIR") or "/tmp"  # noqa: S108 - in a directory of our own
    found = [f"{runtime}/leaderexec"] if runtime.startswith("/") else []
    if user == 0:
        found.append("/run/leaderexec")
    return (*found, f"{temporary}/leaderexec-{user}")


def choose(environ: Mapping[str, str]) -> str:
    """Return a path for a new socket of this process. Raises NoPlace."""
    reasons = []
    # A pid is unique only in its PID namespace, and volumes are shared.
    name = f"{os.getpid()}-{os.urandom(4).hex()}{SUFFIX}"
    for directory in directories(environ):
        try:
            _enter(directory, f"{directory}/{name}")
        except OSError as error:
            reasons.append(f"{directory}: {error.strerror or error}")
        else:
            return f"{directory}/{name}"
    raise NoPlace("; ".join(reasons))


def _enter(directory: str, path: str) -> None:
    """Create the directory if it is missing. Raises OSError if others can enter it, or if no
    socket with this path can be created in it."""
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        raise OSError(0, "its path is too long for a socket (unix(7))")
    with suppress(FileExistsError):
        os.mkdir(directory, 0o700)
    if not _is_ours(directory):
        raise OSError(0, "it is not a directory owned and accessible by this user alone (0700)")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise OSError(0, "it is not writable")


def _is_ours(directory: str) -> bool:
    found = os.lstat(directory)
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.geteuid()
        and not stat.S_IMODE(found.st_mode) & 0o077
    )


def sockets(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the paths of the sockets found; some may be left over from killed processes."""
    return _ours(environ, SUFFIX)


def remove_unfinished(environ: Mapping[str, str]) -> None:
    """Remove what was left by processes that were killed while they created their socket."""
    for path in _ours(environ, UNFINISHED):
        with suppress(OSError):
            if time.time() - os.lstat(path).st_mtime > _LONG_UNFINISHED:
                os.unlink(path)


def _ours(environ: Mapping[str, str], suffix: str) -> Iterator[str]:
    for directory in directories(environ):
        with suppress(OSError):
            if _is_ours(directory):
                for name in sorted(os.listdir(directory)):
                    if name.endswith(suffix):
                        yield f"{directory}/{name}"
