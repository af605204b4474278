"""Leases are parsed carefully, and writing keeps unknown fields."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from apiserver import validate
from hypothesis import given
from hypothesis import strategies as st

from leaderexec.election.lease.record import (
    DONE,
    KILLED,
    LIFE,
    Candidate,
    Lease,
    Malformed,
    Name,
    done,
    is_done,
    micro_time,
    parse,
    read,
    released,
    renewed,
    taken,
)

NAME = Name("ns", "demo")
US = Candidate("a", "life-of-a", 22)
NOON = datetime(2026, 1, 1, 12, 0, 0, 7, tzinfo=UTC)


def lease(**spec: Any) -> Lease:
    """Return a Lease with an unknown field."""
    return read(
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": "demo",
                "resourceVersion": "7",
                "annotations": {"other": "kept"},
                "labels": {"team": "t"},
            },
            "spec": {"holderIdentity": "b", "leaseDurationSeconds": 15, "newField": 1, **spec},
        }
    )


def test_a_timestamp_always_has_six_fractional_digits() -> None:
    """With fewer, the API server responds with 422."""
    assert micro_time(NOON) == "2026-01-01T12:00:00.000007Z"
    assert micro_time(NOON.replace(microsecond=0)) == "2026-01-01T12:00:00.000000Z"


@pytest.mark.parametrize(
    ("written", "count"),
    [(None, 1), ("0", 1), ("4", 5), ("-1", 1), ("1e9", 1), ("9" * 99, 1), ("\u0664", 1), (7, 1)],
)
def test_how_often_a_container_was_killed_is_counted_next_to_its_holder(
    written: object, count: int
) -> None:
    """Whatever was written there; and the count never passes to another container."""
    mine = US._replace(container="uid/worker")
    found = taken(lease(), NAME, mine._replace(life="before"), NOON)
    metadata = {**found["metadata"], "resourceVersion": "8"}
    metadata["annotations"][KILLED] = written
    held = read({**found, "metadata": metadata})
    again = taken(held, NAME, mine, NOON)["metadata"]["annotations"]
    assert again[KILLED] == str(count)
    other = taken(held, NAME, mine._replace(container="uid/other"), NOON)
    assert KILLED not in other["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("acquired", "renewed", "soon"),
    [
        ("2026-01-01T12:00:00.000000Z", "2026-01-01T12:00:59.999999Z", True),
        ("2026-01-01T12:00:00.000000Z", "2026-01-01T12:01:00.000000Z", False),
        ("2026-01-01T12:00:00", "2026-01-01T12:01:00.000000Z", True),
        ("noon", None, True),
    ],
)
def test_a_container_that_led_for_a_minute_was_not_killed_early(
    acquired: object, renewed: object, soon: bool
) -> None:
    """By its own two timestamps; a malformed one counts as missing."""
    mine = US._replace(container="uid/worker")
    found = taken(lease(), NAME, mine._replace(life="before"), NOON)
    metadata = {**found["metadata"], "resourceVersion": "8"}
    spec = {**found["spec"], "acquireTime": acquired, "renewTime": renewed}
    assert mine.killed(read({**found, "metadata": metadata, "spec": spec})) == soon


def test_acquiring_counts_the_transition_and_keeps_unknown_fields() -> None:
    """It names this process by its nonce."""
    written = taken(lease(leaseTransitions=4, preferredHolder="a"), NAME, US, NOON)
    assert written["spec"] == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 22,
        "acquireTime": "2026-01-01T12:00:00.000007Z",
        "renewTime": "2026-01-01T12:00:00.000007Z",
        "leaseTransitions": 5,
        "newField": 1,
    }
    assert written["metadata"]["resourceVersion"] == "7"
    assert written["metadata"]["annotations"] == {"other": "kept", LIFE: "life-of-a"}
    assert written["metadata"]["labels"] == {"team": "t"}
    assert US.wrote(read(written))
    validate(written)


def test_no_number_in_a_lease_is_more_than_its_fields_hold() -> None:
    """Each is an int32: a greater one was not written by an API server, and would be refused."""
    assert lease(leaseDurationSeconds=10**400).duration is None
    assert lease(leaseTransitions=2**31).transitions == 0
    last = lease(leaseTransitions=2**31 - 1)
    assert taken(last, NAME, US, NOON)["spec"]["leaseTransitions"] == 2**31 - 1


def test_a_container_is_named_next_to_its_own_holder_only() -> None:
    """Otherwise another container's next process would acquire what someone else holds."""
    in_one = read(taken(lease(), NAME, US._replace(container="uid/worker"), NOON))
    assert in_one.container == "uid/worker"
    assert read(taken(in_one, NAME, US, NOON)).container == ""
    validate(dict(in_one.document))


