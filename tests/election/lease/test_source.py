"""The installed program with a fake API server: what works, and what fails."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import pytest
from apiserver import ApiServer, Refused
from support import Wrapper, alive, wait_for

Start = Callable[..., Wrapper]
WORKER = ("--", "sh", "-c", "echo up $LEADEREXEC_FENCE; exec sleep 100")
# 3 + 1 + 1 is less than 6.
SHORT = (
    *("--lease-duration", "6s", "--renew-deadline", "3s", "--retry-period", "500ms"),
    *("--grace-lost", "1s"),
)


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """An API server with a free Lease."""
    with ApiServer() as server:
        server.add("demo")
        yield server


def words(api: ApiServer, name: str, *more: str) -> tuple[str, ...]:
    """Return the command line of a replica."""
    given = ("--lease", "demo", "--api-server", api.url, "--identity", name)
    return (*given, *more, *(() if "--" in more else WORKER))


def fence(wrapper: Wrapper, term: int = 1) -> int:
    """Wait for the command's start; return its fence."""
    number = wrapper.log("command started", term=term)["fence"]
    assert isinstance(number, int)
    return number


def standby(leaderexec: Start, api: ApiServer, *more: str) -> Wrapper:
    """Start a replica that watches while another leads."""
    wrapper = leaderexec(*words(api, "b", *more))
    wrapper.log("leadership confirmed")
    return wrapper


def test_an_orderly_stop_hands_over_at_once(leaderexec: Start, api: ApiServer) -> None:
    """It releases as client-go does, and the other's watch shows it; with a greater fence."""
    first = leaderexec(*words(api, "a"))
    before = fence(first)
    second = standby(leaderexec, api)
    assert api.spec()["leaseTransitions"] == 1
    first.send(signal.SIGTERM)
    assert first.wait() == 143
    after = fence(second)
    assert after > before
    second.output(f"up {after}")
    assert api.holder() == "b"
    assert api.spec()["leaseTransitions"] == 2
    assert first.events("lease released")


def test_the_lease_is_held_until_the_whole_tree_is_gone(leaderexec: Start, api: ApiServer) -> None:
    """It is renewed all that time."""
    stubborn = 'trap "" TERM; echo up; while :; do sleep 0.05; done'
    more = (*SHORT, "--grace", "5s", "--", "sh", "-c", stubborn)
    wrapper = leaderexec(*words(api, "a", *more))
    pid = wrapper.command_pid()
    wrapper.output("up")
    wrapper.send(signal.SIGTERM)
    wrapper.log("transition", to="stopping")
    renewed = api.spec()["renewTime"]
    wait_for(lambda: api.spec()["renewTime"] != renewed)
    assert alive(pid)
    wait_for(lambda: api.holder() == "")
    assert not alive(pid)
    assert wrapper.wait() == 137


def test_after_a_kill_the_lease_expires(leaderexec: Start, api: ApiServer) -> None:
    """The kernel ends the command; no replica acquires the Lease before the expiry."""
    first = leaderexec(*words(api, "a", *SHORT))
    before = fence(first)
    pid = first.command_pid()
    second = standby(leaderexec, api, *SHORT)
    first.send(signal.SIGKILL)
    first.wait()
    assert fence(second) > before
    assert not alive(pid)
    assert not second.events("leadership unconfirmed")


def test_while_the_api_server_hangs_the_command_is_stopped_and_afterwards_it_restarts(
    leaderexec: Start, api: ApiServer
) -> None:
    """At the renew deadline; what follows is another term with a greater fence."""
    wrapper = leaderexec(*words(api, "a", *SHORT))
    before = fence(wrapper)
    api.hang()
    reason = wrapper.log("transition", to="stopping")["reason"]
    assert "no contact with the election for 3." in reason
    wrapper.log("command ended")
    api.resume()
    assert fence(wrapper, term=2) > before
    assert wrapper.events("lease trouble", kind="timeout")


def test_another_holder_stops_the_command_at_once(leaderexec: Start, api: ApiServer) -> None:
    """It waits for no deadline; when the other's time is over it acquires the Lease again."""
    wrapper = leaderexec(*words(api, "a"))
    before = fence(wrapper)
    api.edit(holderIdentity="x", leaseDurationSeconds=1)
    ended = wrapper.log("transition", to="stopping")
    assert ended["reason"] == "leadership moved from a to x"
    assert fence(wrapper, term=2) > before


def test_anothers_lease_is_not_released(leaderexec: Start, api: ApiServer) -> None:
    """Not even by a stop that is ordered at the same moment."""
    wrapper = leaderexec(*words(api, "a"))
    fence(wrapper)
    api.edit(holderIdentity="x", leaseDurationSeconds=60)
    wrapper.send(signal.SIGTERM)
    wrapper.wait()
    assert api.holder() == "x"
    assert not wrapper.events("lease released")


def test_only_its_holder_recreates_a_deleted_lease(leaderexec: Start, api: ApiServer) -> None:
    """As a new term, with a new fence; a standby does not create it at once."""
    first = leaderexec(*words(api, "a"))
    before = fence(first)
    second = standby(leaderexec, api)
    api.leases.delete("demo")
    assert fence(first, term=2) > before
    assert first.events("transition", reason="leadership lost: no replica leads")
    assert api.holder() == "a"
    assert not second.events("command started")


