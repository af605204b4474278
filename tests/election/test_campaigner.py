"""A request to step down, or to exit, that meets what the other threads do."""

import threading
from typing import Any

import pytest

from leaderexec.core.events import Announced, Event
from leaderexec.election import campaigner as module
from leaderexec.election.campaigner import Campaigner
from leaderexec.election.complaints import Complaints
from leaderexec.election.renewing import Now, Term, Terms


class Campaign:
    """One that leads as soon as its write is answered."""

    deadline = 100.0

    def __init__(self) -> None:
        self.fence: int | None = None

    @property
    def may_hold(self) -> bool:
        """Return whether we may be named."""
        return self.fence is not None

    def leads(self, _now: Now) -> bool:
        """Return whether we lead."""
        return self.fence is not None

    def term(self, _now: Now, asked_at: float) -> Term | None:
        """Return our term, or that of no replica."""
        return Term("a" if self.fence else None, asked_at, self.fence)

    def hold_off(self, _seconds: float, _now: Now) -> None:
        """Stop leading."""
        self.fence = None


class Quiet:
    """A log that drops everything."""

    def info(self, event: str, **fields: object) -> None:
        """Drop it."""

    warning = error = info


class Played(Campaigner):
    """One whose threads are played by the test; the first waits for an answer."""

    answer: threading.Event
    said = ""

    def _run(self) -> None:
        self.answer.wait()

    def _follow(self) -> None:
        pass

    def _say_not_released(self, reason: str) -> None:
        self.said = reason


def campaigner() -> tuple[Played, Campaign, list[Event]]:
    """One with its campaign, and what it reports."""
    reported: list[Event] = []
    campaign, log = Campaign(), Quiet()
    unused: Any = log
    ours = Played(
        *("test", campaign, Terms(10.0, 2.0), Complaints(unused, "test")),
        *(reported.append, unused, lambda: 1.0),
    )
    ours.answer = threading.Event()
    return ours, campaign, reported


def tell(ours: Campaigner) -> None:
    """Report what there is, as the thread that writes does."""
    with ours._turn:
        ours._tell(ours._now())


def test_a_term_that_is_won_while_stepping_down_is_not_reported() -> None:
    """Its leadership is released by the next step of the thread."""
    ours, campaign, reported = campaigner()
    ours.step_down(30.0)
    campaign.fence = 7
    tell(ours)
    assert reported == []
    assert ours._steps_down()
    tell(ours)
    assert reported == [Announced(None, 1.0)]


def test_a_term_that_was_reported_just_before_stepping_down_is_taken_back() -> None:
    """Both are in the inbox before anything is planned, so nothing is started for it."""
    ours, campaign, reported = campaigner()
    campaign.fence = 7
    tell(ours)
    ours.step_down(30.0)
    assert reported == [Announced("a", 1.0, 7), Announced(None, 1.0)]


@pytest.mark.parametrize(
    ("fence", "said"), [(7, "an earlier request has not been answered"), (None, "")]
)
def test_an_exit_that_an_unanswered_request_delays_says_that_leadership_was_not_released(
    monkeypatch: pytest.MonkeyPatch, fence: int | None, said: str
) -> None:
    """If we had any. The next leader has to wait, and somebody may look for the reason."""
    monkeypatch.setattr(module, "RELEASE_WITHIN", 0.05)
    ours, campaign, _ = campaigner()
    campaign.fence = fence
    ours.start(0.0)
    ours.release()
    ours.answer.set()
    assert ours.said == said