def test_if_there_is_no_lease_a_complete_one_is_written() -> None:
    """Without a resourceVersion, as POST requires."""
    written = taken(None, NAME, US, NOON)
    assert written["metadata"] == {
        "namespace": "ns",
        "name": "demo",
        "annotations": {LIFE: "life-of-a"},
    }
    assert written["spec"]["leaseTransitions"] == 0
    validate(written)


def test_renewing_changes_nothing_but_the_time() -> None:
    """The acquire time and the transitions stay."""
    before = lease(leaseTransitions=4, acquireTime="2025-01-01T00:00:00.000000Z")
    spec = renewed(before, US, NOON)["spec"]
    assert spec["renewTime"] == "2026-01-01T12:00:00.000007Z"
    assert spec["acquireTime"] == "2025-01-01T00:00:00.000000Z"
    assert (spec["leaseTransitions"], spec["newField"]) == (4, 1)


def test_what_is_done_is_kept_along_with_unknown_fields() -> None:
    """By a renewal; and by a release and the next holder."""
    kept = done(lease(), US, "v1", NOON)
    assert kept["metadata"]["annotations"] == {"other": "kept", DONE: "v1"}
    assert kept["spec"]["renewTime"] == "2026-01-01T12:00:00.000007Z"
    assert kept["spec"]["holderIdentity"] == "b"
    validate(kept)
    after = read(taken(read(released(read(kept), NOON)), NAME, US, NOON))
    assert is_done(after, "v1")
    assert not is_done(after, "v2")
    assert not is_done(lease(), "v1")
    assert not is_done(None, "v1")
    assert read(done(after, US, "v2", NOON)).document["metadata"]["annotations"][DONE] == "v1 v2"


def test_releasing_empties_the_holder_as_client_go_does() -> None:
    """One second, both times now, transitions kept."""
    spec = released(lease(leaseTransitions=4), NOON)["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"]) == ("", 1)
    assert spec["acquireTime"] == spec["renewTime"] == "2026-01-01T12:00:00.000007Z"
    assert spec["leaseTransitions"] == 4


def test_writing_does_not_change_the_lease_that_was_read() -> None:
    """The next decision is based on it."""
    before = lease()
    text = json.dumps(before.document)
    taken(before, NAME, US, NOON)
    released(before, NOON)
    assert json.dumps(before.document) == text


def test_another_process_with_our_name_is_not_us() -> None:
    """Only the nonce next to the holder distinguishes them."""
    theirs = read(taken(lease(), NAME, US._replace(life="another"), NOON))
    assert theirs.holder == US.identity
    assert not US.wrote(theirs)


def test_a_lease_without_a_spec_is_free() -> None:
    """As a manifest creates it."""
    found = parse('{"kind": "Lease", "metadata": {"name": "demo", "resourceVersion": "3"}}')
    assert (found.version, found.holder, found.duration, found.transitions) == (3, "", None, 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"kind": "Status"}',
        '{"kind": "Lease"}',
        '{"kind": "Lease", "metadata": {"resourceVersion": 7}}',
        '{"kind": "Lease", "metadata": {"resourceVersion": "x7"}}',
        '{"kind": "Lease", "metadata": {"resourceVersion": "7"}, "spec": [1]}',
        "[" * 100_000,
        f'{{"kind": "Lease", "metadata": {{"resourceVersion": "{"7" * 5000}"}}}}',
    ],
)
def test_a_malformed_lease_is_refused(text: str) -> None:
    """With one type of error."""
    with pytest.raises(Malformed):
        parse(text)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(
    spec=st.dictionaries(
        st.sampled_from(
            ["holderIdentity", "leaseDurationSeconds", "leaseTransitions", "preferredHolder", "x"]
        ),
        _JSON,
    ),
    annotations=_JSON,
)
def test_a_lease_with_any_content_can_be_read(spec: dict[str, Any], annotations: object) -> None:
    """A field of a wrong type counts as missing."""
    found = read(
        {
            "kind": "Lease",
            "metadata": {"resourceVersion": "7", "annotations": annotations},
            "spec": spec,
        }
    )
    assert isinstance(found.holder, str)
    assert isinstance(is_done(found, "v1"), bool)
    assert found.duration is None or found.duration >= 1
    assert found.transitions >= 0
