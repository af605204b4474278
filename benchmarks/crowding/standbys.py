"""Many standbys in one process: the source of each, as leaderexec opens it, without the rest.

    python benchmarks/crowding/standbys.py FIRST COUNT OPTION...

Prints "ready" once each of them knows who leads, and a replica's name when it leads. "release" on
standard input has those that lead release leadership, and not compete for a while.
"""

import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

from leaderexec.cli import clock
from leaderexec.config import options
from leaderexec.config.settings import OPTIONS, load
from leaderexec.core.events import Announced, Event, Polled
from leaderexec.testing.conformance import Quiet

if TYPE_CHECKING:
    from leaderexec.election.kind import Source

HOLD_OFF = 10.0


class Crowd:
    """The standbys, and what they know."""

    def __init__(self, names: list[str]) -> None:
        self._ignorant = set(names)
        self._leading: set[str] = set()
        self._turn = threading.Lock()
        self._sources: dict[str, Source] = {}

    def open(self, name: str, words: list[str]) -> None:
        """Open a standby's source."""
        given, _ = options.parse([*words, "--identity", name], OPTIONS)
        config = load(given, ("true",), {}, name)
        source = config.kind.open(config, partial(self._hear, name), Quiet(), clock)  # type: ignore[arg-type]
        self._sources[name] = source
        source.start(clock())

    def release(self) -> None:
        """Have those that lead release leadership."""
        with self._turn:
            leading = list(self._leading)
        for name in leading:
            self._sources[name].step_down(HOLD_OFF)

    def _hear(self, name: str, event: Event) -> None:
        if not isinstance(event, Announced | Polled):
            return
        with self._turn:
            if event.leader is not None and name in self._ignorant:
                self._ignorant.remove(name)
                if not self._ignorant:
                    print("ready", flush=True)
            if event.leader != name:
                self._leading.discard(name)
            elif name not in self._leading:
                self._leading.add(name)
                print(name, flush=True)


def main(first: int, count: int, words: list[str]) -> None:
    """Be the process."""
    names = [f"standby-{number}" for number in range(first, first + count)]
    crowd = Crowd(names)
    for name in names:
        crowd.open(name, words)
    for _ in sys.stdin:
        crowd.release()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
