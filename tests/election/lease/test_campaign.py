"""One candidate's decisions, one at a time. Each test sets the clocks."""

from datetime import UTC, datetime
from typing import Any

import pytest

from leaderexec.election.lease import record
from leaderexec.election.lease.campaign import Campaign, Plan, Step
from leaderexec.election.lease.record import Candidate, Lease, Name
from leaderexec.election.renewing import Now, Term, Terms

US = Candidate("a", "life-of-a", 22)
TERMS = Terms(renew_deadline=10.0, retry_period=2.0)
NAME = Name("ns", "demo")


def at(seconds: float, *, suspended: float = 0.0) -> Now:
    """Return the two clocks; boot time includes the time for which this machine was suspended."""
    return Now(1000.0 + seconds, 5000.0 + seconds + suspended)


def lease(version: int, holder: str = "b", life: str = "", **spec: Any) -> Lease:
    """Return a Lease that was read."""
    given = {"holderIdentity": holder, "leaseDurationSeconds": 15, **spec}
    metadata = {"resourceVersion": str(version), "annotations": {record.LIFE: life}}
    return record.read({"kind": "Lease", "metadata": metadata, "spec": given})


def ours(version: int, **spec: Any) -> Lease:
    """Return a Lease that this process holds."""
    return lease(version, "a", "life-of-a", **spec)


def leading(version: int = 8) -> Campaign:
    """Return a campaign that acquired the Lease at 0."""
    campaign = Campaign(US, TERMS)
    campaign.heard(lease(version - 1, ""), at(0))
    campaign.wrote(Step.ACQUIRE, ours(version), at(0), at(0.1))
    return campaign


def test_at_first_it_reads() -> None:
    """Before that, nothing is written or reported."""
    campaign = Campaign(US, TERMS)
    assert campaign.plan(at(0)) == Plan(Step.READ)
    assert campaign.term(at(0)) is None


def test_a_free_lease_is_acquired_at_once() -> None:
    """However long ago it was released."""
    campaign = Campaign(US, TERMS)
    campaign.heard(lease(7, ""), at(0))
    assert campaign.plan(at(0)) == Plan(Step.ACQUIRE)


def test_anothers_lease_is_taken_once_it_has_not_changed_for_its_duration() -> None:
    """By our own clock and its duration; its dates are ignored."""
    campaign = Campaign(US, TERMS)
    old = datetime(2001, 1, 1, tzinfo=UTC)
    campaign.heard(lease(7, renewTime=record.micro_time(old)), at(0))
    campaign.heard(lease(8), at(5), by_watch=True)
    campaign.heard(lease(8), at(19.9))
    assert campaign.plan(at(19.99), watched=True) == Plan(Step.WAIT, at(20).monotonic)
    assert campaign.plan(at(20), watched=True) == Plan(Step.ACQUIRE)


def test_anothers_lease_does_not_expire_while_this_machine_sleeps() -> None:
    """Nothing was seen of it meanwhile."""
    campaign = Campaign(US, TERMS)
    campaign.heard(lease(7), at(0))
    campaign.heard(lease(7), at(14, suspended=3600))
    assert campaign.plan(at(14, suspended=3600)).step is Step.WAIT


def test_the_fence_is_the_version_of_the_acquiring_write_and_stays() -> None:
    """Renewals raise the resourceVersion, but begin no new term."""
    campaign = leading(8)
    assert campaign.term(at(1)) == Term("a", at(0).boot, 8)
    assert campaign.plan(at(1.9)) == Plan(Step.WAIT, at(2).monotonic)
    assert campaign.plan(at(2)) == Plan(Step.RENEW)
    campaign.wrote(Step.RENEW, ours(9), at(2), at(2.5))
    assert campaign.term(at(3)) == Term("a", at(2).boot, 8)


def test_the_deadline_counts_from_sending_the_last_good_renewal() -> None:
    """Not from the response; and by boot time."""
    campaign = leading()
    campaign.wrote(Step.RENEW, ours(9), at(2), at(6))
    assert campaign.leads(at(11.9))
    assert not campaign.leads(at(12))
    assert not campaign.leads(at(3, suspended=9))


def test_a_renewal_that_is_answered_after_the_deadline_does_not_count() -> None:
    """We have stopped: the Lease is acquired again, with a new fence."""
    campaign = leading()
    campaign.wrote(Step.RENEW, ours(9), at(2), at(10))
    assert not campaign.leads(at(10))
    assert campaign.plan(at(10)) == Plan(Step.ACQUIRE)
    campaign.wrote(Step.ACQUIRE, ours(10), at(10), at(10.1))
    assert campaign.term(at(10.1)) == Term("a", at(10).boot, 10)


