"""What the API server's answers about the elector's Lease add to the elector's announcements.

Times are numbers. An announcement arrives at `now`, and so does an answer, unless it says when it
was requested.
"""

import pytest
from core.world import ME, RIVAL, World

from leaderexec.core import actions, events
from leaderexec.core.actions import Job, Role
from leaderexec.core.belief import Belief, ContactPolicy
from leaderexec.core.confirmation import Confirmation, LeaseRule
from leaderexec.core.events import (
    LeaseRefused,
    LeaseSeen,
    Pod,
    PodEnded,
    StreamClosed,
    StreamOpened,
)

DELAY = 11.0
TIMEOUT = 30.0
THIRD = "app-c"


class Confirmed(World):
    """A wrapper that also asks the API server, with an open stream."""

    def __init__(self, *, stops: bool = False, hastens: bool = True, **policy: object) -> None:
        rule = LeaseRule(stops=stops, hastens=hastens)
        policy = {"takeover_delay": DELAY, "contact": ContactPolicy(TIMEOUT, lease=rule)} | policy
        super().__init__(**policy)
        self.on(StreamOpened(self.now))

    def lease(
        self, leader: str | None, uid: str = "u1", version: int = 100, asked: float | None = None
    ) -> list[actions.Action]:
        """Process an answer; return the actions. The Pod has its leader's name."""
        pod = None if leader is None else Pod(leader, f"pod of {leader}")
        at = self.now if asked is None else asked
        return self.then(LeaseSeen(at, leader, uid, version, pod))

    def names(self, leader: str) -> list[actions.Action]:
        """Let the stream name a leader; return the actions."""
        return self.then(events.Announced(leader, self.now))

    def ended(self, leader: str) -> list[actions.Action]:
        """Let the leader's Pod be seen with all its containers terminated; return the actions."""
        return self.then(PodEnded(f"pod of {leader}"))

    @property
    def belief(self) -> Belief:
        """Return the belief."""
        return self.state.belief

    @property
    def said(self) -> Confirmation:
        """Return what is known of the API server's answers."""
        assert self.belief.confirmation is not None
        return self.belief.confirmation

    def notes(self, event: str) -> list[dict[str, object]]:
        """Return the fields of the notes with this name."""
        told = [one for one in self.everything if isinstance(one, actions.Note)]
        return [dict(one.fields) for one in told if one.event == event]


def started(done: list[actions.Action]) -> list[actions.Start]:
    """Return the starts among the actions."""
    return [one for one in done if isinstance(one, actions.Start)]


def stopped(done: list[actions.Action]) -> bool:
    """Return whether there is a stop among the actions."""
    return any(isinstance(one, actions.Stop) for one in done)


# The fence.


def test_the_term_has_the_leases_version_as_its_fence() -> None:
    """It arrives during the takeover delay, so nothing waits for it."""
    world = Confirmed()
    assert not started(world.names(ME))
    assert not started(world.lease(ME, version=100))
    (start,) = started(world.tick(DELAY))
    assert start.fence == 100
    assert world.notes("lease confirmed") == [{"leader": ME, "fence": 100}]


def test_a_late_fence_restarts_nothing_and_is_known_from_then_on() -> None:
    """The hook that cleans up after the term gets it, too."""
    world = Confirmed(takeover_delay=0.0, on_stop_timeout=1.0)
    (start,) = started(world.names(ME))
    assert start.fence is None
    assert world.lease(ME) == world.tick() == []
    assert world.belief.fence == 100
    world.ends(3)
    assert world.state.run is not None
    assert world.state.run.job is Job.ON_STOP
    assert world.state.fence == 100


def test_edits_of_the_same_lease_change_no_fence() -> None:
    """Such as labels and annotations: the fence is the version that was seen first."""
    world = Confirmed(stops=True)
    world.names(ME)
    world.lease(ME, version=100)
    world.tick(DELAY)
    assert world.lease(ME, version=170) == []
    assert world.belief.fence == 100


@pytest.mark.parametrize("stops", [False, True])
def test_an_answer_requested_before_the_announcement_says_nothing_about_it(
    stops: bool,
) -> None:
    """It may be about the previous term."""
    world = Confirmed(stops=stops)
    world.names(ME)
    world.lease(ME, asked=world.now - 0.1)
    assert world.belief.fence is None
    assert world.said.lease is None
    assert world.belief.confirmed is not stops


def test_an_answer_without_any_announcement_names_no_leader() -> None:
    """The stream is the trigger."""
    world = Confirmed(stops=True)
    assert world.lease(ME) == []
    assert world.belief.leader is None


