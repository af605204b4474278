"""The thread that probes whether the command is healthy. It decides nothing: its verdict is an
event in the inbox."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from leaderexec.config.settings import Config
from leaderexec.core.events import Event, Health
from leaderexec.core.run import Run, at_work
from leaderexec.health.judge import Judge, Rules
from leaderexec.health.probes import FileProbe, Probe, TcpProbe
from leaderexec.logs import Logger
from leaderexec.process.threads import begun

if TYPE_CHECKING:
    from leaderexec.health.command_probe import CommandProbe


def probes(config: Config) -> list[Probe]:
    """Return the configured probes, except `--health-cmd`."""
    found: list[Probe] = []
    if config.health_http is not None:
        from leaderexec.health.http_probe import HttpProbe

        found.append(HttpProbe(config.health_http))
    if config.health_tcp is not None:
        found.append(TcpProbe(config.health_tcp))
    if config.health_file is not None:
        found.append(FileProbe(config.health_file))
    return found


class Watch:
    """Watches the command while it runs, and nothing else."""

    def __init__(
        self,
        config: Config,
        asked: Sequence[Probe],
        put: Callable[[Health], None],
        log: Logger,
        clock: Callable[[], float],
        program: "CommandProbe | None" = None,
    ) -> None:
        """`program` is asked last, and served by the main thread."""
        self._rules = Rules(
            config.health_interval, config.health_threshold, config.health_start_period
        )
        self._timeout = config.health_timeout
        self._program = program
        self._asked = asked if program is None else (*asked, program)
        self._put = put
        self._log = log
        self._clock = clock
        self._turn = threading.Condition()
        self._thread: threading.Thread | None = None
        # The start of the watched run; None while there is none.
        self._watched: float | None = None

    def follow(self, run: Run | None) -> None:
        """Watch this run if it is the command's, and is not being stopped. Never waits for an
        answer."""
        working = at_work(run)
        watched = None if working is None else working.started_at
        if self._program is not None:
            self._program.serve(wanted=watched is not None)
        if watched != self._watched:
            with self._turn:
                self._watched = watched
                self._turn.notify()
        if self._thread is None and watched is not None:
            self._thread = begun("health", self._run)

    def tell(self, environ: Mapping[str, str]) -> None:
        """Take the variables that were added to the command's environment."""
        if self._program is not None:
            self._program.tell(environ)

    def take(self, reaped: list[Event]) -> list[Event]:
        """Take the end of what runs for a probe; return the other events."""
        return reaped if self._program is None else self._program.take(reaped)

    def end(self) -> None:
        """Kill what runs for a probe. For the main thread; nothing is probed any more."""
        if self._program is not None:
            self._program.end()

    def _run(self) -> None:
        done: float | None = None
        while True:
            with self._turn:
                while self._watched is None or self._watched == done:
                    self._turn.wait()
                done = self._watched
            self._watch(Judge(self._rules, done))

    def _watch(self, judge: Judge) -> None:
        """Probe until the run is over, or a verdict ends it."""
        for probe in self._asked:
            probe.begin()
        failed = False
        asked_at = self._clock()
        while self._waits_until(judge.next_after(asked_at), judge.started_at):
            asked_at = self._clock()
            failure, output = self._ask()
            if self._watched != judge.started_at:
                return
            if failure is not None and not failed:
                self._log.warning(
                    "health probe failed",
                    reason=failure,
                    **({"output": output} if output else {}),
                    remedy=f"{self._rules.threshold} in a row make the command unhealthy; those in"
                    " its start period don't count",
                )
            failed = failure is not None
            verdict = judge.take(failure, asked_at)
            if verdict is not None:
                self._put(verdict)
                if not verdict.healthy:
                    return

    def _ask(self) -> tuple[str | None, tuple[str, ...]]:
        """Ask all; return what the first one that fails says, and has printed."""
        for probe in self._asked:
            try:
                failure = probe.ask(self._timeout)
            except Exception as error:  # noqa: BLE001 - a thread that has died would watch no more
                failure = f"can't be asked: {type(error).__name__}: {error}"
            if failure is not None:
                return f"--{probe.name} {failure}", probe.output
        return None, ()

    def _waits_until(self, moment: float, started_at: float) -> bool:
        """Wait; return False at once when the run is over."""
        with self._turn:
            while self._watched == started_at:
                left = moment - self._clock()
                if left <= 0:
                    return True
                self._turn.wait(left)
        return False