def test_an_acquisition_that_is_answered_after_the_deadline_does_not_count() -> None:
    """Its time is over before it has begun."""
    campaign = Campaign(US, TERMS)
    campaign.heard(lease(7, ""), at(0))
    campaign.wrote(Step.ACQUIRE, ours(8), at(0), at(10))
    assert campaign.term(at(10)) is None
    assert campaign.plan(at(10)) == Plan(Step.ACQUIRE)


def test_another_holder_ends_leadership_at_once() -> None:
    """Long before the deadline, whatever the cause."""
    campaign = leading()
    campaign.heard(lease(9, "b"), at(1), by_watch=True)
    assert campaign.term(at(1)) == Term("b", at(1).boot, None)
    assert campaign.plan(at(1)).step is Step.WAIT


def test_a_stale_watch_changes_nothing() -> None:
    """It shows the state before our own write."""
    campaign = leading(8)
    assert not campaign.heard(lease(7, "b"), at(1), by_watch=True)
    assert not campaign.deleted(8, at(1))
    assert campaign.leads(at(1))


def test_the_echo_of_our_own_write_reports_nothing_before_its_response() -> None:
    """If it were reported, contact would count from a moment later than the sending."""
    campaign = Campaign(US, TERMS)
    campaign.heard(lease(7, ""), at(0))
    campaign.heard(ours(8), at(1), by_watch=True)
    assert campaign.term(at(1)) is None
    campaign.wrote(Step.ACQUIRE, ours(8), at(0), at(2))
    assert campaign.term(at(2)) == Term("a", at(0).boot, 8)


def test_a_write_that_is_overwritten_before_its_response_gives_no_leadership() -> None:
    """The watch event arrived first."""
    campaign = Campaign(US, TERMS)
    campaign.heard(lease(7, ""), at(0))
    campaign.heard(lease(9, "b"), at(0.5), by_watch=True)
    campaign.wrote(Step.ACQUIRE, ours(8), at(0), at(1))
    assert not campaign.leads(at(1))
    assert campaign.plan(at(1)) == Plan(Step.READ)


def test_after_a_conflict_it_reads_and_retries_at_once() -> None:
    """Several times; in a storm there are a few milliseconds between attempts."""
    campaign = leading()
    for _ in range(5):
        campaign.conflicted(at(2))
        assert campaign.plan(at(2)) == Plan(Step.READ)
    campaign.conflicted(at(2))
    assert campaign.plan(at(2)).step is Step.WAIT
    assert campaign.plan(at(2.1)) == Plan(Step.READ)
    campaign.heard(ours(9), at(2.1))
    assert campaign.plan(at(2.1)) == Plan(Step.RENEW)
    assert campaign.term(at(2.1)) == Term("a", at(0).boot, 8)


def test_after_a_failure_it_reads_before_it_writes() -> None:
    """The lost write may have succeeded."""
    campaign = leading()
    campaign.failed(Step.RENEW, at(2))
    assert campaign.plan(at(2)) == Plan(Step.WAIT, at(2.1).monotonic)
    assert campaign.plan(at(2.1)) == Plan(Step.READ)
    campaign.heard(ours(9), at(2.2))
    assert campaign.plan(at(2.2)) == Plan(Step.RENEW)


def test_failures_are_retried_ever_more_slowly_and_never_prolong_leadership() -> None:
    """Up to the retry period; the server can ask for a longer pause, but that prolongs no term."""
    campaign = leading()
    pauses = []
    for _ in range(7):
        campaign.failed(Step.READ, at(2))
        pauses.append(campaign.plan(at(2)).until - at(2).monotonic)
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0])
    campaign.failed(Step.READ, at(2), not_before=60)
    assert campaign.plan(at(2)) == Plan(Step.WAIT, at(10).monotonic)
    assert campaign.plan(at(10)) == Plan(Step.WAIT, at(62).monotonic)
    assert not campaign.leads(at(10))


def test_without_a_lease_a_full_duration_passes_first() -> None:
    """Another process may have held it a moment ago."""
    campaign = Campaign(US, TERMS)
    for seconds in (0, 8, 16, 21.9):
        campaign.heard(None, at(seconds))
        assert campaign.plan(at(seconds)).step is Step.WAIT
    assert campaign.plan(at(22)) == Plan(Step.ACQUIRE)