def test_a_lease_that_names_another_gives_no_fence() -> None:
    """Its announcement is on its way, or the name belongs to another election."""
    world = Confirmed()
    world.names(ME)
    world.lease(RIVAL)
    assert world.belief.fence is None
    assert world.said.agrees is False
    assert started(world.tick(DELAY))
    assert world.notes("lease does not confirm") == [{"leader": ME}]
    world.names(RIVAL)
    world.lease(RIVAL, "u2", 200)
    assert world.said.agrees
    assert world.belief.fence == 200


def test_not_found_then_found_gives_the_fence() -> None:
    """The first has no effect, and the second is an answer like any other."""
    world = Confirmed()
    world.names(ME)
    assert world.lease(None) == []
    assert world.does(Role.TAKEOVER)
    world.lease(ME)
    assert world.belief.fence == 100


def test_advice_never_ends_a_term_whatever_it_is() -> None:
    """Another holder, none, another Lease, a refusal, silence: the command keeps running, and keeps
    the fence that it was given."""
    world = Confirmed()
    world.names(ME)
    world.lease(ME, "u1", 100)
    assert started(world.tick(DELAY))
    assert world.lease(RIVAL, "u2", 200) == []
    assert world.lease(None) == []
    assert world.lease(ME, "u3", 300) == []
    assert world.then(LeaseRefused(world.now)) == []
    world.on(StreamClosed(world.now))
    world.on(StreamOpened(world.now))
    assert world.names(ME) == []
    assert world.lease(ME, "u4", 400) == []
    assert world.belief.fence == 100
    assert world.does(Role.RUNNING)


def test_a_term_after_lost_contact_has_the_fence_of_its_own_lease() -> None:
    """The old fence may be outdated by another leader's."""
    world = Confirmed()
    world.names(ME)
    world.lease(ME, "u1", 100)
    world.tick(DELAY)
    assert stopped(world.tick(TIMEOUT))
    world.ends(0)
    assert world.belief.fence is None
    world.names(ME)
    assert world.belief.fence is None
    world.lease(ME, "u2", 200)
    (start,) = started(world.tick(DELAY))
    assert start.fence == 200


# The quicker start.


def led_by_the_rival(*, first_seen: float = 50.0, **policy: object) -> Confirmed:
    """A standby that has seen the rival's Lease for this long; next it may be named itself."""
    world = Confirmed(**policy)  # type: ignore[arg-type]
    world.names(RIVAL)
    world.lease(RIVAL, "u0", 10)
    world.now += first_seen
    return world


def won(world: Confirmed) -> Confirmed:
    """It is named, and the API server confirms it."""
    world.now += 0.1
    assert not started(world.names(ME))
    world.now += 0.1
    assert not started(world.lease(ME, "u1", 100))
    return world


@pytest.mark.parametrize("pod_first", [False, True])
def test_it_starts_at_once_when_the_former_leaders_pod_has_ended(pod_first: bool) -> None:
    """Whichever is known first, the Pod or our Lease."""
    world = led_by_the_rival()
    world.names(ME)
    done = world.ended(RIVAL) if pod_first else world.lease(ME)
    assert not started(done)
    (start,) = started(world.lease(ME) if pod_first else world.ended(RIVAL))
    assert start.fence == 100
    (told,) = world.notes("takeover delay shortened")
    assert told["reason"] == "the former leader's Pod has ended"


def test_the_former_leaders_pod_seen_late_ends_the_delay_at_that_moment() -> None:
    """In the middle of it."""
    world = won(led_by_the_rival())
    assert not started(world.tick(5.0))
    assert started(world.ended(RIVAL))


def test_the_pod_seen_after_the_start_changes_nothing() -> None:
    """The command is running already."""
    world = won(led_by_the_rival())
    assert started(world.tick(DELAY))
    assert world.ended(RIVAL) == []


def test_without_news_of_the_pod_the_whole_delay_is_waited_for() -> None:
    """A Pod that is merely gone is never reported."""
    world = won(led_by_the_rival())
    assert not started(world.tick(DELAY - 0.3))
    assert started(world.tick(0.3))


def test_another_pod_of_the_same_name_proves_nothing() -> None:
    """A StatefulSet reuses names."""
    world = won(led_by_the_rival())
    assert not started(world.then(PodEnded("another uid")))


def test_a_command_from_before_the_former_leader_has_its_time_too() -> None:
    """If that leader won a second ago, the previous one's command may still be stopping."""
    world = won(led_by_the_rival(first_seen=1.0))
    assert not started(world.ended(RIVAL))
    assert not started(world.tick(DELAY - 1.3))
    assert started(world.tick(0.2))


@pytest.mark.parametrize("gap", ["a new stream", "contact was lost"])
def test_an_unseen_leader_in_between_may_still_run(gap: str) -> None:
    """Only an open stream that named one and then the other proves that no other led."""
    world = led_by_the_rival()
    if gap == "a new stream":
        world.on(StreamClosed(world.now))
        world.on(StreamOpened(world.now))
    else:
        world.tick(TIMEOUT)
    won(world)
    assert not started(world.ended(RIVAL))


