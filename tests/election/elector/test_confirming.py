"""The thread that reads the elector's Lease: what it reads, and how it handles errors."""

import queue
import threading
from collections.abc import Callable, Iterator

import pytest
from apiserver import ApiServer
from support import Kept, wait_for

from leaderexec.config.options import UsageError
from leaderexec.core.belief import Belief
from leaderexec.core.confirmation import Confirmation, Lease
from leaderexec.core.events import Event, Failed, LeaseRefused, LeaseSeen, Pod, PodEnded
from leaderexec.election import identity
from leaderexec.election.elector import confirming
from leaderexec.election.elector.confirming import LeaseConfirming
from leaderexec.election.lease.cluster import Cluster, find

ME, RIVAL = "app-a", "app-b"
FORMER = Lease("uid", 1, 1, Pod(RIVAL, f"pod of {RIVAL}"), 0.0)
SOON = 20.0


class Asking(LeaseConfirming):
    """One whose thread can be ended, with the events that it sent."""

    def __init__(self, api: ApiServer, interval: float | None = None) -> None:
        self.heard: queue.Queue[Event] = queue.Queue()
        self.kept = Kept()
        self.over = False
        self.finds: Callable[[], Cluster] = lambda: find(api.url, None, {})
        put = self.heard.put

        def clock() -> float:
            return 100.0

        super().__init__("demo", ME, interval, 5.0, self._cluster, put, self.kept, clock)

    def _cluster(self) -> Cluster:
        return self.finds()

    def _run(self) -> None:
        try:
            super()._run()
        except Over:
            return

    def _pause(self, failed: int) -> float:
        super()._pause(failed)
        return 0.01

    def _ask(self, question: confirming.Question) -> bool:
        if self.over:
            raise Over
        return super()._ask(question)

    def wants(self, since: float, former: Lease | None = None) -> None:
        """Make the belief need an answer."""
        self.follow(Belief(confirmation=Confirmation(since, former=former)))

    def next(self) -> Event:
        """Return the next event."""
        return self.heard.get(timeout=SOON)


class Over(BaseException):
    """The test is over."""


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """An API server."""
    with ApiServer() as server:
        yield server


@pytest.fixture
def asking(api: ApiServer) -> Iterator[Asking]:
    """A reader of an unnamed Lease."""
    made = Asking(api)
    made.start()
    yield made
    end(made)


def end(made: Asking) -> None:
    """End its thread."""
    made.over = True
    made.wants(1e9)
    for thread in threading.enumerate():
        if thread.name == "lease":
            thread.join(SOON)
    if made._api is not None:
        made._api.close()


def test_it_reads_the_lease_only_when_the_belief_needs_it(api: ApiServer, asking: Asking) -> None:
    """Once for each moment since which an answer counts."""
    asking.follow(Belief())
    version = api.elect(RIVAL)
    asking.wants(1.0)
    asking.wants(1.0)
    seen = asking.next()
    assert seen == LeaseSeen(100.0, RIVAL, f"uid-{version - 1}", version, FORMER.pod)
    asking.wants(2.0)
    assert asking.next() == seen
    assert api.requests == ["GET", "GET"]


@pytest.mark.parametrize("ended", [True, False, None])
def test_the_former_leaders_pod_is_read_when_we_lead(
    api: ApiServer, asking: Asking, ended: bool | None
) -> None:
    """Once, after the Lease; whether or not it exists, the next event is the next Lease."""
    if ended is not None:
        api.run_pod(RIVAL, ended=ended)
    api.elect(ME)
    asking.wants(1.0, FORMER)
    assert isinstance(asking.next(), LeaseSeen)
    if ended:
        assert asking.next() == PodEnded(f"pod of {RIVAL}")
    asking.wants(2.0)
    assert isinstance(asking.next(), LeaseSeen)
    assert api.requests == ["GET", "GET POD", "GET"]


def test_the_former_leaders_pod_is_not_read_when_another_leads(
    api: ApiServer, asking: Asking
) -> None:
    """It could only let the winner start sooner."""
    api.run_pod(RIVAL, ended=True)
    api.elect("app-c")
    asking.wants(1.0, FORMER)
    asking.next()
    asking.wants(2.0)
    asking.next()
    assert "GET POD" not in api.requests


