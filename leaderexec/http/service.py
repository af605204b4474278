"""Set up ``--http``: the socket before anything else is started, so that a port in use aborts the
start; the rest, with its imports, in the serving thread."""

import importlib.util
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from leaderexec import optional_imports
from leaderexec.config.options import Address, UsageError
from leaderexec.config.settings import Config
from leaderexec.core.record import replace
from leaderexec.http.listener import listen, unlink
from leaderexec.logs import Logger
from leaderexec.process import fork_guard
from leaderexec.status.snapshot import Published

Troubles = Callable[[], Mapping[tuple[str, str], int]]


class Serving:
    """leaderexec's HTTP server."""

    def __init__(self, address: Address, config: Config, shown: Mapping[str, str]) -> None:
        """Listen; `shown` is the configuration in the options' own words. Raises UsageError."""
        installed = importlib.util.find_spec("prometheus_client") is not None
        if config.metrics == "on" and not installed:
            raise UsageError(
                "--metrics is 'on', which needs prometheus_client, and that is not installed;"
                " pip install 'leaderexec[metrics]', or set --metrics auto"
            )
        self._metrics = installed and config.metrics != "off"
        if self._metrics:
            optional_imports.allow_ssl()
        self._config = config
        self._shown = shown
        self._address = address
        self._listener = listen(address)

    def start(
        self,
        published: Published,
        troubles: Troubles,
        log: Logger,
        clock: Callable[[], float],
        label: Callable[[], dict[str, Any]] | None = None,
        holders: Callable[[], Sequence[str | None]] | None = None,
    ) -> None:
        """Begin to serve; `label` returns what /status says of --leader-label, and `holders` what
        it says of --slots."""

        def complain(what: str) -> None:
            log.error("http trouble", reason=what, remedy="please report this bug")

        def serve() -> None:
            try:
                self._serve(published, troubles, complain, log, clock, label, holders)
            except Exception as error:  # noqa: BLE001 - the command must not suffer
                complain(f"{type(error).__name__}: {error}")

        threading.Thread(target=serve, name="http", daemon=True).start()

    def _serve(
        self,
        published: Published,
        troubles: Troubles,
        complain: Callable[[str], None],
        log: Logger,
        clock: Callable[[], float],
        label: Callable[[], dict[str, Any]] | None,
        holders: Callable[[], Sequence[str | None]] | None,
    ) -> None:
        with fork_guard.importing():
            from leaderexec.http.live import Live
            from leaderexec.http.routes import Pages
            from leaderexec.http.server import Server
            from leaderexec.status.document import Document
            from leaderexec.status.processes import Processes

            if self._metrics:
                from leaderexec.status.metrics import Metrics
        document = Document(self._config, self._shown, troubles, clock, label, holders)
        processes = Processes(show_command=self._config.show_command)
        render = None
        if self._metrics:
            render = Metrics(published, document, processes, troubles).render
        # With port 0 the kernel has chosen one.
        port = 0 if self._address.path else self._listener.getsockname()[1]
        live = Live(published, document, processes)
        if self._config.peers:
            live.look = self._asking_peers(port, live.news, complain)
        pages = Pages(published, document, processes, render, self._hosts())
        log.info("http listening", address=str(replace(self._address, port=port)))
        if self._config.metrics == "auto" and not self._metrics:
            log.info(
                "no metrics",
                reason="prometheus_client is not installed",
                remedy="pip install 'leaderexec[metrics]', or set --metrics off",
            )
        Server(self._listener, pages.respond, complain, live).serve()

    def _asking_peers(
        self, port: int, news: Callable[[], None], complain: Callable[[str], None]
    ) -> Callable[[], dict[str, Any] | None]:
        """Return what looks at the --peers."""
        with fork_guard.importing():
            from leaderexec.peers.watched import Watched
        return Watched(self._config.peers, port, news, complain).look

    def _hosts(self) -> frozenset[str] | None:
        """Return the accepted host names; None for any: no web page can reach a Unix socket."""
        if self._address.path is not None:
            return None
        return frozenset({"localhost", self._address.host.lower(), *self._config.http_hosts})

    def end(self) -> None:
        """Remove the socket file."""
        unlink(self._address)
