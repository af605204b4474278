"""The elector's announcements, confirmed by its Lease on the API server."""

import http.client
import json
import subprocess
from collections.abc import Callable, Iterator

import pytest
from apiserver import ApiServer
from support import LEADEREXEC, Wrapper, wait_for

from leaderexec_elector.running import RunningElector

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Wrapper]
WORKER = ("--", "sh", "-c", "echo up ${LEADEREXEC_FENCE-none}; exec sleep 100")
ME, RIVAL = "app-a", "app-b"
# Longer than any test lasts: a command that starts did not wait for it.
NEVER = ("--grace-lost", "10m", "--takeover-delay", "auto")


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """An API server."""
    with ApiServer() as server:
        yield server


class Election:
    """An elector that works as a real one does: first the Lease, then the announcement."""

    def __init__(self, elector: RunningElector, api: ApiServer) -> None:
        self.elector = elector
        self.api = api

    def lead(self, name: str) -> int:
        """Move leadership; return the Lease's version."""
        version = self.api.elect(name)
        self.elector.lead(name)
        return version


@pytest.fixture
def election(elector: RunningElector, api: ApiServer) -> Election:
    """An election that the rival has won."""
    made = Election(elector, api)
    made.lead(RIVAL)
    return made


def replica(start: Start, election: Election, *more: str, advice: bool = True) -> Wrapper:
    """Start a replica that knows the leader from both the elector's stream and the Lease."""
    # A poll that is answered before the stream begins would have the Lease read once more.
    election.elector.fault("500", only="get")
    given = ("--sse-url", election.elector.sse_url, "--identity", ME)
    named = () if advice else ("--confirm-lease", "demo")
    wrapper = start(
        *(*given, "--poll-interval", "200ms", "--api-server", election.api.url, *named, *more),
        *WORKER,
        env={"NAIS_APP_NAME": "demo"} if advice else {},
    )
    wrapper.log("lease confirmed")
    election.elector.clear()
    return wrapper


def lead_by_stream(wrapper: Wrapper, election: Election) -> int:
    """Have this replica win, and only the stream say so: after a poll that overtakes the stream,
    who led before is unknown. Return the Lease's version."""
    election.elector.fault("500", only="get")
    version = election.lead(ME)
    wrapper.log("lease confirmed", leader=ME)
    election.elector.clear()
    return version


@pytest.mark.parametrize("advice", [True, False])
def test_the_command_gets_the_leases_version_as_its_fence(
    leaderexec: Start, election: Election, advice: bool
) -> None:
    """Each term's is greater; it arrives during the takeover delay."""
    wrapper = replica(leaderexec, election, "--takeover-delay", "3s", advice=advice)
    for _ in range(2):
        version = election.lead(ME)
        wrapper.output(f"up {version}")
        election.lead(RIVAL)
        wrapper.log("lease confirmed", leader=RIVAL)
    fences = [one["fence"] for one in wrapper.events("command started")]
    assert fences == sorted(set(fences))


def test_the_lease_is_read_once_for_each_leader(leaderexec: Start, election: Election) -> None:
    """However often the same leader is announced and polled."""
    wrapper = replica(leaderexec, election)
    polls = election.elector.state().gets
    election.elector.announce()
    election.elector.wait_gets(polls + 3)
    assert election.api.requests == ["GET"]
    lead_by_stream(wrapper, election)
    wait_for(lambda: election.api.requests == ["GET", "GET", "GET POD"])


def test_it_starts_sooner_if_the_former_leaders_pod_has_ended(
    leaderexec: Start, election: Election
) -> None:
    """Commands from before that Lease still get their time: here it began with the test."""
    wrapper = replica(leaderexec, election, "--takeover-delay", "auto", "--grace-lost", "3s")
    election.api.run_pod(RIVAL, ended=True)
    version = lead_by_stream(wrapper, election)
    told = wrapper.log("takeover delay shortened")
    assert told["reason"] == "the former leader's Pod has ended"
    assert told["by_seconds"] > 0
    wrapper.output(f"up {version}")


@pytest.mark.parametrize("state", ["gone", "running"])
def test_a_pod_that_is_running_or_merely_gone_shortens_no_delay(
    leaderexec: Start, election: Election, state: str
) -> None:
    """A Pod's object can be deleted by force while its containers run."""
    wrapper = replica(leaderexec, election, *NEVER)
    if state == "running":
        election.api.run_pod(RIVAL, ended=False)
    lead_by_stream(wrapper, election)
    wait_for(lambda: "GET POD" in election.api.requests)
    wrapper.log("transition", to="takeover")
    asked = election.elector.state().gets
    election.elector.wait_gets(asked + 2)
    assert not wrapper.events("takeover delay shortened")
    assert not wrapper.events("command started")


def test_a_pod_that_is_cut_off_from_the_api_server_stops_its_command(
    leaderexec: Start, election: Election
) -> None:
    """Within the contact timeout, though its elector still names it; it restarts on contact."""
    contact = ("--poll-interval", "200ms", "--contact-timeout", "1s", "--takeover-delay", "0s")
    wrapper = replica(leaderexec, election, *contact, advice=False)
    version = election.lead(ME)
    wrapper.output(f"up {version}")
    election.api.hang()
    assert "no contact" in wrapper.log("transition", to="stopping")["reason"]
    assert wrapper.log("lease trouble")["kind"] == "timeout"
    wrapper.log("command ended")
    election.api.resume()
    wrapper.output(f"up {version}", count=2)


