import json

import pytest
from develector.wire_client import Client, request, told

from leaderexec_elector.running import RunningElector


def test_the_state_is_json(elector: RunningElector) -> None:
    """It has the leader, the candidates, counts and faults."""
    request(elector.url)
    elector.fault("slow", delay="20ms", only="sse", count=3)
    status, body = request(elector.url, "/dev/state")
    assert status == 200
    assert json.loads(body) == {
        "leader": "app-a",
        "candidates": ["app-a", "app-b"],
        "subscribers": 0,
        "streams": 0,
        "connects": 0,
        "gets": 1,
        "followed": 0,
        "faults": [{"name": "slow", "delay": 0.02, "only": "sse", "count": 3}],
    }


def test_leadership_has_moved_when_the_response_arrives(elector: RunningElector) -> None:
    """The response has the new state, and the announcement has been sent."""
    with Client(elector.url) as client:
        client.ask("/sse")
        client.segment()
        _, body = request(elector.url, "/dev/leader/app-b", "POST")
        assert json.loads(body)["leader"] == "app-b"
        assert told(client.event())["name"] == "app-b"


def test_an_unlisted_candidate_is_added(elector: RunningElector) -> None:
    """A new name leads, and is a candidate from then on."""
    request(elector.url, "/dev/leader/app%2Fz", "POST")
    assert elector.state().candidates == ("app-a", "app-b", "app/z")


def test_without_a_name_no_replica_leads(elector: RunningElector) -> None:
    _, body = request(elector.url, "/dev/leader", "POST")
    assert json.loads(body)["leader"] is None
    assert request(elector.url) == (200, b"{}")


def test_the_same_leader_can_be_announced_again(elector: RunningElector) -> None:
    with Client(elector.url) as client:
        client.ask("/sse")
        client.segment()
        assert request(elector.url, "/dev/announce", "POST")[0] == 200
        assert told(client.event())["name"] == "app-a"


def test_leadership_can_flap(elector: RunningElector) -> None:
    """It moves quickly, and then stays with the last candidate."""
    target = "/dev/flap?names=a,b,a&gap=1ms&final=b"
    _, body = request(elector.url, target, "POST")
    assert json.loads(body)["leader"] == "b"


def test_a_fault_is_armed_and_disarmed(elector: RunningElector) -> None:
    """Faults are set over HTTP, and don't affect control requests."""
    request(elector.url, "/dev/fault/500?status=503", "POST")
    assert request(elector.url)[0] == 503
    request(elector.url, "/dev/fault/500", "DELETE")
    assert request(elector.url)[0] == 200
    for name in ("bom", "silence"):
        assert request(elector.url, f"/dev/fault/{name}", "POST")[0] == 200
    _, body = request(elector.url, "/dev/fault", "DELETE")
    assert json.loads(body)["faults"] == []


def test_a_restart_still_responds_to_its_request(elector: RunningElector) -> None:
    """The control request itself survives the restart."""
    status, body = request(elector.url, "/dev/fault/restart?for=20s", "POST")
    assert (status, json.loads(body)["faults"][0]["name"]) == (200, "restart")


@pytest.mark.parametrize("target", ["/dev", "/dev/"])
def test_the_help_lists_requests_and_faults(elector: RunningElector, target: str) -> None:
    """It is plain text."""
    status, body = request(elector.url, target)
    assert status == 200
    assert b"POST   /dev/leader/NAME" in body
    assert b"half-open: streams stay open" in body


@pytest.mark.parametrize(
    ("method", "target", "status", "allowed"),
    [
        ("GET", "/dev/leader/app-b", 405, b"POST   /dev/leader/NAME"),
        ("POST", "/dev/state", 405, b"GET    /dev/state"),
        ("POST", "/dev/fault", 405, b"DELETE /dev/fault"),
        ("GET", "/dev/unknown", 404, b"/dev/state"),
        ("POST", "/dev/fault/unknown", 400, b"half-open"),
        ("DELETE", "/dev/fault/unknown", 400, b"half-open"),
        ("POST", "/dev/fault/slow?delay=x", 400, b"500ms"),
        ("POST", "/dev/flap?gap=x", 400, b"500ms"),
        ("POST", "/dev/leader/" + "x" * 254, 400, b"1 to 253"),
    ],
)
def test_the_error_for_a_bad_control_request_says_what_is_allowed(
    elector: RunningElector, method: str, target: str, status: int, allowed: bytes
) -> None:
    """It changes nothing and gets a 4xx with the remedy."""
    before = elector.state()
    got, body = request(elector.url, target, method)
    assert got == status
    assert allowed in body
    assert elector.state() == before
