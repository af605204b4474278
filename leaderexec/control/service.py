"""Set up the control socket: in a separate thread, with its imports, so that nothing waits for it.
If there is no place for it, only what it provides is missing."""

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from leaderexec.config.settings import Config
from leaderexec.logs import Logger
from leaderexec.process import fork_guard
from leaderexec.status.snapshot import Published

if TYPE_CHECKING:
    from leaderexec.core.events import Event


class ControlSocket:
    """leaderexec's control socket."""

    def __init__(
        self, config: Config, shown: Mapping[str, str], environ: Mapping[str, str]
    ) -> None:
        """`shown` is the effective configuration in the options' own words."""
        self._config = config
        self._shown = shown
        self._environ = environ
        self._path: str | None = None

    def start(
        self,
        published: Published,
        put: "Callable[[Event], None]",
        log: Logger,
        clock: Callable[[], float],
    ) -> None:
        """Begin to serve."""

        def serve() -> None:
            with fork_guard.importing():
                from leaderexec.control import place
                from leaderexec.control.server import Server
            try:
                self._path = self._choose()
                log.debug("control socket", path=self._path)
                Server(self._config, self._shown, published, put, clock).serve(self._path)
            except (OSError, place.NoPlace) as error:
                log.info(
                    "no control socket",
                    reason=str(error),
                    remedy="set --control-socket PATH to use --step-down, else off",
                )

        threading.Thread(target=serve, name="control", daemon=True).start()

    def _choose(self) -> str:
        from leaderexec.control import place
        from leaderexec.http.listener import remove_stale

        path = self._config.control_socket or ""
        if path == "auto":
            path = place.choose(self._environ)
            for other in place.sockets(self._environ):
                with suppress(OSError):
                    remove_stale(other)
            place.remove_unfinished(self._environ)
        else:
            remove_stale(path)
        return path

    def end(self) -> None:
        """Remove the socket file."""
        if self._path is not None:
            with suppress(OSError):
                os.unlink(self._path)
