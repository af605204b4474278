"""A replica's status is reduced to what a person needs, whatever it contains."""

import json
from typing import Any

import pytest

from leaderexec.peers.replica import described, in_order, silent, summary

STANDBY: dict[str, Any] = {
    "version": "1.2.3",
    "identity": "app-a",
    "role": "standby",
    "role_since": "2026-11-23T10:11:12.000Z",
    "reason": "another replica leads",
    "is_leader": False,
    "leader": "app-b",
    "confirmed": True,
    "since": "2026-11-23T10:11:12.000Z",
    "term": 2,
    "fence": None,
    "slot": None,
    "healthy": None,
}
LEADER = {**STANDBY, "identity": "app-b", "role": "running", "is_leader": True, "fence": 7}


def replica(**changes: Any) -> dict[str, Any]:
    """Return the summary of a standby with these differences."""
    return described("10.0.0.1:8080", json.dumps({**STANDBY, **changes}).encode())


def test_its_status_is_kept_with_its_address() -> None:
    """Each field, and nothing else: the tree and the options are on its own page."""
    assert replica(tree=[1], options={}) == {"address": "10.0.0.1:8080", **STANDBY, "unfit": None}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"confirmed": False}, "no contact with the election"),
        ({"confirmed": "yes"}, "no contact with the election"),
        ({"role": "blocked", "reason": "2 survive"}, "it can start nothing: 2 survive"),
        ({"role": "running", "is_leader": True, "healthy": False}, "has not proved healthy"),
    ],
)
def test_an_unfit_replica_says_why(changes: dict[str, Any], why: str) -> None:
    """In words."""
    assert why in replica(**changes)["unfit"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"healthy": False},
        {"role": "takeover", "is_leader": True, "healthy": False},
        {"role": "running", "is_leader": True, "healthy": True},
        {"role": "running", "is_leader": True, "healthy": None},
    ],
)
def test_a_command_that_does_not_run_need_not_be_healthy(changes: dict[str, Any]) -> None:
    """A standby with a probe, and a leader that is about to start, are fine."""
    assert replica(**changes)["unfit"] is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b"{}",
        b'{"role": 1}',
        b"\xff",
        b'{"role": ' + b"[" * 100_000,
        b"9" * 10_000,
    ],
    ids=["empty", "html", "null", "list", "no role", "role", "bytes", "deep", "digits"],
)
def test_another_server_is_not_mistaken_for_leaderexec(body: bytes) -> None:
    """Whatever it responds."""
    assert described("10.0.0.1:8080", body) == silent(
        "10.0.0.1:8080", "the server at this address is not leaderexec"
    )


def test_fields_of_other_types_are_left_out_and_long_texts_cut() -> None:
    """A number is not a switch, and a switch is not a number."""
    found = replica(
        identity="x" * 10_000, term=True, fence=10**30, is_leader=1, reason=["no"], leader={}
    )
    assert len(found["identity"]) == 300
    for name in ("term", "fence", "is_leader", "reason", "leader"):
        assert found[name] is None, name


def test_replicas_are_sorted_by_name_with_silent_ones_last() -> None:
    """So that a table does not jump."""
    found = in_order([silent("a:1", "gone"), replica(identity="app-c"), replica(identity="app-a")])
    assert [one["identity"] for one in found] == ["app-a", "app-c", None]


def test_one_sentence_says_who_leads_and_how_many_agree() -> None:
    """Silent replicas count."""
    leader = described("10.0.0.2:8080", json.dumps(LEADER).encode())
    other = replica(identity="app-c", leader="app-c")
    gone = silent("10.0.0.3:8080", "gone")
    assert summary([replica(), leader]) == "app-b leads, as 2 of 2 replicas say."
    assert summary([replica(), leader, other, gone]) == "app-b leads, as 2 of 4 replicas say."
    assert summary([replica(), gone]) == "No replica that answers leads (1 of 2 answer)."
    assert summary([gone]) == "No replica answers."
    assert summary([leader, {**leader, "identity": "app-d"}]).startswith(
        "app-b and app-d say that they lead."
    )


def test_with_slots_the_sentence_says_who_leads_in_which() -> None:
    """Several leaders are as they should be, unless two say so of the same slot."""
    first = replica(**{**LEADER, "slot": 0})
    second = replica(**{**LEADER, "identity": "app-c", "slot": 1})
    gone = silent("10.0.0.3:8080", "gone")
    said = "app-b in slot 0, app-c in slot 1: these lead."
    assert summary([second, replica(leader=None), first, gone]) == said
    twice = summary([first, {**second, "slot": 0}])
    assert twice.startswith("app-b and app-c in slot 0: these lead. Where two do in the same slot")
