"""The probe that is a program: ``--health-cmd``."""

from collections.abc import Callable, Mapping

from leaderexec.core.actions import Job
from leaderexec.health.probes import Probe
from leaderexec.process.beside import Beside
from leaderexec.process.command import Command


class CommandProbe(Beside, Probe):
    """A program that has to end with 0."""

    name = Job.PROBE.value

    def __init__(self, command: Command, wake: Callable[[], None]) -> None:
        """See Beside."""
        super().__init__(Job.PROBE, command, wake)
        self._environ: Mapping[str, str] = {}

    def tell(self, environ: Mapping[str, str]) -> None:
        """Take what the command was told by its environment: the program is told the same."""
        self._environ = environ

    def ask(self, timeout: float) -> str | None:
        """Ask; see Probe."""
        answer = self.run(self._environ, timeout)
        self.output = answer.output
        return answer.failure