def test_a_poll_that_the_stream_did_not_follow_shows_no_order() -> None:
    """The stream has missed one or several announcements."""
    world = led_by_the_rival()
    world.then(events.Polled(ME, world.now))
    world.lease(ME)
    assert not started(world.ended(RIVAL))


def test_a_third_leader_in_between_is_the_former_one() -> None:
    """The end of the one before it does not matter any more."""
    world = led_by_the_rival()
    world.names(THIRD)
    won(world)
    assert not started(world.ended(RIVAL))
    assert not started(world.ended(THIRD)), "its own Lease was never seen"


def test_a_lease_recreated_after_the_win_has_another_leader_before_it() -> None:
    """It is not known which leader that was."""
    world = won(led_by_the_rival())
    world.lease(ME, "u2", 200)
    assert not started(world.ended(RIVAL))


def led_once(**policy: object) -> Confirmed:
    """It led, and contact was lost for long enough to stop its command."""
    world = Confirmed(**policy)  # type: ignore[arg-type]
    world.names(ME)
    world.lease(ME, "u1", 100)
    world.tick(DELAY)
    assert stopped(world.tick(TIMEOUT))
    world.ends(0)
    assert world.does(Role.STANDBY)
    return world


@pytest.mark.parametrize("stops", [False, True])
def test_unbroken_leadership_by_the_same_lease_goes_on_at_once(stops: bool) -> None:
    """No other replica has led."""
    world = led_once(stops=stops)
    assert not started(world.names(ME))
    (start,) = started(world.lease(ME, "u1", 100))
    assert start.fence == 100


@pytest.mark.parametrize("stops", [False, True])
@pytest.mark.parametrize(("uid", "version"), [("u2", 200), ("u1", 101)])
def test_after_another_or_an_edited_lease_the_delay_is_waited_for(
    stops: bool, uid: str, version: int
) -> None:
    """It was recreated, or another replica may have been its holder for a while."""
    world = led_once(stops=stops)
    world.names(ME)
    assert not started(world.lease(ME, uid, version))
    assert not started(world.tick(DELAY - 0.1))
    assert started(world.tick(0.1))


def test_a_lease_first_seen_during_the_delay_is_not_waited_for_twice() -> None:
    """Nor for less than the delay in all."""
    world = Confirmed(contact=ContactPolicy(2.0, lease=LeaseRule(stops=False, hastens=True)))
    world.names(ME)
    world.lease(ME)
    world.tick(3.0)
    assert world.does(Role.STANDBY)
    world.names(ME)
    assert not started(world.lease(ME))
    for _ in range(7):
        world.names(ME)
        assert not started(world.tick(1.0))
    world.names(ME)
    assert started(world.tick(1.0))


def test_another_leader_in_between_breaks_unbroken_leadership() -> None:
    """Even if only the elector named it: the other replica has received that, too."""
    world = led_once()
    world.names(RIVAL)
    world.names(ME)
    assert not started(world.lease(ME, "u1", 100))


def test_a_delay_that_was_set_is_never_shortened() -> None:
    """Only auto is."""
    world = led_by_the_rival(hastens=False)
    won(world)
    assert not started(world.ended(RIVAL))


def test_an_answers_duration_is_part_of_the_delay_and_is_not_logged() -> None:
    """It counts from the request: it is known that the Lease was ours then."""
    world = Confirmed(stops=True)
    world.names(ME)
    asked = world.now
    world.now += 0.5
    assert not started(world.lease(ME, asked=asked))
    assert not started(world.tick(DELAY - 0.6))
    assert started(world.tick(0.1))
    assert not world.notes("takeover delay shortened")


def test_a_backoff_is_not_a_takeover_delay() -> None:
    """What is known of other replicas says nothing about a command that crashes."""
    from leaderexec.core.lifecycle import Restart

    world = won(led_by_the_rival(restart=Restart.ALWAYS))
    assert started(world.ended(RIVAL))
    assert not started(world.ends(1))
    assert world.does(Role.BACKOFF)
    assert not started(world.lease(ME, "u1", 100))


# An explicit name: the API server's answer decides.


@pytest.mark.parametrize("lease_first", [False, True])
def test_no_replica_leads_unless_elector_and_api_server_agree(lease_first: bool) -> None:
    """In either order: an answer from before the announcement is requested again."""
    world = Confirmed(stops=True, takeover_delay=0.0)
    if lease_first:
        assert not started(world.lease(ME))
        world.now += 0.1
    assert not started(world.names(ME))
    assert not world.belief.confirmed
    assert not world.notes("leadership unconfirmed")
    (start,) = started(world.lease(ME))
    assert start.fence == 100


