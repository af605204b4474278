"""What is counted, and why the role changed, in one word."""

import signal

from core.world import ME, RIVAL, World

from leaderexec.core import events
from leaderexec.core.machine import Restart
from leaderexec.observe.ledger import BUCKETS, CAUSES, Ledger, cause


class Counted:
    """A world whose ledger is kept."""

    def __init__(self, **policy: object) -> None:
        self.world = World(**policy)
        self.ledger = Ledger()

    def on(self, event: events.Event, later: float = 0.0) -> str:
        """Hand in an event; return the cause that a change of role would have."""
        self.world.now += later
        before = self.world.state
        self.world.on(event)
        self.ledger.count(before, event, self.world.state, self.world.now)
        why = cause(before, event, self.world.state)
        assert why in CAUSES
        return why

    def running(self) -> "Counted":
        """Win and start."""
        assert self.on(events.Announced(ME, self.world.now)) == "won"
        assert self.on(events.Tick()) == "won"
        return self


def test_each_change_has_its_cause() -> None:
    """One of a few words, so that it can be a label."""
    counted = Counted(restart=Restart.ALWAYS).running()
    assert counted.on(events.Exited(1)) == "command-ended"
    assert counted.on(events.TreeGone()) == "tree-gone"
    assert counted.on(events.Tick(), 1.0) == "restart"
    assert counted.on(events.StartFailed("EAGAIN")) == "start-failed"
    assert counted.on(events.Tick(), 10.0) == "restart"
    assert counted.on(events.Announced(RIVAL, counted.world.now)) == "moved"
    assert counted.on(events.Tick(), 10.0) == "grace-over"
    assert counted.on(events.Signalled(signal.SIGTERM)) == "told"
    assert Counted().running().on(events.Tick(), 31.0) == "unconfirmed"


def test_hooks_have_causes_of_their_own() -> None:
    """Their end, and their time-out."""
    counted = Counted(on_start_timeout=7.0).running()
    assert counted.on(events.Tick(), 7.0) == "hook-timeout"
    counted = Counted(on_start_timeout=7.0).running()
    assert counted.on(events.HookEnded(0)) == "hook-ended"


def test_takeovers_and_stops_are_timed() -> None:
    """From won to started; from the stop decided to the whole tree gone."""
    counted = Counted(takeover_delay=2.0)
    counted.on(events.Announced(ME, counted.world.now))
    counted.on(events.Tick(), 2.0)
    assert counted.ledger.takeovers.total == 2.0
    counted.on(events.Announced(RIVAL, counted.world.now))
    counted.on(events.Exited(0), 0.5)
    counted.on(events.TreeGone(), 0.25)
    assert counted.ledger.stops.total == 0.75
    assert sum(counted.ledger.stops.counts) == 1
    counted.on(events.Announced(ME, counted.world.now))
    counted.on(events.Tick(), 2.0)
    counted.on(events.Exited(3, alone=True))
    assert sum(counted.ledger.stops.counts) == 2


def test_a_duration_counts_for_the_bucket_whose_bound_it_reaches() -> None:
    """Less or equal, as Prometheus has it."""
    ledger = Ledger()
    for seconds in (BUCKETS[0], BUCKETS[0] + 0.001, 1000.0):
        ledger.stops.add(seconds)
    assert ledger.stops.counts[:2] == [1, 1]
    assert ledger.stops.counts[-1] == 1


def test_exits_are_counted_by_code_or_by_signal() -> None:
    """137 is what KILL leaves."""
    counted = Counted(restart=Restart.ALWAYS).running()
    counted.on(events.Exited(137, alone=True))
    counted.on(events.Tick(), 1.0)
    counted.on(events.Exited(1, alone=True))
    assert counted.ledger.exits == {("", "SIGKILL"): 1, ("1", ""): 1}
    assert counted.ledger.starts == 2


def test_a_copy_stays_as_it_is() -> None:
    """Whatever is counted later."""
    counted = Counted().running()
    copied = counted.ledger.copied()
    counted.on(events.Exited(1, alone=True))
    counted.on(events.Polled(ME, 1.0))
    assert not copied.exits
    assert not copied.stops.total
    assert not sum(copied.stops.counts)
    assert copied.polls == 0