def test_a_lease_missing_before_and_after_a_long_silence_may_have_been_held_in_between() -> None:
    """The full duration starts over."""
    campaign = Campaign(US, TERMS)
    campaign.heard(None, at(0))
    campaign.heard(None, at(21))
    assert campaign.plan(at(22)).step is Step.WAIT
    for seconds in (30, 38, 42.9):
        campaign.heard(None, at(seconds))
        assert campaign.plan(at(seconds)).step is Step.WAIT
    assert campaign.plan(at(43)) == Plan(Step.ACQUIRE)


def test_a_standby_does_not_create_a_deleted_lease_at_once() -> None:
    """The holder may not know yet."""
    campaign = Campaign(US, TERMS)
    campaign.heard(lease(7), at(0))
    campaign.deleted(9, at(1))
    assert campaign.term(at(1)) == Term(None, at(1).boot, None)
    assert campaign.plan(at(2.9)).step is Step.WAIT
    assert campaign.free_at() == at(23).monotonic


def test_the_holder_recreates_a_deleted_lease_as_a_new_term() -> None:
    """Only it knows that no other process held it; its command is a new one with a new fence."""
    campaign = leading(8)
    campaign.deleted(9, at(1))
    assert campaign.term(at(1)) == Term(None, at(1).boot, None)
    assert campaign.plan(at(1)) == Plan(Step.ACQUIRE)
    campaign.wrote(Step.ACQUIRE, ours(12), at(1), at(1.1))
    assert campaign.term(at(1.1)) == Term("a", at(1).boot, 12)


def test_a_holder_whose_deadline_has_passed_does_not_recreate_it() -> None:
    """Much can have happened since."""
    campaign = leading(8)
    campaign.heard(None, at(11))
    assert campaign.free_at() == at(33).monotonic


def test_our_own_lease_is_acquired_again_after_the_deadline() -> None:
    """At once, since no other process has held it; with a greater fence."""
    campaign = leading(8)
    campaign.failed(Step.RENEW, at(2))
    assert campaign.plan(at(11)) == Plan(Step.READ)
    campaign.heard(ours(8), at(11))
    assert campaign.plan(at(11)) == Plan(Step.ACQUIRE)


def test_another_process_with_our_name_is_another_holder() -> None:
    """It is waited for like any other holder, and never taken for us."""
    campaign = Campaign(US, TERMS)
    campaign.heard(lease(7, "a", "another"), at(0))
    assert campaign.term(at(0)) == Term("a (an earlier or another process)", at(0).boot, None)
    assert campaign.plan(at(14.9)).step is not Step.ACQUIRE
    campaign.heard(lease(7, "a", "another"), at(15))
    assert campaign.plan(at(15)) == Plan(Step.ACQUIRE)


def test_a_lease_held_by_an_earlier_process_of_this_container_is_acquired_at_once() -> None:
    """Only under the same name, and only if the container is known."""
    notes = {record.LIFE: "another", record.CONTAINER: "uid/worker"}
    metadata = {"resourceVersion": "7", "annotations": notes}
    left = record.read({**lease(7, "a").document, "metadata": metadata})
    for us, holder, taken in (
        (US._replace(container="uid/worker"), left, True),
        (US._replace(container="uid/sidecar"), left, False),
        (US, left, False),
        (US._replace(identity="b", container="uid/worker"), left, False),
        (US._replace(container="uid/worker"), lease(7, "a", "another"), False),
    ):
        campaign = Campaign(us, TERMS)
        campaign.heard(holder, at(0))
        assert (campaign.plan(at(0)).step is Step.ACQUIRE) == taken


@pytest.mark.parametrize(
    ("killed", "led_for", "waits"),
    [(0, 5, 0), (1, 5, 0), (2, 5, 22 + 30), (3, 5, 22 + 60), (999_999, 5, 22 + 600), (2, 61, 0)],
)
def test_a_container_that_keeps_being_killed_lets_others_take_its_lease(
    killed: int, led_for: int, waits: int
) -> None:
    """With --abdicate-after 3, from the third kill on, and longer each time; not if it led long."""
    us = US._replace(container="uid/worker", abdicate_after=3, hold_off=30.0)
    left = ours(7)._replace(
        life="another", container="uid/worker", killed=killed, led_for=led_for, duration=22.0
    )
    campaign = Campaign(us, TERMS)
    campaign.heard(left, at(0))
    assert campaign.free_at() == at(waits).monotonic * bool(waits)
    forgiving = Campaign(us._replace(abdicate_after=None), TERMS)
    forgiving.heard(left, at(0))
    assert forgiving.plan(at(0)) == Plan(Step.ACQUIRE)