def test_a_replica_that_the_lease_does_not_name_never_starts(
    leaderexec: Start, election: Election
) -> None:
    """Whatever its elector announces."""
    wrapper = replica(leaderexec, election, advice=False)
    election.elector.lead(ME)
    wrapper.log("lease does not confirm", leader=ME)
    asked = len(election.api.requests)
    wait_for(lambda: len(election.api.requests) > asked + 3)
    assert not wrapper.events("command started")
    assert not wrapper.events("transition", to="takeover")


@pytest.mark.parametrize("status", [0, 404, 403, 503])
def test_advice_that_is_unavailable_stops_nothing_and_is_logged_once(
    leaderexec: Start, election: Election, status: int
) -> None:
    """The command starts after its delay and keeps running; a refusal's remedy is the Role."""
    wrapper = replica(leaderexec, election, "--takeover-delay", "300ms")
    election.api.fail(status)
    election.lead(ME)
    wrapper.output("up none")
    said = wrapper.log("lease trouble")
    if status == 403:
        assert "resources: [pods], verbs: [get]" in said["remedy"]
        assert "resourceNames: ['demo'], verbs: [get]" in said["remedy"]
    asked = election.api.requests.count("GET")
    wait_for(lambda: election.api.requests.count("GET") > asked)
    assert len(wrapper.events("lease trouble", kind=said["kind"])) == 1
    assert not wrapper.events("command ended")


def test_a_fence_that_arrives_after_the_start_restarts_nothing(
    leaderexec: Start, election: Election
) -> None:
    """It is logged, and whatever starts later in the term gets it."""
    wrapper = replica(leaderexec, election, "--on-stop", "sh -c 'echo over $LEADEREXEC_FENCE'")
    election.api.fail(503)
    version = election.lead(ME)
    wrapper.output("up none")
    wrapper.log("lease trouble")
    election.api.recover()
    assert wrapper.log("lease confirmed", leader=ME)["fence"] == version
    election.lead(RIVAL)
    wrapper.output(f"over {version}")
    assert len(wrapper.events("command started")) == 1


def test_status_and_metrics_show_the_lease(leaderexec: Start, election: Election) -> None:
    """Its contents, and the errors in reading it."""
    wrapper = replica(leaderexec, election, "--http", "127.0.0.1:0")
    version = election.lead(ME)
    wrapper.output("up none")
    wrapper.log("lease confirmed", leader=ME)
    host, _, port = wrapper.log("http listening")["address"].rpartition(":")

    def get(path: str) -> str:
        connection = http.client.HTTPConnection(host, int(port))
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    wait_for(lambda: json.loads(get("/leader"))["fence"] == version)
    lease = json.loads(get("/status"))["lease"]
    assert (lease["name"], lease["confirms"], lease["fence"]) == ("demo", True, version)
    assert lease["uid"].startswith("uid-")
    assert lease["seen"]
    said = get("/metrics")
    assert "leaderexec_lease_confirmed 1.0" in said
    assert f"leaderexec_fence {float(version)}" in said
    election.api.fail(503)
    election.lead(RIVAL)
    wrapper.log("lease trouble")
    count = 'leaderexec_election_failures_total{kind="http-503",part="lease"}'
    wait_for(lambda: count in get("/metrics"))
    assert "leaderexec_lease_confirmed 0.0" in get("/metrics")


def test_if_reading_is_forbidden_the_elector_decides_even_with_a_named_lease(
    leaderexec: Start, election: Election
) -> None:
    """The log says which right is missing."""
    wrapper = replica(leaderexec, election, advice=False)
    election.api.fail(403)
    wrapper.log("lease trouble", kind="forbidden")
    election.lead(ME)
    wrapper.output("up none")


ASKED = {
    "confirmed": (0, ME),
    "another": (1, RIVAL),
    "missing": (1, ""),
    "forbidden": (0, ME),
    "away": (125, ""),
}


@pytest.mark.parametrize("case", ASKED)
def test_is_leader_asks_what_a_running_replica_would_ask(
    run: Run, election: Election, case: str
) -> None:
    """So a script does nothing where the command may not run; without an answer it can't tell."""
    election.elector.lead(ME)
    if case == "confirmed":
        election.api.elect(ME)
    elif case != "another":
        election.api.fail({"missing": 404, "forbidden": 403, "away": 503}[case])
    given = ("--get-url", election.elector.url, "--identity", ME)
    lease = ("--api-server", election.api.url, "--confirm-lease", "demo")
    asked = run(LEADEREXEC, "--is-leader", *given, *lease)
    assert (asked.returncode, asked.stdout.strip()) == ASKED[case]
    if case == "away":
        assert "the Lease demo can't be read" in asked.stderr


def test_is_leader_asks_the_elector_alone_unless_a_lease_was_named(
    run: Run, election: Election, environ: dict[str, str]
) -> None:
    """An unnamed Lease is only advice, and advice stops nothing."""
    election.elector.lead(ME)
    given = ("--get-url", election.elector.url, "--identity", ME)
    asked = run(
        *(LEADEREXEC, "--is-leader", *given, "--api-server", election.api.url),
        env={**environ, "NAIS_APP_NAME": "demo"},
    )
    assert (asked.returncode, asked.stdout.strip()) == (0, ME)
    assert election.api.requests == []
