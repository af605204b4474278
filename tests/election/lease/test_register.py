"""The number of slots is changed only while nobody holds one, whatever happens at the same time."""

import json
import time
from collections.abc import Callable, Iterator

import pytest
from apiserver import ApiServer

from leaderexec.election.complaints import Trouble
from leaderexec.election.lease import cluster, record, register
from leaderexec.election.lease.record import Name
from leaderexec.election.lease.register import Register

NAME = Name("default", "demo")


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """An API server with the Leases of three slots, which nobody holds, and no number yet."""
    with ApiServer() as server:
        for slot in range(3):
            server.add(f"demo-{slot}")
        yield server


Open = Callable[[int], Register]


@pytest.fixture
def opened(api: ApiServer) -> Open:
    """What returns a replica's register, for its number of slots."""
    return lambda count: Register(cluster.find(api.url, None, {}), NAME, count, 0.0)


def kept(api: ApiServer) -> str:
    """Return the number as it is kept."""
    return str(api.leases.get("demo")["metadata"]["annotations"]["leaderexec/slots"])


def keep(api: ApiServer, number: str) -> None:
    """Have this number kept."""
    document = json.loads(json.dumps(api.leases.get("demo")))
    document["metadata"]["annotations"] = {"leaderexec/slots": number}
    api.leases.update("demo", document)


def takes(api: ApiServer, slot: int, by: Register) -> str | None:
    """Have a replica take a slot, as it does; return why it must release it again, if it must."""
    api.edit(f"demo-{slot}", holderIdentity="taker")
    try:
        by.check(5)
    except Trouble as trouble:
        api.edit(f"demo-{slot}", holderIdentity="")
        return str(trouble)
    return None


def refused(one: Register) -> str:
    """Return why it does not agree."""
    with pytest.raises(Trouble) as caught:
        one.settle(5)
    assert not one.agrees
    return str(caught.value)


def test_the_first_replica_writes_its_number_and_the_next_ones_find_it(
    api: ApiServer, opened: Open
) -> None:
    """It is created, or an empty Lease from the manifests is written to."""
    first, second = opened(2), opened(2)
    first.settle(5)
    assert (kept(api), api.holder()) == ("2", "2 slots")
    writes = api.requests.count("PUT") + api.requests.count("POST")
    second.settle(5)
    assert first.agrees
    assert second.agrees
    assert api.requests.count("PUT") + api.requests.count("POST") == writes


def test_labels_and_other_annotations_stay(api: ApiServer, opened: Open) -> None:
    """Of the Lease as somebody has created it."""
    document = json.loads(json.dumps(api.add("demo")))
    document["metadata"]["labels"] = {"team": "a"}
    document["metadata"]["annotations"] = {"other": "b"}
    api.leases.update("demo", document)
    opened(2).settle(5)
    metadata = api.leases.get("demo")["metadata"]
    assert metadata["labels"] == {"team": "a"}
    assert metadata["annotations"] == {"other": "b", "leaderexec/slots": "2"}


def test_another_number_replaces_one_under_which_nobody_holds_a_slot(
    api: ApiServer, opened: Open
) -> None:
    """Whoever has the old one is told, by its next check."""
    old = opened(3)
    old.settle(5)
    opened(2).settle(5)
    assert kept(api) == "2"
    assert takes(api, 0, old) == "the lease default/demo does not keep --slots 3 any more"


@pytest.mark.parametrize("slot", [0, 2])
def test_another_number_is_refused_while_one_slot_is_held(
    api: ApiServer, opened: Open, slot: int
) -> None:
    """Also one that there would not be any more."""
    opened(3).settle(5)
    api.edit(f"demo-{slot}", holderIdentity="x")
    reason = refused(opened(1))
    assert f"x holds default/demo-{slot}" in reason
    assert kept(api) == "3"


def during(monkeypatch: pytest.MonkeyPatch, look: int, work: Callable[[], None]) -> None:
    """Have something happen just before the changing replica looks for holders, the time `look`."""
    looks = 0
    a_holder = Register._a_holder

    def looking(self: Register, count: int, give_up: float) -> str | None:
        nonlocal looks
        looks += 1
        if looks == look:
            work()
        return a_holder(self, count, give_up)

    monkeypatch.setattr(Register, "_a_holder", looking)


def test_a_slot_that_is_taken_before_the_change_is_announced_stays_held(
    api: ApiServer, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The taker has found its number; the change is taken back."""
    old, new = opened(2), opened(3)
    old.settle(5)
    answers: list[str | None] = []
    write = Register._write

    def writing(self: Register, *given: object) -> object:
        if not answers:
            answers.append(takes(api, 0, old))
        return write(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Register, "_write", writing)
    assert "taker holds default/demo-0" in refused(new)
    assert answers == [None]
    assert kept(api) == "2"


def test_a_slot_that_is_taken_after_the_change_was_announced_is_released(
    api: ApiServer, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its taker finds that the number is about to change."""
    old, new = opened(2), opened(3)
    old.settle(5)
    answers: list[str | None] = []
    during(monkeypatch, 2, lambda: answers.append(takes(api, 0, old)))
    new.settle(5)
    assert answers == ["the lease default/demo does not keep --slots 2 any more"]
    assert kept(api) == "3"


@pytest.mark.parametrize("holder", ["", "x"])
@pytest.mark.parametrize("count", [2, 3])
def test_a_change_that_was_not_completed_is_decided_by_the_next_replica(
    api: ApiServer, opened: Open, holder: str, count: int
) -> None:
    """The old number stays where it is in use, or this replica has it; else the new one counts."""
    api.add("demo")
    keep(api, "2 changing")
    api.edit("demo-1", holderIdentity=holder)
    one = opened(count)
    if holder and count == 3:
        refused(one)
    else:
        one.settle(5)
    assert kept(api) == ("2" if holder else str(count))
    assert one.agrees == (kept(api) == str(count))


def test_of_two_that_change_it_at_once_one_wins(
    api: ApiServer, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one finds that out, and changes it in turn: nobody holds a slot yet."""
    opened(2).settle(5)
    new, other = opened(3), opened(1)
    during(monkeypatch, 1, lambda: other.settle(5))
    new.settle(5)
    assert kept(api) == "3"
    assert takes(api, 0, other) is not None
    assert takes(api, 0, new) is None


def test_a_lease_with_a_holder_is_not_made_into_a_register(api: ApiServer, opened: Open) -> None:
    """A replica without --slots leads with it."""
    api.add("demo", holder="plain")
    assert refused(opened(2)) == "plain holds the lease default/demo without --slots"
    assert api.holder() == "plain"


def test_a_deleted_register_is_noticed_by_the_next_that_takes_a_slot(
    api: ApiServer, opened: Open
) -> None:
    """It is written again before any is taken."""
    one = opened(2)
    one.settle(5)
    api.leases.delete("demo")
    assert takes(api, 0, one) is not None
    one.settle(5)
    assert takes(api, 0, one) is None


def test_it_is_not_asked_more_often_than_the_retry_period(api: ApiServer) -> None:
    """However many slots there are, each with a thread that would."""
    one = Register(cluster.find(api.url, None, {}), NAME, 2, 3600.0)
    api.add("demo", holder="plain")
    refused(one)
    asked = len(api.requests)
    one.settle(5)
    assert len(api.requests) == asked
    assert register.number(record.read(api.leases.get("demo"))) is None
    assert time.monotonic() < one._not_before
