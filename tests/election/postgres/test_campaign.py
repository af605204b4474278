"""What a candidate for the lock concludes from what it has seen, at any time of two clocks."""

import pytest

from leaderexec.election.postgres.campaign import (
    Campaign,
    Former,
    Plan,
    Step,
    Taken,
    Times,
    wait_for_the_old_command,
)
from leaderexec.election.renewing import Now, Term

TIMES = Times(renew_deadline=10.0, retry_period=2.0, gone_after=11.0)
FRESH = Former(0, "", "", released=True, timeline="", started="")


def at(seconds: float, *, suspended: float = 0.0) -> Now:
    """Return the two clocks; boot time includes the time for which the machine was suspended."""
    return Now(5000.0 + seconds, 9000.0 + seconds + suspended)


def taken(former: Former = FRESH, fence: int = 7) -> Taken:
    """Return the response of a server that was never restarted."""
    return Taken(fence, former, "1", "noon")


def leader() -> Campaign:
    """Return a candidate that has led since 0."""
    campaign = Campaign("a", "ours", TIMES)
    campaign.opened()
    campaign.taken(taken(), at(0), at(0))
    assert campaign.term(at(0)) == Term("a", at(0).boot, 7)
    return campaign


@pytest.mark.parametrize(
    ("former", "seconds"),
    [
        (FRESH, 0.0),
        (Former(5, "b", "theirs", released=True, timeline="1", started="noon"), 0.0),
        (Former(5, "b", "theirs", released=True, timeline="1", started="dawn"), 0.0),
        (Former(5, "b", "theirs", released=False, timeline="1", started="noon"), 11.0),
        (Former(5, "b", "theirs", released=False, timeline="1", started="dawn"), 21.0),
        (Former(5, "b", "theirs", released=False, timeline="0", started="dawn"), 21.0),
        (Former(5, "b", "theirs", released=True, timeline="0", started="dawn"), 21.0),
        (Former(5, "b", "theirs", released=False, timeline="", started=""), 21.0),
        (Former(3, "a", "ours", released=False, timeline="1", started="dawn"), 0.0),
        (Former(5, "a", "ours", released=False, timeline="1", started="noon"), 11.0),
    ],
)
def test_a_winner_waits_for_the_old_command_only_as_long_as_it_may_run(
    former: Former, seconds: float
) -> None:
    """Not at all after a release, or after our own last term; longer if the holder may not know
    that the server is another one. On a promoted replica, a recorded release may be outdated."""
    assert wait_for_the_old_command(taken(former), 3, TIMES) == seconds


def test_the_server_tolerates_a_longer_silence_than_the_sessions_holder() -> None:
    """So a replica that gets the lock of a holder that was cut off, and waits for its command,
    waits long enough."""
    assert TIMES.session_timeout > TIMES.renew_deadline


def test_it_connects_tries_the_lock_and_tries_again() -> None:
    """Every retry period, give or take a fifth."""
    campaign = Campaign("a", "ours", TIMES)
    assert campaign.plan(at(0)) == Plan(Step.CONNECT)
    assert campaign.term(at(0)) is None
    campaign.opened()
    assert campaign.plan(at(0)) == Plan(Step.TRY)
    campaign.refused("b", at(0), jitter=0.5)
    assert campaign.term(at(1)) == Term("b", at(0).boot, None)
    assert campaign.plan(at(1)) == Plan(Step.WAIT, at(2).monotonic)
    for jitter, until in ((0.0, 1.6), (1.0, 2.4)):
        campaign.refused("b", at(0), jitter=jitter)
        assert campaign.plan(at(1)).until == pytest.approx(at(until).monotonic)


def test_a_notification_makes_it_try_at_once() -> None:
    """Unless it has the lock itself."""
    campaign = Campaign("a", "ours", TIMES)
    campaign.opened()
    campaign.refused("b", at(0), jitter=0.5)
    campaign.notified()
    assert campaign.plan(at(0.1)) == Plan(Step.TRY)
    holder = leader()
    holder.notified()
    assert holder.plan(at(0.1)).step is Step.WAIT


def test_leadership_counts_from_the_sending_of_the_last_answered_request() -> None:
    """Not from the arrival of the response."""
    campaign = leader()
    assert campaign.plan(at(2)) == Plan(Step.BEAT)
    campaign.answered(at(2), at(2))
    assert campaign.term(at(8)) == Term("a", at(2).boot, 7)
    assert campaign.leads(at(11.9))
    assert not campaign.leads(at(12))
    assert campaign.plan(at(12)) == Plan(Step.DROP)


