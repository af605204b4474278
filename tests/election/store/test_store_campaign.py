"""The campaign in a store: what it does when, and what it reports of leadership."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from leaderexec.election.renewing import Now, Term, Terms
from leaderexec.election.store.campaign import Campaign, Plan, Step

TERMS = Terms(renew_deadline=10.0, retry_period=2.0)


def at(seconds: float, boot: float | None = None) -> Now:
    """Return a moment; boot time is 1000 s ahead unless given."""
    return Now(seconds, seconds + 1000.0 if boot is None else boot)


def leading(sent: float = 0.0) -> Campaign:
    """Return a campaign whose request at `sent` got the fence 7."""
    campaign = Campaign("a", TERMS)
    campaign.took(7, at(sent), at(sent + 0.1))
    return campaign


def test_it_begins_by_competing_and_reports_nothing_yet() -> None:
    """What is not known is not reported."""
    campaign = Campaign("a", TERMS)
    assert campaign.plan(at(0)) == Plan(Step.TAKE)
    assert campaign.term(at(0), 1000.0) is None


def test_the_winner_leads_from_the_sending_on_and_renews() -> None:
    """A retry period after it was sent."""
    campaign = leading()
    assert campaign.term(at(0.1), 1000.0) == Term("a", 1000.0, 7)
    assert campaign.plan(at(1)) == Plan(Step.WAIT, 2.0)
    assert campaign.plan(at(2)) == Plan(Step.RENEW)
    campaign.renewed(at(2), at(2.5))
    assert campaign.term(at(2.5), 1002.0) == Term("a", 1002.0, 7)
    assert campaign.deadline == 1012.0


def test_a_deadline_that_has_passed_ends_the_term_and_it_competes_again() -> None:
    """With a new fence, though no other process had it; suspended time counts."""
    campaign = leading()
    asleep = at(3, boot=1010.0)
    assert not campaign.leads(asleep)
    assert campaign.plan(asleep) == Plan(Step.TAKE)
    assert campaign.term(asleep, 1010.0) is None
    campaign.took(8, asleep, at(3.1, 1010.1))
    assert campaign.term(at(3.1, 1010.1), 0.0) == Term("a", 1010.0, 8)


def test_a_response_that_is_too_late_gives_no_leadership() -> None:
    """Neither to an attempt nor to a renewal."""
    campaign = Campaign("a", TERMS)
    campaign.took(7, at(0), at(10))
    assert campaign.fence is None
    assert campaign.plan(at(10)) == Plan(Step.TAKE)
    campaign = leading()
    assert campaign.plan(at(10)).step is Step.TAKE
    campaign.renewed(at(9), at(10.1))
    assert campaign.fence is None
    assert campaign.plan(at(10.1)) == Plan(Step.TAKE)


def test_another_holder_is_reported_and_checked_again_in_time() -> None:
    """After a retry period, or when it is free if that is sooner; never in a hurry."""
    campaign = Campaign("a", TERMS)
    campaign.refused("b", at(5), at(5))
    assert campaign.term(at(5), 1004.0) == Term("b", 1004.0, None)
    assert campaign.plan(at(5)) == Plan(Step.WAIT, 7.0)
    campaign.refused("b", at(7), at(7), free_in=0.5)
    assert campaign.plan(at(7)) == Plan(Step.WAIT, 7.5)
    campaign.refused("b", at(8), at(8), free_in=0.0)
    assert 8 < campaign.plan(at(8)).until < 8.1


def test_no_holder_is_reported_as_no_leader() -> None:
    """That is an answer, unlike silence."""
    campaign = Campaign("a", TERMS)
    campaign.refused("", at(5), at(5))
    assert campaign.term(at(5), 1004.0) == Term(None, 1004.0, None)


def test_another_process_with_our_name_is_not_us() -> None:
    """It leads, and we don't."""
    campaign = Campaign("a", TERMS)
    campaign.refused("a", at(5), at(5))
    term = campaign.term(at(5), 1005.0)
    assert term is not None
    assert term.leader == "a (an earlier or another process)"


def test_losing_the_store_entry_ends_the_term_at_once() -> None:
    """The loss is reported, and it competes again."""
    campaign = leading()
    campaign.lost(at(2))
    assert campaign.term(at(2), 1002.0) == Term(None, 1002.0, None)
    assert campaign.plan(at(2)) == Plan(Step.TAKE)


def test_failures_are_retried_ever_more_slowly_and_leadership_stays_until_its_deadline() -> None:
    """By renewals, and never further apart than a retry period."""
    campaign = leading()
    waits = []
    now = 2.0
    while campaign.leads(at(now)):
        campaign.failed(at(now))
        plan = campaign.plan(at(now))
        assert plan.step is Step.WAIT
        waits.append(round(plan.until - now, 3))
        now = plan.until
    assert waits[:6] == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]
    assert round(now, 3) == 10.0


def test_news_is_acted_on_at_once_but_not_in_trouble() -> None:
    """Otherwise they would bypass the backoff."""
    campaign = Campaign("a", TERMS)
    campaign.refused("b", at(5), at(5))
    campaign.woken(at(5.5))
    assert campaign.plan(at(5.5)) == Plan(Step.TAKE)
    campaign.failed(at(5.5), not_before=3.0)
    campaign.woken(at(6))
    assert campaign.plan(at(6)).step is Step.WAIT


