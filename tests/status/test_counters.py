"""What is counted, from the facts that the core reports."""

import signal

from core.world import ME, RIVAL, World

from leaderexec.config.settings import load
from leaderexec.core import actions, events
from leaderexec.core.actions import Job
from leaderexec.core.lifecycle import Restart
from leaderexec.logs import Log
from leaderexec.status.counters import BUCKETS, Counters
from leaderexec.status.transition_log import TransitionLog


class Counted(World):
    """A world whose facts are counted."""

    def __init__(self, **policy: object) -> None:
        super().__init__(**policy)
        config = load({"election": "off"}, ("true",), {}, "host")
        self.transition_log = TransitionLog(config, Log("error", "json"), lambda: self.now)

    @property
    def counters(self) -> Counters:
        """Return the counters."""
        return self.transition_log.counters

    def on(self, event: events.Event) -> list[actions.Action]:
        """Process an event, and count."""
        before = len(self.facts)
        self.transition_log.count(event)
        todo = super().on(event)
        for action in todo:
            if isinstance(action, actions.Start):
                self.transition_log.started(action, 1)
        for fact in self.facts[before:]:
            if isinstance(fact, actions.Changed | actions.Ended):
                self.transition_log.tell(fact)
        return todo


def test_transitions_are_counted_by_role_and_cause() -> None:
    """In a few words each, so that they can be labels."""
    counted = Counted(restart=Restart.ALWAYS)
    counted.running()
    counted.ends(1)
    counted.tick(1.0)
    counted.announce(RIVAL)
    assert counted.counters.transitions == {
        ("running", "won"): 1,
        ("backoff", "command-ended"): 1,
        ("running", "restart"): 1,
        ("stopping", "moved"): 1,
    }


def test_takeovers_and_stops_are_timed() -> None:
    """From the win to the start; from the decision to stop until the whole tree is gone."""
    counted = Counted(takeover_delay=2.0)
    counted.announce(ME)
    counted.tick()
    counted.tick(2.0)
    assert counted.counters.takeovers.total == 2.0
    counted.announce(RIVAL)
    counted.now += 0.5
    counted.leaves(0)
    counted.now += 0.25
    counted.then(events.TreeGone())
    assert counted.counters.stops.total == 0.75
    assert sum(counted.counters.stops.counts) == 1
    counted.announce(ME)
    counted.tick()
    counted.tick(2.0)
    counted.ends(3)
    assert sum(counted.counters.stops.counts) == 2


def test_a_duration_counts_in_the_bucket_whose_bound_it_equals() -> None:
    """Less than or equal, as in Prometheus."""
    counters = Counters()
    for seconds in (BUCKETS[0], BUCKETS[0] + 0.001, 1000.0):
        counters.stops.add(seconds)
    assert counters.stops.counts[:2] == [1, 1]
    assert counters.stops.counts[-1] == 1


def test_exits_are_counted_by_code_or_by_signal() -> None:
    """137 is what KILL leaves."""
    counted = Counted(restart=Restart.ALWAYS)
    counted.running()
    counted.ends(137)
    counted.tick(1.0)
    counted.ends(1)
    assert counted.counters.exits == {("", "SIGKILL"): 1, ("1", ""): 1}
    assert counted.counters.starts == 2


def test_hooks_that_fail_are_counted() -> None:
    """An exit code other than 0, a timeout, and a failed fork; not one that we stopped."""
    counted = Counted(on_start_timeout=5.0)
    counted.announce(ME)
    counted.tick()
    counted.ends(3, Job.ON_START)
    counted.told(signal.SIGTERM)
    counted.ends(0)
    assert counted.counters.hook_failures == {"on-start": 1}
    counted = Counted(on_start_timeout=5.0)
    counted.announce(ME)
    counted.tick()
    counted.then(events.StartFailed("EAGAIN"))
    counted.tick(1.0)
    counted.announce(RIVAL)
    counted.ends(143, Job.ON_START)
    assert counted.counters.hook_failures == {"on-start": 1}
    assert counted.counters.start_failures == 1


def test_a_copy_does_not_change() -> None:
    """Whatever is counted later."""
    counted = Counted()
    counted.running()
    copied = counted.counters.copied()
    counted.ends(1)
    counted.on(events.Polled(ME, 1.0))
    assert not copied.exits
    assert not copied.stops.total
    assert not sum(copied.stops.counts)
    assert copied.polls == 0