def test_a_holder_steps_down_for_the_preferred_holder() -> None:
    """It stops renewing, and its command stops at once."""
    campaign = leading(8)
    campaign.heard(ours(9, preferredHolder="c"), at(1), by_watch=True)
    assert campaign.plan(at(2)).step is Step.WAIT
    assert campaign.term(at(2)) == Term(None, at(2).boot, None)


def test_a_candidate_that_is_not_preferred_waits_one_duration_longer() -> None:
    """If the preferred one is dead, another replica leads in the end."""
    campaign = Campaign(US, TERMS)
    campaign.heard(lease(7, "", preferredHolder="c"), at(0))
    assert campaign.free_at() == at(22).monotonic
    campaign.heard(lease(8, "", preferredHolder="a"), at(1))
    assert campaign.plan(at(1)) == Plan(Step.ACQUIRE)


def test_a_standby_reads_often_if_it_cannot_watch_and_otherwise_for_contact() -> None:
    """Every retry period; or three times within the deadline."""
    campaign = Campaign(US, TERMS)
    campaign.heard(lease(7), at(0))
    assert campaign.plan(at(1.9)).step is Step.WAIT
    assert campaign.plan(at(2)) == Plan(Step.READ)
    assert campaign.plan(at(2), watched=True).step is Step.WAIT
    assert campaign.plan(at(3.4), watched=True) == Plan(Step.READ)


def test_what_is_known_of_others_counts_from_the_request() -> None:
    """A response that took long is no fresh proof."""
    campaign = Campaign(US, TERMS)
    campaign.heard(lease(7), at(3))
    assert campaign.term(at(3), at(1).boot) == Term("b", at(1).boot, None)


def test_a_restarted_thread_begins_by_reading_and_no_longer_leads() -> None:
    """Nothing it knew can be relied on."""
    campaign = leading()
    campaign.forget()
    assert not campaign.leads(at(1))
    assert campaign.plan(at(1)) == Plan(Step.READ)


def succeeded(version: int = 8) -> Campaign:
    """Return a campaign that leads, and whose command has succeeded for v1."""
    campaign = Campaign(US, TERMS, "v1")
    campaign.heard(lease(version - 1, ""), at(0))
    campaign.wrote(Step.ACQUIRE, ours(version), at(0), at(0.1))
    campaign.keep_success(version)
    return campaign


def with_done(found: Lease, key: str = "v1") -> Lease:
    """Return the Lease with this key added."""
    document = record.done(found, US, key, datetime(2026, 1, 1, tzinfo=UTC))
    document["metadata"]["resourceVersion"] = str(found.version + 1)
    return record.read(document)


def test_a_success_is_recorded_before_the_next_renewal_and_renews() -> None:
    """At once, and only once."""
    campaign = succeeded()
    assert campaign.plan(at(1)) == Plan(Step.KEEP)
    campaign.wrote(Step.KEEP, with_done(ours(8)), at(1), at(1.5))
    assert campaign.is_done
    assert campaign.plan(at(1.5)) == Plan(Step.WAIT, at(3).monotonic)
    assert campaign.term(at(1.5)) == Term("a", at(1).boot, 8)


def test_after_a_failed_record_it_reads_and_retries() -> None:
    """The write may have succeeded."""
    for done in (True, False):
        campaign = succeeded()
        campaign.failed(Step.KEEP, at(1))
        assert campaign.plan(at(1.1)) == Plan(Step.READ)
        campaign.heard(with_done(ours(8)) if done else ours(8), at(1.2))
        assert campaign.is_done == done
        assert (campaign.plan(at(1.2)).step is Step.KEEP) != done


def test_a_record_that_conflicts_is_retried_while_the_lease_names_us() -> None:
    """Another client has written something else."""
    campaign = succeeded()
    campaign.conflicted(at(1))
    assert campaign.not_kept is None
    campaign.heard(ours(9), at(1))
    assert campaign.plan(at(1)) == Plan(Step.KEEP)