def test_news_during_a_request_make_another_one_follow_at_once() -> None:
    """The server may have answered before the release, or the deletion."""
    campaign = Campaign("a", TERMS)
    campaign.woken(at(5.1))
    campaign.refused("b", at(5), at(5.2))
    assert campaign.plan(at(5.2)) == Plan(Step.TAKE)
    campaign.refused("b", at(5.2), at(5.3))
    assert campaign.plan(at(5.3)) == Plan(Step.WAIT, 7.3)
    campaign = leading()
    campaign.woken(at(2.1))
    campaign.renewed(at(2), at(2.2))
    assert campaign.plan(at(2.2)) == Plan(Step.RENEW)


def test_during_the_hold_off_it_looks_but_does_not_compete() -> None:
    """Until exactly the end of the hold-off."""
    campaign = leading()
    campaign.hold_off(5.0, at(1))
    assert campaign.term(at(1), 1001.0) is None
    assert campaign.plan(at(1)) == Plan(Step.LOOK)
    campaign.refused("b", at(5), at(5))
    assert campaign.plan(at(5)) == Plan(Step.WAIT, 6.0)
    assert campaign.plan(at(6)) == Plan(Step.TAKE)


class World(RuleBasedStateMachine):
    """Three candidates and a store that can lose its state; requests and responses take time, or
    are lost. Each may be suspended: boot time goes on, monotonic time doesn't."""

    LASTS = 21.0  # renew deadline + grace-lost of 10 + 1

    @initialize()
    def begin(self) -> None:
        """At first no candidate knows anything."""
        self.now = 0.0
        self.slept = [0.0, 0.0, 0.0]
        self.campaigns = [Campaign(name, TERMS) for name in "abc"]
        self.owner: int | None = None
        self.expires = 0.0
        self.fence = 0
        self.flying: list[tuple[int, Step, Now, object]] = []
        # When each one's command is gone at the latest, unless it still leads.
        self.until = [0.0, 0.0, 0.0]
        self.told: list[int] = []

    def clock(self, one: int) -> Now:
        """Return a candidate's clocks."""
        return Now(self.now - self.slept[one], self.now)

    @rule(seconds=st.floats(0.01, 30), sleeper=st.integers(0, 5))
    def pass_time(self, seconds: float, sleeper: int) -> None:
        """One of them may sleep for all that time."""
        self.now += seconds
        if sleeper < 3:
            self.slept[sleeper] += seconds

    @rule(one=st.integers(0, 2), lost=st.booleans(), late=st.floats(0, 12))
    def ask(self, one: int, lost: bool, late: float) -> None:
        """The planned request reaches the store, at once or late; its response is on its way."""
        if any(flight[0] == one for flight in self.flying):
            return
        campaign, sent = self.campaigns[one], self.clock(one)
        step = campaign.plan(sent).step
        if step is Step.WAIT:
            return
        self.now += late
        if self.owner is not None and self.now >= self.expires:
            self.owner = None
        answer: object = None
        if step is Step.TAKE and self.owner in (None, one):
            self.fence += 1
            self.owner, self.expires, answer = one, self.now + self.LASTS, self.fence
        elif step is Step.RENEW and self.owner == one:
            self.expires, answer = self.now + self.LASTS, True
        if lost:
            answer = "lost"
        self.flying.append((one, step, sent, answer))

    @rule(one=st.integers(0, 2))
    def hear(self, one: int) -> None:
        """The response arrives, however late."""
        for flight in [flight for flight in self.flying if flight[0] == one]:
            self.flying.remove(flight)
            _, step, sent, answer = flight
            campaign, now = self.campaigns[one], self.clock(one)
            if answer == "lost":
                campaign.failed(now)
            elif step is Step.TAKE and answer is None:
                campaign.refused("x", sent, now)
            elif step is Step.TAKE:
                assert isinstance(answer, int)
                campaign.took(answer, sent, now)
            elif answer is True:
                campaign.renewed(sent, now)
            else:
                campaign.lost(now)
            if campaign.leads(now) and campaign.fence is not None:
                self.told.append(campaign.fence)

    @rule(one=st.integers(0, 2))
    def wake(self, one: int) -> None:
        """News arrive, of anything."""
        self.campaigns[one].woken(self.clock(one))

    @invariant()
    def two_commands_never_run_at_once(self) -> None:
        """The main thread stops each one at the deadline; it is gone within its grace period."""
        if not hasattr(self, "campaigns"):
            return
        leading = [one for one in range(3) if self.campaigns[one].leads(self.clock(one))]
        assert len(leading) <= 1
        for one in leading:
            for other in range(3):
                assert other == one or self.until[other] <= self.now
            # Without further contact its command is gone by then.
            self.until[one] = self.campaigns[one].deadline + self.LASTS - 10.0

    @invariant()
    def fences_only_grow(self) -> None:
        """Whichever candidate leads."""
        if hasattr(self, "told"):
            assert self.told == sorted(self.told)


World.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestWorld = World.TestCase
