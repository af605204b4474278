"""An unhealthy command is stopped, and restarted, or leadership moves."""

import signal

from core import world as worlds
from core.world import ME

from leaderexec.core import events
from leaderexec.core.actions import Exit, Job, Note, Release, Role, Start, Stop
from leaderexec.core.belief import ContactPolicy
from leaderexec.core.lifecycle import Restart, Unhealthy


class World(worlds.World):
    """A world that is never out of contact, however much time passes."""

    def __init__(self, **policy: object) -> None:
        super().__init__(contact=ContactPolicy(None), **policy)


def judged(world: World, *, healthy: bool = False, ago: float = 0.0) -> list[object]:
    """Let the probes report on the current run."""
    assert world.state.run is not None
    at = world.now - ago
    verdict = events.Health(healthy, world.state.run.started_at, at, "no answer")
    return list(world.then(verdict))


def unfit(world: World, *, well_for: float | None = None) -> list[object]:
    """Let the command be unhealthy, and exit; return the actions that follow."""
    if well_for is not None:
        judged(world, healthy=True)
        world.now += well_for
    judged(world)
    return list(world.ends(143))


def hold_offs(done: list[object]) -> list[float]:
    """Return the hold-offs of the releases."""
    return [one.hold_off for one in done if isinstance(one, Release)]


def elected(world: World) -> None:
    """Hold off, and lead again."""
    world.now += 1000.0
    world.announce("app-b")
    world.announce(ME)
    assert any(isinstance(one, Start) for one in world.tick())


def test_it_is_stopped_within_grace_lost_and_restarted_with_backoff() -> None:
    """It is not its own exit, so --restart does not matter."""
    world = World(grace=25.0, grace_lost=10.0).running()
    assert judged(world) == [Stop(signal.SIGTERM)]
    assert world.deadline == world.now + 10.0
    assert world.state.reason == "command unhealthy: no answer"
    assert world.ends(0) == []
    assert world.does(Role.BACKOFF)
    (start,) = world.tick(0.5)
    assert isinstance(start, Start)
    assert start.job is Job.COMMAND


def test_a_verdict_about_an_earlier_run_does_not_count_for_the_next() -> None:
    """It was on its way when that run ended."""
    world = World().running()
    assert world.state.run is not None
    old = events.Health(False, world.state.run.started_at - 1.0, world.now, "no answer")
    assert world.then(old) == []
    assert world.does(Role.RUNNING)


def test_after_too_many_restarts_it_exits_with_123() -> None:
    """An orderly stop of a broken command is no success."""
    world = World(restart_limit=0).running()
    assert Exit(123) in unfit(world)


def test_the_commands_own_status_is_kept_and_decides_nothing() -> None:
    """Until it reports something else; the next run has reported nothing."""
    world = World().running()
    said = []
    for ready in (True, True, False):
        said += [one.event for one in world.on(events.Ready(ready)) if isinstance(one, Note)]
        assert world.state.run is not None
        assert world.state.run.ready is ready
    assert said == ["command ready", "command stopping by itself"]
    assert world.does(Role.RUNNING)
    assert world.tick() == []


def test_with_exit_it_exits_with_123() -> None:
    """Whatever code the command exits with when it is stopped."""
    world = World(unhealthy=Unhealthy.EXIT).running()
    judged(world)
    assert world.ends(0) == [Exit(123)]


def test_a_long_unhealthy_run_does_not_reset_the_backoff() -> None:
    """The backoff keeps doubling."""
    world = World().running()
    world.now += 500.0
    unfit(world)
    world.tick(0.5)
    world.now += 500.0
    unfit(world)
    assert world.tick(0.9) == []
    assert world.tick(0.2) != []


def test_abdication_releases_once_nothing_is_left_and_holds_off_longer_each_time() -> None:
    """Doubling to ten minutes, and reset after a minute of being healthy."""
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


def test_if_leadership_cannot_be_released_it_exits_with_123_and_says_so() -> None:
    """An elector decides on its own: the container restarts."""
    world = World(unhealthy=Unhealthy.ABDICATE, can_release=False).running()
    note, end = unfit(world)
    assert isinstance(note, Note)
    assert "leadership did not move" in str(note.fields)
    assert end == Exit(123)


def test_a_command_that_keeps_exiting_abdicates() -> None:
    """After COUNT exits in a row; the first ones are followed by restarts."""
    world = World(restart=Restart.ON_FAILURE, abdicate_after=3, hold_off=30.0).running()
    for _ in range(2):
        assert hold_offs(list(world.ends(1))) == []
        world.tick(30.0)
        assert world.does(Role.RUNNING)
    assert hold_offs(list(world.ends(1))) == [30.0]


def test_a_success_or_a_healthy_minute_is_no_crash_loop() -> None:
    """A success without restart makes leaderexec exit; a minute of running resets the count."""
    world = World(restart=Restart.ON_FAILURE, abdicate_after=2).running()
    world.ends(1)
    world.tick(30.0)
    world.now += 60.0
    assert hold_offs(list(world.ends(1))) == []
    world.tick(30.0)
    assert world.ends(0) == [Exit(0)]


def test_an_order_to_stop_takes_precedence() -> None:
    """And exits with the command's code."""
    world = World(unhealthy=Unhealthy.ABDICATE).running()
    judged(world)
    world.told()
    assert world.ends(7) == [Exit(7)]
