"""Python programs learn who leads, or that it is unknown; they never get a guess."""

import logging
import os
import queue
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

import leaderexec
from leaderexec import Leadership
from leaderexec.core.events import Announced
from leaderexec_elector.running import RunningElector

ME = "app-a"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide all electors but the test's own."""
    for name in ("ELECTOR_SSE_URL", "ELECTOR_GET_URL", "ELECTOR_PATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def elector() -> Iterator[RunningElector]:
    """An elector that names app-a."""
    with RunningElector(ME, "app-b") as running:
        yield running


def test_is_leader_sends_one_request(elector: RunningElector) -> None:
    """With a plain GET."""
    assert leaderexec.is_leader(identity=ME, get_url=elector.url)
    assert not leaderexec.is_leader(identity="app-b", get_url=elector.url)
    assert elector.state().gets == 2


def test_the_elector_is_found_with_the_platforms_variables(
    elector: RunningElector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any one of them is enough."""
    for name, value in (
        ("ELECTOR_PATH", ":".join(map(str, elector.address))),
        ("ELECTOR_GET_URL", elector.url),
        ("ELECTOR_SSE_URL", elector.sse_url),
    ):
        monkeypatch.setenv(name, value)
        assert leaderexec.is_leader(identity=ME)
        monkeypatch.delenv(name)
    with pytest.raises(leaderexec.UsageError):
        leaderexec.is_leader(identity=ME)


@pytest.mark.parametrize("fault", ["500", "garbage", "redirect", "content-type", "refuse"])
def test_a_bad_answer_raises(elector: RunningElector, fault: str) -> None:
    """Neither True nor False would be honest."""
    elector.fault(fault)
    with pytest.raises(leaderexec.ElectionUnknown):
        leaderexec.is_leader(identity=ME, get_url=elector.url)


def test_an_unknown_leader_is_unknown(elector: RunningElector) -> None:
    """No election has been held yet: that is not a no."""
    elector.lead(None)
    with pytest.raises(leaderexec.ElectionUnknown, match="knew no leader"):
        leaderexec.is_leader(identity=ME, get_url=elector.url, timeout=2.0)


def test_the_handler_is_called_for_each_change_and_the_first_state(
    elector: RunningElector,
) -> None:
    """Though announced twice, each is reported once."""
    told: queue.SimpleQueue[Leadership] = queue.SimpleQueue()
    with leaderexec.subscribe(told.put, identity=ME, sse_url=elector.sse_url):
        first = told.get(timeout=10)
        assert first == Leadership(ME, ME, confirmed=True)
        assert first.is_leader
        elector.lead("app-b")
        second = told.get(timeout=10)
        assert second == Leadership("app-b", ME, confirmed=True)
        assert not second.is_leader
    assert told.empty()


def test_lost_contact_is_reported_as_unconfirmed_until_it_is_back(elector: RunningElector) -> None:
    """An unconfirmed leader does not lead."""
    told: queue.SimpleQueue[Leadership] = queue.SimpleQueue()
    with leaderexec.subscribe(
        told.put, identity=ME, sse_url=elector.sse_url, poll_interval=0.1, contact_timeout=0.5
    ):
        assert told.get(timeout=10).is_leader
        elector.fault("silence")
        lost = told.get(timeout=10)
        assert (lost.leader, lost.confirmed, lost.is_leader) == (ME, False, False)
        elector.clear()
        assert told.get(timeout=10).is_leader


def test_a_handler_that_fails_is_logged_and_called_again(
    elector: RunningElector, caplog: pytest.LogCaptureFixture
) -> None:
    """One bad call ends nothing."""
    told: queue.SimpleQueue[Leadership] = queue.SimpleQueue()

    def handler(now: Leadership) -> None:
        told.put(now)
        raise ValueError("broken handler")

    with (
        caplog.at_level(logging.ERROR, "leaderexec"),
        leaderexec.subscribe(handler, identity=ME, sse_url=elector.sse_url),
    ):
        told.get(timeout=10)
        elector.lead("app-b")
        assert told.get(timeout=10).leader == "app-b"
    assert "broken handler" in caplog.text


def test_a_subscription_may_be_closed_by_its_own_handler(elector: RunningElector) -> None:
    """It does not wait for itself."""
    told: queue.SimpleQueue[Leadership] = queue.SimpleQueue()
    subscriptions: queue.SimpleQueue[leaderexec.Subscription] = queue.SimpleQueue()

    def handler(now: Leadership) -> None:
        subscriptions.get(timeout=10).close()
        told.put(now)

    subscriptions.put(leaderexec.subscribe(handler, identity=ME, sse_url=elector.sse_url))
    assert told.get(timeout=10).is_leader


def test_unknown_names_are_not_part_of_the_package() -> None:
    """The lazy import hides no typing error."""
    with pytest.raises(AttributeError, match="no_such"):
        leaderexec.no_such  # noqa: B018


def test_the_fence_from_the_environment_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of any size, and exact."""
    monkeypatch.setenv("LEADEREXEC_FENCE", str(2**63 + 1))
    assert leaderexec.fence() == 2**63 + 1


@pytest.mark.parametrize("text", [None, "", "-1", "7.0", " 7", "1_0", "\u0667"])
def test_without_a_fence_it_is_none(monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    """A worker that needs one must not write with any other."""
    if text is None:
        monkeypatch.delenv("LEADEREXEC_FENCE", raising=False)
    else:
        monkeypatch.setenv("LEADEREXEC_FENCE", text)
    with pytest.raises(LookupError, match=r"not a fence|no fence"):
        leaderexec.fence()


def test_a_worker_with_slots_is_told_its_own_and_their_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Slot 0 is one, too; without any it must not do another's part."""
    monkeypatch.setenv("LEADEREXEC_SLOT", "0")
    monkeypatch.setenv("LEADEREXEC_SLOT_COUNT", "3")
    assert (leaderexec.slot(), leaderexec.slot_count()) == (0, 3)
    monkeypatch.delenv("LEADEREXEC_SLOT")
    with pytest.raises(LookupError, match="there is no slot; run this under leaderexec with --s"):
        leaderexec.slot()
    monkeypatch.setenv("LEADEREXEC_SLOT_COUNT", "many")
    with pytest.raises(LookupError, match="LEADEREXEC_SLOT_COUNT is 'many', not a number of sl"):
        leaderexec.slot_count()


def test_a_worker_that_asks_for_its_fence_imports_nothing_else() -> None:
    """Nothing else of leaderexec, that is: workers start often."""
    program = (
        "import sys; from leaderexec import fence; assert fence() == 7;"
        "print(*sorted(name for name in sys.modules if name.startswith('leaderexec')))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "LEADEREXEC_FENCE": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == ["leaderexec", "leaderexec._version", "leaderexec.fencing"]


def test_a_terms_fence_is_reported_and_a_new_term_is_a_change(elector: RunningElector) -> None:
    """Even if the leader is the same."""
    told: queue.SimpleQueue[Leadership] = queue.SimpleQueue()
    with leaderexec.subscribe(
        told.put, identity=ME, sse_url=elector.sse_url, poll_interval=None
    ) as subscription:
        assert told.get(timeout=10).fence is None
        for fence in (7, 8):
            # Like an elector's client that has had the term confirmed.
            subscription._events.put(Announced(ME, time.clock_gettime(time.CLOCK_BOOTTIME), fence))
            assert told.get(timeout=10) == Leadership(ME, ME, confirmed=True, fence=fence)
