"""The world that decisions are tested in. Time is a number."""

import signal

from leaderexec.core import actions, events
from leaderexec.core.machine import Policy, Role, State, decide, role

ME = "app-a"
RIVAL = "app-b"


class World:
    """A wrapper without processes: it takes events and shows what was decided."""

    def __init__(self, **policy: object) -> None:
        self.policy = Policy(identity=ME, **policy)  # type: ignore[arg-type]
        self.state = State()
        self.now = 100.0

    def on(self, event: events.Event) -> list[actions.Action]:
        """Hand in one event."""
        self.state, wanted = decide(self.policy, self.state, event, self.now)
        return list(wanted)

    def tick(self, later: float = 0.0) -> list[actions.Action]:
        """Let time pass, then let the deadlines be met."""
        self.now += later
        return self.on(events.Tick())

    def announce(self, leader: str | None) -> list[actions.Action]:
        """Let the stream name a leader."""
        return self.on(events.Announced(leader, self.now))

    def told(self, number: int = signal.SIGTERM) -> list[actions.Action]:
        """Send a signal."""
        return self.on(events.Signalled(number))

    def running(self) -> "World":
        """Win and start."""
        self.announce(ME)
        (start,) = self.tick(self.policy.takeover_delay)
        assert isinstance(start, actions.Start)
        return self

    def ends(self, code: int) -> list[actions.Action]:
        """Let the command end and leave nothing behind."""
        return self.on(events.Exited(code, alone=True))

    def does(self, doing: Role) -> bool:
        """Tell whether this is what it is doing."""
        return role(self.state) is doing