def test_a_success_is_not_recorded_in_anothers_term() -> None:
    """Whether the Lease was taken or released."""
    for holder, who in (("b", "b"), ("", "nobody")):
        campaign = succeeded()
        campaign.conflicted(at(1))
        campaign.heard(lease(9, holder), at(1))
        assert campaign.not_kept == f"the Lease is held by {who} now"
        campaign.heard(ours(10), at(2))
        assert campaign.plan(at(2)).step is not Step.KEEP


def test_a_success_after_a_takeover_is_given_up_at_once() -> None:
    """The takeover was known before the command ended."""
    campaign = leading()
    campaign.heard(lease(9, "b"), at(1), by_watch=True)
    assert campaign.not_kept is None
    campaign.keep_success(8)
    assert campaign.not_kept == "the Lease is held by b now"


def test_a_success_of_a_term_before_another_has_taken_over_is_not_kept() -> None:
    """Though the Lease names us again: the other one's run decides."""
    campaign = Campaign(US, TERMS, "v1")
    campaign.heard(lease(7, ""), at(0))
    campaign.wrote(Step.ACQUIRE, ours(8), at(0), at(0.1))
    campaign.heard(lease(9, "b"), at(1), by_watch=True)
    campaign.heard(lease(10, ""), at(2), by_watch=True)
    campaign.wrote(Step.ACQUIRE, ours(11), at(2), at(2.1))
    campaign.keep_success(8)
    assert campaign.not_kept == "another replica may have led meanwhile"
    assert campaign.plan(at(2.1)).step is not Step.KEEP


def test_a_success_is_kept_although_we_took_our_own_lease_again_meanwhile() -> None:
    """The record has named us all the time, so that nobody else has led."""
    campaign = Campaign(US, TERMS, "v1")
    campaign.heard(lease(7, ""), at(0))
    campaign.wrote(Step.ACQUIRE, ours(8), at(0), at(0.1))
    assert campaign.plan(at(12)) == Plan(Step.ACQUIRE)
    campaign.wrote(Step.ACQUIRE, ours(9), at(12), at(12.1))
    campaign.keep_success(8)
    assert campaign.plan(at(12.1)) == Plan(Step.KEEP)


def test_a_lease_that_was_deleted_after_the_deadline_keeps_nothing() -> None:
    """Others may have created, held and deleted one."""
    campaign = succeeded()
    campaign.heard(None, at(11))
    assert campaign.not_kept == "the Lease is held by nobody now"


def test_after_the_deadline_a_success_is_recorded_if_no_other_has_led_since() -> None:
    """The record still names us; that does not prolong a term that is over."""
    campaign = succeeded()
    campaign.failed(Step.KEEP, at(1))
    campaign.heard(ours(8), at(12))
    assert campaign.plan(at(12)) == Plan(Step.KEEP)
    campaign.wrote(Step.KEEP, with_done(ours(8)), at(12), at(12.1))
    assert campaign.is_done
    assert not campaign.leads(at(12.1))


def test_a_deleted_lease_is_recreated_and_then_records_the_success() -> None:
    """By its holder, the only one that knows that no other replica has led."""
    campaign = succeeded()
    campaign.deleted(9, at(1))
    assert campaign.not_kept is None
    assert campaign.plan(at(1)) == Plan(Step.ACQUIRE)
    campaign.wrote(Step.ACQUIRE, ours(12), at(1), at(1.1))
    assert campaign.plan(at(1.1)) == Plan(Step.KEEP)


def test_a_lease_is_not_competed_for_once_the_job_is_done() -> None:
    """Even if it is free; with another key it is competed for."""
    for key, step in (("v1", Step.WAIT), ("v2", Step.ACQUIRE)):
        campaign = Campaign(US, TERMS, key)
        campaign.heard(with_done(lease(7, "")), at(0))
        assert campaign.plan(at(0)).step is step


def test_without_a_key_nothing_is_done() -> None:
    """Whatever others have recorded."""
    campaign = Campaign(US, TERMS)
    campaign.heard(with_done(lease(7, "")), at(0))
    assert not campaign.is_done


def test_it_knows_if_the_lease_may_be_ours() -> None:
    """So that it is released at the exit, also if the response was lost."""
    campaign = Campaign(US, TERMS)
    campaign.heard(lease(7, ""), at(0))
    assert not campaign.may_hold
    campaign.failed(Step.ACQUIRE, at(1))
    assert campaign.may_hold
    campaign.heard(lease(7, ""), at(2))
    assert not campaign.may_hold
    assert leading().may_hold
