"""An unhealthy command is stopped, and started again, or leadership moves."""

import signal

from core import world as worlds
from core.world import ME

from leaderexec.core import events
from leaderexec.core.actions import Exit, Job, Note, Release, Role, Start, Stop
from leaderexec.core.belief import ContactPolicy
from leaderexec.core.lifecycle import Restart, Unhealthy


class World(worlds.World):
    """One that is never out of contact, however much time passes."""

    def __init__(self, **policy: object) -> None:
        super().__init__(contact=ContactPolicy(None), **policy)


def judged(world: World, *, healthy: bool = False, ago: float = 0.0) -> list[object]:
    """Let the probes tell of the run that is there."""
    assert world.state.run is not None
    at = world.now - ago
    verdict = events.Health(healthy, world.state.run.started_at, at, "no answer")
    return list(world.then(verdict))


def unfit(world: World, *, well_for: float | None = None) -> list[object]:
    """Let the command be unhealthy, and end; return what follows."""
    if well_for is not None:
        judged(world, healthy=True)
        world.now += well_for
    judged(world)
    return list(world.ends(143))


def hold_offs(done: list[object]) -> list[float]:
    """Return for how long leadership is released."""
    return [one.hold_off for one in done if isinstance(one, Release)]


def elected(world: World) -> None:
    """Hold off, and lead again."""
    world.now += 1000.0
    world.announce("app-b")
    world.announce(ME)
    assert any(isinstance(one, Start) for one in world.tick())


def test_it_is_stopped_within_grace_lost_and_started_again_with_backoff() -> None:
    """It is not its own end, so --restart does not matter."""
    world = World(grace=25.0, grace_lost=10.0).running()
    assert judged(world) == [Stop(signal.SIGTERM)]
    assert world.deadline == world.now + 10.0
    assert world.state.reason == "command unhealthy: no answer"
    assert world.ends(0) == []
    assert world.does(Role.BACKOFF)
    (start,) = world.tick(0.5)
    assert isinstance(start, Start)
    assert start.job is Job.COMMAND


def test_a_verdict_about_an_earlier_run_is_none_about_the_next() -> None:
    """It was on its way when that run ended."""
    world = World().running()
    assert world.state.run is not None
    old = events.Health(False, world.state.run.started_at - 1.0, world.now, "no answer")
    assert world.then(old) == []
    assert world.does(Role.RUNNING)


def test_after_too_many_restarts_it_ends_with_123() -> None:
    """An orderly stop of a command that is no good is no success."""
    world = World(restart_limit=0).running()
    assert Exit(123) in unfit(world)


def test_what_it_says_of_itself_is_kept_and_decides_nothing() -> None:
    """Until it says something else; the next run has said nothing."""
    world = World().running()
    said = []
    for ready in (True, True, False):
        said += [one.event for one in world.on(events.Ready(ready)) if isinstance(one, Note)]
        assert world.state.run is not None
        assert world.state.run.ready is ready
    assert said == ["command ready", "command stopping by itself"]
    assert world.does(Role.RUNNING)
    assert world.tick() == []


def test_exit_ends_with_123() -> None:
    """Whatever code the command ends with when it is stopped."""
    world = World(unhealthy=Unhealthy.EXIT).running()
    judged(world)
    assert world.ends(0) == [Exit(123)]


def test_a_long_time_of_being_unhealthy_is_no_healthy_while() -> None:
    """The backoff goes on doubling."""
    world = World().running()
    world.now += 500.0
    unfit(world)
    world.tick(0.5)
    world.now += 500.0
    unfit(world)
    assert world.tick(0.9) == []
    assert world.tick(0.2) != []


def test_abdication_lets_go_once_nothing_is_left_and_holds_off_longer_each_time() -> None:
    """Doubling to ten minutes, and forgotten after a minute of being healthy."""
    world = World(unhealthy=Unhealthy.ABDICATE, hold_off=30.0).running()
    held = []
    for _ in range(7):
        judged(world)
        assert world.does(Role.STOPPING)
        held += hold_offs(list(world.ends(143)))
        assert world.does(Role.STANDBY)
        elected(world)
    assert held == [30.0, 60.0, 120.0, 240.0, 480.0, 600.0, 600.0]
    assert hold_offs(unfit(world, well_for=59.0)) == [600.0]
    elected(world)
    assert hold_offs(unfit(world, well_for=60.0)) == [30.0]


def test_where_leadership_can_not_be_let_go_it_ends_with_123_and_says_so() -> None:
    """An elector decides by itself: the container restarts."""
    world = World(unhealthy=Unhealthy.ABDICATE, can_release=False).running()
    note, end = unfit(world)
    assert isinstance(note, Note)
    assert "leadership did not move" in str(note.fields)
    assert end == Exit(123)


def test_a_command_that_ends_again_and_again_abdicates() -> None:
    """After COUNT ends in a row; the first ones are restarts."""
    world = World(restart=Restart.ON_FAILURE, abdicate_after=3, hold_off=30.0).running()
    for _ in range(2):
        assert hold_offs(list(world.ends(1))) == []
        world.tick(30.0)
        assert world.does(Role.RUNNING)
    assert hold_offs(list(world.ends(1))) == [30.0]


def test_a_success_and_a_healthy_while_are_no_crash_loop() -> None:
    """What would not be restarted ends leaderexec; a minute of running forgets what was before."""
    world = World(restart=Restart.ON_FAILURE, abdicate_after=2).running()
    world.ends(1)
    world.tick(30.0)
    world.now += 60.0
    assert hold_offs(list(world.ends(1))) == []
    world.tick(30.0)
    assert world.ends(0) == [Exit(0)]


def test_an_order_to_end_comes_before_all_that() -> None:
    """And ends with the command's code."""
    world = World(unhealthy=Unhealthy.ABDICATE).running()
    judged(world)
    world.told()
    assert world.ends(7) == [Exit(7)]
