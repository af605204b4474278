"""The world that decisions are tested in. Time is a number."""

import signal
from typing import Self

from leaderexec.core import actions, events
from leaderexec.core.actions import Job, Role
from leaderexec.core.lifecycle import Policy, State, decide

ME = "app-a"
RIVAL = "app-b"
_OF_LEADERSHIP = (
    "leader changed",
    "leadership confirmed",
    "leadership unconfirmed",
    "lease confirmed",
    "lease does not confirm",
    "takeover delay shortened",
)


class World:
    """A wrapper without processes: it takes events and shows what was decided."""

    def __init__(self, **policy: object) -> None:
        self.policy = Policy(identity=ME, **policy)  # type: ignore[arg-type]
        self.state = State()
        self.now = 100.0
        self.facts: list[actions.Action] = []
        self.everything: list[actions.Action] = []

    def on(self, event: events.Event) -> list[actions.Action]:
        """Process an event; return the actions to take, and the notes about signals."""
        self.state, decided = decide(self.policy, self.state, event, self.now)
        self.everything += decided
        facts: list[actions.Action] = [
            one for one in decided if isinstance(one, actions.Changed | actions.Ended)
        ]
        facts += [
            one for one in decided if isinstance(one, actions.Note) and one.event in _OF_LEADERSHIP
        ]
        self.facts += facts
        return [one for one in decided if one not in facts]

    def tick(self, later: float = 0.0) -> list[actions.Action]:
        """Let time pass, then act on the deadlines, and plan."""
        self.now += later
        return self.on(events.Tick())

    def then(self, event: events.Event) -> list[actions.Action]:
        """Process an event, with nothing more in the inbox."""
        return self.on(event) + self.tick()

    def announce(self, leader: str | None) -> list[actions.Action]:
        """Let the stream name a leader."""
        return self.on(events.Announced(leader, self.now))

    def told(self, number: int = signal.SIGTERM) -> list[actions.Action]:
        """Send a signal."""
        return self.then(events.Signalled(number))

    def running(self) -> Self:
        """Win and start."""
        self.announce(ME)
        (start,) = self.tick(self.policy.takeover_delay)
        assert isinstance(start, actions.Start)
        return self

    def ends(self, code: int, job: Job = Job.COMMAND) -> list[actions.Action]:
        """Let the command, or the hook, end and leave nothing behind."""
        return self.then(events.Exited(job, code, alone=True))

    def leaves(self, code: int, job: Job = Job.COMMAND) -> list[actions.Action]:
        """Let the command, or the hook, end and leave something behind."""
        return self.then(events.Exited(job, code))

    def does(self, doing: Role) -> bool:
        """Return whether this is its role."""
        return self.state.role is doing

    @property
    def deadline(self) -> float | None:
        """Return when what runs is killed, or its hook's time is over."""
        return None if self.state.run is None else self.state.run.deadline