@pytest.mark.parametrize(
    ("uid", "leader"),
    [(f"pod of {ME}", ME), ("new", f"{ME} (another Pod of this name)"), (None, ME)],
)
def test_a_lease_of_another_pod_of_our_name_is_not_ours(
    api: ApiServer, asking: Asking, uid: str | None, leader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A StatefulSet reuses names, and the old Pod may still be running; the token has our uid."""
    monkeypatch.setattr(identity, "pod_uid", lambda: uid)
    api.elect(ME)
    asking.wants(1.0)
    seen = asking.next()
    assert isinstance(seen, LeaseSeen)
    assert seen.leader == leader


def test_the_pod_is_read_once_however_often_the_lease_is(api: ApiServer) -> None:
    """If it has not ended by then, the delay is kept."""
    asking = Asking(api, 0.02)
    asking.start()
    api.elect(ME)
    asking.wants(1.0, FORMER)
    for _ in range(4):
        asking.next()
    assert api.requests.count("GET POD") == 1
    end(asking)


def test_no_request_is_sent_for_as_long_as_the_api_server_asks(api: ApiServer) -> None:
    """With Retry-After."""
    asking = Asking(api, 3600.0)
    api.fail(429, headers={"Retry-After": "7"})
    assert not asking._ask(confirming.Question(1.0, None))
    assert asking._asked_to_wait == 7.0
    assert asking._api is not None
    asking._api.close()


def test_a_pod_that_could_not_be_read_is_requested_again(api: ApiServer, asking: Asking) -> None:
    """After the Lease, which may have changed; not if reading it is forbidden."""
    api.run_pod(RIVAL, ended=True)
    api.elect(ME)
    api.fail(503, "GET POD", times=1)
    asking.wants(1.0, FORMER)
    kinds = [type(asking.next()) for _ in range(3)]
    assert kinds == [LeaseSeen, LeaseSeen, PodEnded]
    api.fail(403, "GET POD")
    asking.wants(2.0, FORMER)
    asking.next()
    wait_for(lambda: ("pod", "forbidden") in asking.troubles())
    asking.wants(3.0)
    asking.next()
    assert api.requests.count("GET POD") == 3
    (said,) = [fields for _, fields in asking.kept.lines if fields.get("kind") == "forbidden"]
    assert "resources: [pods], verbs: [get]" in str(said["remedy"])


def test_a_missing_lease_is_logged_once_and_requested_until_it_exists(
    api: ApiServer, asking: Asking
) -> None:
    """The elector may be about to create it."""
    asking.wants(1.0)
    assert [asking.next() for _ in range(3)] == [LeaseSeen(100.0, None)] * 3
    api.elect(RIVAL)
    wait_for(lambda: isinstance(found := asking.next(), LeaseSeen) and found.leader == RIVAL)
    kinds = [fields.get("kind") for _, fields in asking.kept.lines]
    assert kinds == ["not-found", None]


def test_a_refusal_is_an_event(api: ApiServer, asking: Asking) -> None:
    """It keeps asking, since the Role may still be granted."""
    api.fail(401)
    asking.wants(1.0)
    assert asking.next() == asking.next() == LeaseRefused(100.0)


def test_a_named_lease_is_read_at_each_interval(api: ApiServer) -> None:
    """Also while it is missing."""
    asking = Asking(api, 0.02)
    asking.start()
    asking.wants(1.0)
    assert [asking.next() for _ in range(3)] == [LeaseSeen(100.0, None)] * 3
    api.elect(RIVAL)
    wait_for(lambda: isinstance(found := asking.next(), LeaseSeen) and found.leader == RIVAL)
    end(asking)


def test_an_unknown_api_server_is_handled_like_any_other_error(
    api: ApiServer, asking: Asking
) -> None:
    """For example, with a token but no address."""

    def nowhere() -> Cluster:
        raise UsageError("no API server is known")

    somewhere, asking.finds = asking.finds, nowhere
    api.elect(RIVAL)
    asking.wants(1.0)
    wait_for(lambda: ("lease", "no-api-server") in asking.troubles())
    asking.finds = somewhere
    assert isinstance(asking.next(), LeaseSeen)


@pytest.mark.parametrize("interval", [None, 0.02])
def test_a_bug_stops_the_command_only_if_the_lease_decides(
    api: ApiServer, interval: float | None
) -> None:
    """It is logged, and the request is repeated."""
    asking = Asking(api, interval)

    def broken() -> Cluster:
        raise ZeroDivisionError

    somewhere, asking.finds = asking.finds, broken
    asking.start()
    api.elect(RIVAL)
    asking.wants(1.0)
    wait_for(lambda: asking.kept.lines)
    asking.finds = somewhere
    heard = asking.next()
    if interval is not None:
        assert isinstance(heard, Failed)
    else:
        assert isinstance(heard, LeaseSeen)
    (event, fields), *_ = asking.kept.lines
    assert event == "election source failed"
    assert ("runs on" in str(fields["remedy"])) is (interval is None)
    end(asking)