def test_a_missing_lease_is_logged_and_waited_for(leaderexec: Start) -> None:
    """For a full duration; it is logged once."""
    with ApiServer() as api:
        wrapper = leaderexec(*words(api, "a", *SHORT))
        assert "6s" in wrapper.log("no lease yet")["reason"]
        fence(wrapper)
        assert len(wrapper.events("no lease yet")) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, "unauthorized"),
        (403, "forbidden"),
        (410, "gone"),
        (422, "invalid"),
        (429, "too-many-requests"),
        (500, "http-500"),
        (503, "http-503"),
        (0, "unreachable"),
    ],
)
def test_a_temporary_refusal_is_logged_once_and_costs_nothing(
    leaderexec: Start, api: ApiServer, status: int, kind: str
) -> None:
    """With the server's message; the command keeps running, in the same term."""
    wrapper = leaderexec(*words(api, "a"))
    fence(wrapper)
    headers = {"Retry-After": "1"} if status == 429 else {}
    api.fail(status, "PUT", times=3, headers=headers)
    said = wrapper.log("lease trouble", part="writes", kind=kind)
    assert said["remedy"]
    wrapper.log("lease recovered", part="writes")
    assert len(wrapper.events("lease trouble", kind=kind)) == 1
    assert not wrapper.events("command ended")


def test_a_missing_role_stops_the_command_at_the_deadline_and_is_logged_ready_to_apply(
    leaderexec: Start, api: ApiServer
) -> None:
    """Not before."""
    wrapper = leaderexec(*words(api, "a", *SHORT))
    fence(wrapper)
    api.fail(403)
    said = wrapper.log("lease trouble", kind="forbidden")
    assert "kind: Role" in said["remedy"]
    assert "resourceNames: ['demo'], verbs: [get, update, watch]" in said["remedy"]
    assert not wrapper.events("command ended")
    assert "no contact" in wrapper.log("transition", to="stopping")["reason"]


def test_a_lost_response_is_no_loss_of_leadership(leaderexec: Start, api: ApiServer) -> None:
    """The write succeeded: the next read shows that, and the term goes on."""
    wrapper = leaderexec(*words(api, "a"))
    fence(wrapper)
    api.fail(0, "PUT", times=1, after=True)
    version = api.leases.version
    wait_for(lambda: api.leases.version >= version + 3)
    assert not wrapper.events("command ended")
    assert api.holder() == "a"


def test_a_storm_of_foreign_writes_is_survived(leaderexec: Start, api: ApiServer) -> None:
    """Each makes our next write a conflict, which is retried at once."""
    wrapper = leaderexec(*words(api, "a", *SHORT))
    fence(wrapper)
    calm = threading.Event()

    def storm() -> None:
        while not calm.wait(0.007):
            with suppress(Refused):
                api.edit(strategy=f"{api.leases.version}")

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        renewed = len(api.requests)
        wait_for(lambda: len({api.spec()["renewTime"]}) and api.requests[renewed:].count("PUT") > 8)
    finally:
        calm.set()
        thread.join()
    assert not wrapper.events("command ended")
    assert api.holder() == "a"


def test_if_it_cannot_watch_it_polls(leaderexec: Start, api: ApiServer) -> None:
    """And logs which right is missing."""
    api.fail(403, "WATCH")
    first = leaderexec(*words(api, "a"))
    fence(first)
    second = standby(leaderexec, api)
    assert "watch" in second.log("lease trouble", part="watch", kind="forbidden")["remedy"]
    first.close()
    fence(second)


def test_a_watch_that_is_cut_is_opened_again(leaderexec: Start, api: ApiServer) -> None:
    """As often as it happens; there is no other effect."""
    first = leaderexec(*words(api, "a"))
    fence(first)
    second = standby(leaderexec, api)
    for _ in range(3):
        opened = api.watches
        api.cut_watches()
        wait_for(lambda opened=opened: api.watches >= opened + 2)  # type: ignore[misc]
    assert not first.events("command ended")
    first.close()
    fence(second)


def test_a_namespace_that_is_missing_is_named(leaderexec: Start, api: ApiServer) -> None:
    """A missing Lease could be created, but a namespace is not ours to create."""
    quick = ("--lease-duration", "2s", "--renew-deadline", "500ms", "--retry-period", "100ms")
    wrapper = leaderexec(
        *("--lease", "nowhere/demo", "--api-server", api.url, *quick, "--grace-lost", "0s"), *WORKER
    )
    assert "nowhere" in wrapper.log("lease trouble", kind="no-namespace")["remedy"]


def test_two_replicas_of_one_name_do_not_mistake_each_other_for_themselves(
    leaderexec: Start, api: ApiServer
) -> None:
    """The second stands by, and says why."""
    first = leaderexec(*words(api, "a"))
    fence(first)
    second = leaderexec(*words(api, "a"))
    said = second.log("identity is not unique")
    assert said["level"] == "error"
    assert not second.events("command started")
    assert not first.events("command ended")


@pytest.mark.parametrize("fault", [partial(ApiServer.fail, status=503), ApiServer.hang])
def test_the_exit_does_not_wait_long_for_an_unreachable_api_server(
    leaderexec: Start, api: ApiServer, fault: Callable[[ApiServer], None]
) -> None:
    """The Lease expires without our help."""
    wrapper = leaderexec(*words(api, "a"))
    fence(wrapper)
    fault(api)
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 143
    assert "22s" in wrapper.log("lease not released")["remedy"]


def test_it_makes_room_for_a_preferred_holder(leaderexec: Start, api: ApiServer) -> None:
    """The command stops, nothing is renewed, and the preference is kept."""
    wrapper = leaderexec(*words(api, "a"))
    fence(wrapper)
    api.edit(preferredHolder="b")
    wrapper.log("transition", to="stopping")
    wrapper.log("command ended")
    assert api.spec()["preferredHolder"] == "b"
