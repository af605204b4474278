"""What follows from what one candidate for the lock has seen, at any hour of two clocks."""

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
    """Return what the clocks say; boot time has gone on while the machine was suspended."""
    return Now(5000.0 + seconds, 9000.0 + seconds + suspended)


def taken(former: Former = FRESH, fence: int = 7) -> Taken:
    """Return what a server says that was never restarted."""
    return Taken(fence, former, "1", "noon")


def leader() -> Campaign:
    """Return a candidate that has led from 0 on."""
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
def test_how_long_the_old_command_is_waited_for(former: Former, seconds: float) -> None:
    """Not at all after a release, or our own last term; longer where the holder may not have heard
    that its server is another. A promoted replica's word on a release may be out of date."""
    assert wait_for_the_old_command(taken(former), 3, TIMES) == seconds


def test_the_server_is_more_patient_with_a_silent_session_than_its_holder() -> None:
    """So whoever gets the lock of a holder that was cut off, and waits for its command, waits long
    enough."""
    assert TIMES.session_timeout > TIMES.renew_deadline


def test_it_connects_tries_and_looks_again() -> None:
    """Every retry period, a fifth more or less."""
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


def test_a_notification_has_it_try_at_once() -> None:
    """Unless it has the lock itself."""
    campaign = Campaign("a", "ours", TIMES)
    campaign.opened()
    campaign.refused("b", at(0), jitter=0.5)
    campaign.notified()
    assert campaign.plan(at(0.1)) == Plan(Step.TRY)
    holder = leader()
    holder.notified()
    assert holder.plan(at(0.1)).step is Step.WAIT


def test_it_leads_by_the_sending_of_what_was_answered_last() -> None:
    """Not by the answer's arrival."""
    campaign = leader()
    assert campaign.plan(at(2)) == Plan(Step.BEAT)
    campaign.answered(at(2), at(2))
    assert campaign.term(at(8)) == Term("a", at(2).boot, 7)
    assert campaign.leads(at(11.9))
    assert not campaign.leads(at(12))
    assert campaign.plan(at(12)) == Plan(Step.DROP)


def test_an_answer_that_comes_too_late_is_none() -> None:
    """The command was told to stop already: what comes after is another term."""
    campaign = leader()
    campaign.answered(at(9), at(9, suspended=1))
    assert campaign.plan(at(9, suspended=1)) == Plan(Step.DROP)
    assert not campaign.leads(at(9, suspended=1))


def test_suspension_counts() -> None:
    """A machine that slept past the deadline leads no more, whatever its session says."""
    campaign = leader()
    assert campaign.plan(at(1, suspended=60)) == Plan(Step.DROP)
    assert campaign.term(at(1, suspended=60)) == Term(None, at(0).boot, None)


def test_while_the_old_command_is_waited_for_nobody_leads_and_the_lock_is_kept() -> None:
    """And the wait is over on its own."""
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


def test_a_term_that_never_led_is_none_of_our_own() -> None:
    """Taken again after a broken session, the old command is waited for nevertheless."""
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
    """While the session lives the term goes on, to the deadline at most."""
    campaign = leader()
    campaign.failed(at(2), jitter=1.0, not_before=60.0)
    assert campaign.leads(at(9))
    assert campaign.plan(at(3)) == Plan(Step.WAIT, at(10).monotonic)
    assert campaign.plan(at(10)) == Plan(Step.DROP)


def test_what_is_let_go_of_on_purpose_is_not_taken_for_the_hold_off() -> None:
    """Others are looked at meanwhile."""
    campaign = leader()
    campaign.let_go(30.0, at(3))
    assert campaign.term(at(3)) == Term(None, at(3).boot, None)
    assert campaign.plan(at(5)) == Plan(Step.TRY)
    assert not campaign.may_take(at(5))
    assert campaign.may_take(at(33))


def test_a_question_is_waited_for_as_long_as_we_may_lead_by_the_session() -> None:
    """For it can't be had again; a candidate's patience is shorter."""
    campaign = leader()
    assert campaign.patience(at(4)) == 6.0
    assert Campaign("a", "ours", TIMES).patience(at(4)) == 5.0