def test_a_response_that_is_too_late_does_not_count() -> None:
    """The command is already being stopped: what follows is another term."""
    campaign = leader()
    campaign.answered(at(9), at(9, suspended=1))
    assert campaign.plan(at(9, suspended=1)) == Plan(Step.DROP)
    assert not campaign.leads(at(9, suspended=1))


def test_suspended_time_counts_towards_the_deadline() -> None:
    """A machine that slept past the deadline no longer leads, whatever its session says."""
    campaign = leader()
    assert campaign.plan(at(1, suspended=60)) == Plan(Step.DROP)
    assert campaign.term(at(1, suspended=60)) == Term(None, at(0).boot, None)


def test_while_it_waits_for_the_old_command_no_replica_leads_and_it_keeps_the_lock() -> None:
    """And the wait ends."""
    campaign = Campaign("a", "ours", TIMES)
    campaign.opened()
    killed = Former(5, "b", "theirs", released=False, timeline="1", started="noon")
    assert campaign.taken(taken(killed), at(0), at(0)) == 11.0
    assert campaign.term(at(0)) == Term(None, at(0).boot, None)
    for second in range(2, 11, 2):
        assert campaign.plan(at(second)) == Plan(Step.BEAT)
        campaign.answered(at(second), at(second))
        assert not campaign.is_ready(at(second))
    assert campaign.plan(at(10.5)) == Plan(Step.WAIT, at(11).monotonic)
    assert campaign.term(at(11)) == Term("a", at(10).boot, 7)


def test_a_term_in_which_we_never_led_does_not_count_as_our_own() -> None:
    """Acquired again after a broken session, the old command is still waited for."""
    campaign = Campaign("a", "ours", TIMES)
    campaign.opened()
    killed = Former(5, "b", "theirs", released=False, timeline="1", started="noon")
    campaign.taken(taken(killed), at(0), at(0))
    campaign.term(at(0))
    campaign.lost(at(1), jitter=0.0)
    campaign.opened()
    ours = Former(7, "a", "ours", released=False, timeline="1", started="noon")
    assert campaign.taken(taken(ours, 8), at(2), at(2)) == 11.0
    led = leader()
    led.lost(at(1), jitter=0.0)
    led.opened()
    assert led.taken(taken(ours, 8), at(2), at(2)) == 0.0


def test_a_lost_session_ends_leadership_and_is_opened_again() -> None:
    """Later and later, up to the retry period, and never before it makes sense."""
    campaign = leader()
    campaign.lost(at(3), jitter=1.0)
    assert campaign.term(at(3)) == Term(None, at(0).boot, None)
    delays = []
    for _ in range(8):
        delays.append(campaign.plan(at(3)).until - at(3).monotonic)
        campaign.lost(at(3), jitter=1.0)
    assert delays == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0])
    campaign.lost(at(3), jitter=0.0, not_before=30.0)
    assert campaign.plan(at(3)).until == at(33).monotonic


def test_an_error_is_no_loss() -> None:
    """While the session lives the term goes on, until the deadline at most."""
    campaign = leader()
    campaign.failed(at(2), jitter=1.0, not_before=60.0)
    assert campaign.leads(at(9))
    assert campaign.plan(at(3)) == Plan(Step.WAIT, at(10).monotonic)
    assert campaign.plan(at(10)) == Plan(Step.DROP)


def test_a_lock_released_on_purpose_is_not_taken_during_the_hold_off() -> None:
    """Meanwhile it watches the other replicas."""
    campaign = leader()
    campaign.let_go(30.0, at(3))
    assert campaign.term(at(3)) == Term(None, at(3).boot, None)
    assert campaign.plan(at(5)) == Plan(Step.TRY)
    assert not campaign.may_take(at(5))
    assert campaign.may_take(at(33))


def test_a_holder_waits_for_a_response_as_long_as_it_may_lead() -> None:
    """A lost session can't be reopened; a candidate waits for less."""
    campaign = leader()
    assert campaign.patience(at(4)) == 6.0
    assert Campaign("a", "ours", TIMES).patience(at(4)) == 5.0