@pytest.mark.parametrize("other", [RIVAL, None])
def test_a_command_is_stopped_at_once_if_the_api_server_does_not_name_its_replica(
    other: str | None,
) -> None:
    """And leads again when both agree, in a new term."""
    world = Confirmed(stops=True)
    world.names(ME)
    world.lease(ME)
    world.tick(DELAY)
    assert stopped(world.lease(other, "u2", 200))
    assert f"the API server {other or 'nobody'}" in world.state.reason
    world.ends(0)
    world.names(ME)
    assert not started(world.tick(DELAY))
    assert not started(world.lease(ME, "u3", 300))
    (start,) = started(world.tick(DELAY))
    assert start.fence == 300


def test_an_announcement_alone_is_no_contact() -> None:
    """A pod that is cut off along with its elector receives it all the time."""
    world = Confirmed(stops=True)
    world.names(ME)
    world.lease(ME)
    assert started(world.tick(DELAY))
    for _ in range(int(TIMEOUT - DELAY) - 1):
        world.then(events.Polled(ME, world.now))
        assert not stopped(world.tick(1.0))
    world.names(ME)
    assert stopped(world.tick(1.0))
    assert "no contact" in world.state.reason


def test_an_answer_of_the_api_server_alone_is_contact() -> None:
    """A dead elector takes nothing away: the Lease stays."""
    world = Confirmed(stops=True)
    world.names(ME)
    world.lease(ME)
    world.tick(DELAY)
    world.on(StreamClosed(world.now))
    for _ in range(10):
        world.now += 10.0
        assert world.lease(ME) == []
    assert world.does(Role.RUNNING)


def test_an_announced_loss_needs_no_confirmation() -> None:
    """It is logged as a move."""
    world = Confirmed(stops=True)
    world.names(ME)
    world.lease(ME)
    world.tick(DELAY)
    assert stopped(world.names(RIVAL))
    assert world.state.reason == f"leadership moved from {ME} to {RIVAL}"


def test_another_lease_with_our_name_is_another_term() -> None:
    """Another replica led, or could have led, in between."""
    world = Confirmed(stops=True)
    world.names(ME)
    world.lease(ME, "u1", 100)
    world.tick(DELAY)
    assert stopped(world.lease(ME, "u2", 200))
    world.ends(0)
    assert not started(world.tick(DELAY - 0.1))
    (start,) = started(world.lease(ME, "u2", 200) + world.tick(0.1))
    assert start.fence == 200


def test_an_outage_is_over_with_the_first_answer() -> None:
    """If the Lease is unchanged, there is no wait."""
    world = Confirmed(stops=True)
    world.names(ME)
    world.lease(ME)
    world.tick(DELAY)
    assert stopped(world.tick(TIMEOUT))
    world.ends(0)
    assert started(world.lease(ME))


# We may not ask.


def test_after_a_refusal_the_elector_alone_decides() -> None:
    """Also with a name: the log has what is missing, and nothing is stopped."""
    world = Confirmed(stops=True)
    world.names(ME)
    assert not world.belief.confirmed
    world.then(LeaseRefused(world.now))
    assert world.belief.confirmed
    assert started(world.tick(DELAY))
    for _ in range(10):
        world.now += 10.0
        assert world.then(events.Polled(ME, world.now)) == []
    assert stopped(world.tick(TIMEOUT))


def test_a_refusal_during_a_term_does_not_end_it() -> None:
    """The Role was removed."""
    world = Confirmed(stops=True)
    world.names(ME)
    world.lease(ME)
    world.tick(DELAY)
    for _ in range(4):
        world.now += 10.0
        assert world.lease(ME) == []
    assert world.then(LeaseRefused(world.now)) == []
    world.now += 10.0
    assert world.then(events.Polled(ME, world.now)) == []
    assert world.does(Role.RUNNING)
    assert world.belief.fence == 100


def test_after_a_refusal_the_first_answer_decides_again() -> None:
    """The Role was granted."""
    world = Confirmed(stops=True)
    world.names(ME)
    world.then(LeaseRefused(world.now))
    world.tick(DELAY)
    assert stopped(world.lease(RIVAL))


def test_a_refusal_without_any_announcement_confirms_no_leader() -> None:
    """There is no leader to confirm."""
    world = Confirmed(stops=True)
    world.then(LeaseRefused(world.now))
    assert not world.belief.confirmed


def test_refused_advice_changes_nothing() -> None:
    """It is as if the API server had not been asked."""
    world = Confirmed()
    world.names(ME)
    world.then(LeaseRefused(world.now))
    assert world.belief.confirmed
    assert started(world.tick(DELAY))


def test_without_the_option_none_of_this_counts() -> None:
    """The plain case has no place for it."""
    world = World()
    world.announce(ME)
    before = world.state
    world.on(LeaseSeen(world.now, ME, "u1", 100, None))
    world.on(LeaseRefused(world.now))
    world.on(PodEnded("uid"))
    assert world.state == before
