"""The installed program against a double of the API server: what goes well, and what does not."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

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
    """An API server with a Lease that nobody holds."""
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


def test_an_ordered_end_hands_over_at_once(leaderexec: Start, api: ApiServer) -> None:
    """By a release as client-go's, which the other's watch shows; with a greater fence."""
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
    """And is renewed all that time."""
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


def test_after_a_kill_the_lease_runs_out(leaderexec: Start, api: ApiServer) -> None:
    """The kernel ends the command; nobody takes the Lease before its time."""
    first = leaderexec(*words(api, "a", *SHORT))
    before = fence(first)
    pid = first.command_pid()
    second = standby(leaderexec, api, *SHORT)
    first.send(signal.SIGKILL)
    first.wait()
    assert fence(second) > before
    assert not alive(pid)
    assert not second.events("leadership unconfirmed")


def test_while_the_api_server_hangs_the_command_is_stopped_and_starts_again_after(
    leaderexec: Start, api: ApiServer
) -> None:
    """At the renew deadline; what comes after is another term with a greater fence."""
    wrapper = leaderexec(*words(api, "a", *SHORT))
    before = fence(wrapper)
    api.hang()
    reason = wrapper.log("transition", to="stopping")["reason"]
    assert "no contact with the election for 3." in reason
    wrapper.log("command ended")
    api.resume()
    assert fence(wrapper, term=2) > before
    assert wrapper.events("lease trouble", kind="timeout")


def test_another_holder_ends_the_command_at_once(leaderexec: Start, api: ApiServer) -> None:
    """It is not waited for any deadline; when its time is over the Lease is taken back."""
    wrapper = leaderexec(*words(api, "a"))
    before = fence(wrapper)
    api.edit(holderIdentity="x", leaseDurationSeconds=1)
    ended = wrapper.log("transition", to="stopping")
    assert ended["reason"] == "leadership moved from a to x"
    assert fence(wrapper, term=2) > before


def test_what_another_holds_is_not_let_go_of(leaderexec: Start, api: ApiServer) -> None:
    """Not even by an end that comes at the same moment."""
    wrapper = leaderexec(*words(api, "a"))
    fence(wrapper)
    api.edit(holderIdentity="x", leaseDurationSeconds=60)
    wrapper.send(signal.SIGTERM)
    wrapper.wait()
    assert api.holder() == "x"
    assert not wrapper.events("lease released")


def test_a_deleted_lease_is_created_anew_by_its_holder_alone(
    leaderexec: Start, api: ApiServer
) -> None:
    """As another term, for another fence; a standby does not jump."""
    first = leaderexec(*words(api, "a"))
    before = fence(first)
    second = standby(leaderexec, api)
    api.leases.delete("demo")
    assert fence(first, term=2) > before
    assert first.events("transition", reason="leadership lost: no replica leads")
    assert api.holder() == "a"
    assert not second.events("command started")


def test_where_there_is_no_lease_it_is_said_and_waited_for(leaderexec: Start) -> None:
    """A full duration, once."""
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
def test_what_is_refused_for_a_while_is_said_once_and_costs_nothing(
    leaderexec: Start, api: ApiServer, status: int, kind: str
) -> None:
    """With its own words; the command runs on, in the same term."""
    wrapper = leaderexec(*words(api, "a"))
    fence(wrapper)
    headers = {"Retry-After": "1"} if status == 429 else {}
    api.fail(status, "PUT", times=3, headers=headers)
    said = wrapper.log("lease trouble", part="writes", kind=kind)
    assert said["remedy"]
    wrapper.log("lease recovered", part="writes")
    assert len(wrapper.events("lease trouble", kind=kind)) == 1
    assert not wrapper.events("command ended")


def test_a_missing_role_stops_the_command_at_the_deadline_and_is_told_ready_to_apply(
    leaderexec: Start, api: ApiServer
) -> None:
    """No earlier."""
    wrapper = leaderexec(*words(api, "a", *SHORT))
    fence(wrapper)
    api.fail(403)
    said = wrapper.log("lease trouble", kind="forbidden")
    assert "kind: Role" in said["remedy"]
    assert "resourceNames: ['demo'], verbs: [get, update, watch]" in said["remedy"]
    assert not wrapper.events("command ended")
    assert "no contact" in wrapper.log("transition", to="stopping")["reason"]


def test_a_reply_that_is_lost_is_no_loss(leaderexec: Start, api: ApiServer) -> None:
    """The write was done: that is read, and the term goes on."""
    wrapper = leaderexec(*words(api, "a"))
    fence(wrapper)
    api.fail(0, "PUT", times=1, after=True)
    version = api.leases.version
    wait_for(lambda: api.leases.version >= version + 3)
    assert not wrapper.events("command ended")
    assert api.holder() == "a"


def test_a_storm_of_foreign_writes_is_ridden_out(leaderexec: Start, api: ApiServer) -> None:
    """Each makes our next write a conflict, which is tried again at once."""
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


def test_where_it_can_not_watch_it_polls(leaderexec: Start, api: ApiServer) -> None:
    """And says what is missing for better."""
    api.fail(403, "WATCH")
    first = leaderexec(*words(api, "a"))
    fence(first)
    second = standby(leaderexec, api)
    assert "watch" in second.log("lease trouble", part="watch", kind="forbidden")["remedy"]
    first.close()
    fence(second)


def test_a_watch_that_is_cut_is_opened_again(leaderexec: Start, api: ApiServer) -> None:
    """As often as that happens; nothing else follows."""
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
    """A Lease that is not there could be created; a namespace is not ours to create."""
    quick = ("--lease-duration", "2s", "--renew-deadline", "500ms", "--retry-period", "100ms")
    wrapper = leaderexec(
        *("--lease", "nowhere/demo", "--api-server", api.url, *quick, "--grace-lost", "0s"), *WORKER
    )
    assert "nowhere" in wrapper.log("lease trouble", kind="no-namespace")["remedy"]


def test_two_of_one_name_do_not_take_each_other_for_themselves(
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


def test_the_end_does_not_wait_long_for_an_api_server_that_is_away(
    leaderexec: Start, api: ApiServer
) -> None:
    """The Lease runs out by itself."""
    wrapper = leaderexec(*words(api, "a"))
    fence(wrapper)
    api.fail(503)
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 143
    assert "22s" in wrapper.log("lease not released")["remedy"]


def test_a_preferred_holder_is_made_room_for(leaderexec: Start, api: ApiServer) -> None:
    """The command stops, nothing is renewed, and the wish is left in place."""
    wrapper = leaderexec(*words(api, "a"))
    fence(wrapper)
    api.edit(preferredHolder="b")
    wrapper.log("transition", to="stopping")
    wrapper.log("command ended")
    assert api.spec()["preferredHolder"] == "b"
