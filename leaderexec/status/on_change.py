"""``--on-change``: a program is told each change of leader, role and health. It decides nothing,
and nothing waits for it.

One thread has the program run for one change after the other. Of those that come meanwhile only the
newest is kept: the program is told how things stand now, and what has changed since the last time.
"""

import threading
from collections.abc import Callable, Mapping

from leaderexec.config.settings import Config
from leaderexec.core.actions import Job, Start
from leaderexec.core.events import Event
from leaderexec.core.lifecycle import State, leads
from leaderexec.core.record import Record
from leaderexec.logs import Logger
from leaderexec.process.additions import of_start
from leaderexec.process.beside import Answer, Beside
from leaderexec.process.threads import begun
from leaderexec.status.document import healthy


class _Seen(Record):
    """What a change is a change of, by the words of LEADEREXEC_EVENT."""

    leader: str = ""
    role: str = ""
    health: str = ""


class _Change(Record):
    what: tuple[str, ...]
    environ: Mapping[str, str]


class OnChange:
    """Tells the program."""

    def __init__(
        self,
        config: Config,
        program: Beside,
        wake: Callable[[], None],
        log: Logger,
        clock: Callable[[], float],
    ) -> None:
        """`wake` makes the deciding loop turn, and so publish the counts."""
        self._config = config
        self._policy = config.policy
        self._program = program
        self._wake = wake
        self._log = log
        self._clock = clock
        self._seen = self._look(State())
        self._turn = threading.Condition()
        self._thread: threading.Thread | None = None
        # The newest change that the program was not told yet.
        self._next: _Change | None = None
        self._ends = False
        self._counts = {"told": 0, "failed": 0, "dropped": 0}

    def follow(self, state: State) -> None:
        """Have the program told of what has changed since this was last called; start it if that is
        due. For the main thread, once it has nothing else to do; never waits."""
        self._program.serve(wanted=True)
        seen, before = self._look(state), self._seen
        if seen != before:
            self._note(state, seen, before)
        if self._thread is None and self._next is not None:
            self._thread = begun("on-change", self._run)

    def _note(self, state: State, seen: _Seen, before: _Seen) -> None:
        self._seen = seen
        what: set[str] = {
            name for name in _Seen.__match_args__ if getattr(seen, name) != getattr(before, name)
        }
        with self._turn:
            if self._next is not None:
                self._counts["dropped"] += 1
                what.update(self._next.what)
            in_order = tuple(name for name in _Seen.__match_args__ if name in what)
            self._next = _Change(in_order, self._environ(state, seen, in_order))
            self._turn.notify()

    def take(self, reaped: list[Event]) -> list[Event]:
        """Take the end of what runs for this; return the other events."""
        return self._program.take(reaped)

    def counts(self) -> Mapping[str, int]:
        """Return how many changes were told, for how many that failed, and how many were dropped
        because a newer one came."""
        return self._counts.copy()

    def end(self) -> None:
        """Kill what runs. For the main thread; nothing is told any more."""
        self._ends = True
        self._program.end()

    def _look(self, state: State) -> _Seen:
        belief, well = state.belief, healthy(self._config, state)
        return _Seen(
            leader=(belief.leader or "") if belief.confirmed else "",
            role=state.role.value,
            health="" if well is None else str(int(well)),
        )

    def _environ(self, state: State, seen: _Seen, what: tuple[str, ...]) -> dict[str, str]:
        belief = state.belief
        ours = leads(self._policy, belief)
        told = Start(
            Job.ON_CHANGE,
            state.term,
            seen.leader,
            belief.since,
            fence=belief.fence if ours else None,
            code=None if state.last is None else state.last.code,
            slot=belief.slot if ours else None,
        )
        return of_start(self._config, told, self._clock()) | {
            "LEADEREXEC_EVENT": " ".join(what),
            "LEADEREXEC_ROLE": seen.role,
            "LEADEREXEC_REASON": state.reason,
            "LEADEREXEC_HEALTHY": seen.health,
        }

    def _run(self) -> None:
        while True:
            with self._turn:
                while self._next is None:
                    self._turn.wait()
                change, self._next = self._next, None
            answer = self._ask(change)
            if self._ends:
                return
            self._counts["told" if answer.failure is None else "failed"] += 1
            if answer.failure is not None:
                self._log.warning(
                    "change not told",
                    what=" ".join(change.what),
                    role=change.environ["LEADEREXEC_ROLE"],
                    reason=f"--on-change {answer.failure}",
                    **({"output": answer.output} if answer.output else {}),
                    remedy="run it by hand to see why; nothing waits for it, and the next change is"
                    " told anyway",
                )
            self._wake()

    def _ask(self, change: _Change) -> Answer:
        try:
            return self._program.run(change.environ, self._config.on_change_timeout)
        except Exception as error:  # noqa: BLE001 - a thread that has died would tell no more
            return Answer(f"can't be run: {type(error).__name__}: {error}")
