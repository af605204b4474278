"""The probes of a running command. Each has a time limit, and leaves nothing behind."""

import os
import socket

from leaderexec.config.options import Address


class Probe:
    """One probe. `output`: the last lines printed by its last run."""

    name: str
    output: tuple[str, ...] = ()

    def begin(self) -> None:
        """Prepare for a new run of the command."""

    def ask(self, timeout: float) -> str | None:
        """Probe, for at most `timeout` seconds; return what is wrong, None if nothing is."""
        raise NotImplementedError


class TcpProbe(Probe):
    """A connection that has to be accepted."""

    name = "health-tcp"

    def __init__(self, address: Address) -> None:
        self._address = address

    def ask(self, timeout: float) -> str | None:
        """Ask; see Probe."""
        try:
            if self._address.path is None:
                host = self._address.host or "localhost"
                socket.create_connection((host, self._address.port), timeout).close()
            else:
                with socket.socket(socket.AF_UNIX) as connecting:
                    connecting.settimeout(timeout)
                    connecting.connect(self._address.path)
        except TimeoutError:
            return f"no connection within {timeout:g}s"
        except OSError as error:
            return f"no connection: {error.strerror or error}"
        return None


class FileProbe(Probe):
    """A file that has to be written between two probes. No clock is compared: setting one
    would make every file stale, or fresh."""

    name = "health-file"

    def __init__(self, path: str) -> None:
        self._path = path
        self._before: tuple[int, int] | None = None

    def begin(self) -> None:
        """Record what an earlier run has left."""
        try:
            self._before = self._look()
        except OSError:
            self._before = None

    def ask(self, timeout: float) -> str | None:  # noqa: ARG002 - nothing is waited for
        """Ask; see Probe."""
        try:
            now = self._look()
        except OSError as error:
            return f"can't be looked at: {error.strerror or error}"
        before, self._before = self._before, now
        return None if now != before else "was not written since the last check"

    def _look(self) -> tuple[int, int]:
        seen = os.stat(self._path)
        return seen.st_ino, seen.st_mtime_ns
