"""What an API server sends, and what others have written into a Lease."""

import copy
import json
from datetime import UTC, datetime
from typing import Any

from fuzz.targets.answering import answering
from fuzz.targets.target import Target, check_shown

from leaderexec.election.complaints import Trouble
from leaderexec.election.elector import confirming, owner
from leaderexec.election.lease import record, register
from leaderexec.election.lease.answers import Conflict
from leaderexec.election.lease.client import Leases, Watch
from leaderexec.election.lease.cluster import find
from leaderexec.election.lease.record import Candidate, Lease, Malformed, Name

_NAME = Name("team", "worker")
_US = Candidate("app-a", "life-1", 22, "container-1", abdicate_after=3)
_NOW = datetime(2026, 1, 2, 3, 4, 5, 678, UTC)
_CLUSTER = find("http://localhost:8001", None, {})
# What leaderexec writes of its own; everything else is kept.
_OUR_SPEC = {
    "holderIdentity",
    "leaseDurationSeconds",
    "acquireTime",
    "renewTime",
    "leaseTransitions",
    "preferredHolder",
}
_OUR_NOTES = {record.LIFE, record.CONTAINER, record.KILLED, record.DONE}


def _foreign(document: Any) -> Any:
    """Return what of a Lease is not leaderexec's."""
    left = copy.deepcopy(dict(document))
    spec = left.pop("spec", None) or {}
    metadata = left["metadata"]
    notes = metadata.pop("annotations", None)
    of_spec = {name: value for name, value in spec.items() if name not in _OUR_SPEC}
    if not isinstance(notes, dict):
        notes = {}
    of_notes = {name: value for name, value in notes.items() if name not in _OUR_NOTES}
    return json.dumps([left, of_spec, of_notes], sort_keys=True)


def _used(found: Lease) -> None:
    """Use a Lease in every way; what is foreign in it stays, and what is written can be read."""
    assert found.version >= 0
    assert found.duration is None or found.duration >= 1
    assert found.killed >= 0
    assert _US.killed(found) >= 0
    record.is_done(found, "v1")
    confirming.named_by(found, "app-a")
    owner.uid_of(found)
    owner.owner(found)
    kept = register.number(found) or register.Number(3)
    with_slots = record.parse(json.dumps(register.keeping(found, _NAME, kept)))
    assert register.number(with_slots) == kept
    for written in (
        record.taken(found, _NAME, _US, _NOW),
        record.renewed(found, _US, _NOW),
        record.done(found, _US, "v1", _NOW),
        record.released(found, _NOW),
    ):
        again = record.parse(json.dumps(written))
        assert again.version == found.version
        assert _foreign(again.document) == _foreign(found.document)
    taken = record.parse(json.dumps(record.taken(found, _NAME, _US, _NOW)))
    assert _US.wrote(taken)
    # An int32, which does not grow beyond that.
    assert taken.transitions == min(found.transitions + 1, 2**31 - 1)
    assert record.is_done(record.parse(json.dumps(record.done(found, _US, "v1", _NOW))), "v1")
    assert not _US.wrote(record.parse(json.dumps(record.released(found, _NOW))))


def lease(data: bytes) -> None:
    """A Lease is read, or refused in words; written in any way, it keeps all that is not ours."""
    try:
        found = record.parse(data)
    except Malformed as error:
        check_shown(str(error), 200)
        return
    _used(found)


def answer(data: bytes) -> None:
    """Whatever comes in place of an API server's response, a request ends with a Lease, with
    nothing, or in words with a remedy."""
    for ask in ("get", "put", "pod"):
        api = Leases(_CLUSTER, _NAME)
        try:
            with answering(data):
                if ask == "pod":
                    owner.has_ended(api.pod("app-a", 1.0), "uid-1")
                elif (found := api.get(1.0) if ask == "get" else api.put({}, 1.0)) is not None:
                    _used(found)
        except Trouble as trouble:
            _is_told(trouble)
        except Conflict:
            assert ask == "put"
        finally:
            api.close()


def watch(data: bytes) -> None:
    """Whatever lines a watch consists of, each is a state of the Lease, or the watch ends in words
    with a remedy."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
    try:
        with answering(head + data):
            opened = Watch(_CLUSTER, _NAME, 1.0)
            for found, _ in opened.events():
                _used(found)
    except Trouble as trouble:
        _is_told(trouble)


def _is_told(trouble: Trouble) -> None:
    assert trouble.kind
    check_shown(str(trouble), 400)
    check_shown(trouble.remedy, 1000)
    assert 0 <= trouble.pause <= 60


_LEASE = (
    '{"kind":"Lease",',
    '"metadata":{"resourceVersion":"7"}',
    '"spec":{',
    '"holderIdentity"',
    '"leaseDurationSeconds"',
    '"acquireTime"',
    '"renewTime"',
    '"leaseTransitions"',
    '"preferredHolder"',
    '"annotations":{',
    '"leaderexec/life"',
    '"leaderexec/killed"',
    '"leaderexec/container"',
    '"leaderexec/done"',
    '"ownerReferences"',
    '"uid"',
    "2026-01-02T03:04:05.000006Z",
    "1e999",
    "null",
)
TARGETS = {
    "lease": Target(lease, 1024, _LEASE),
    "lease-response": Target(
        answer,
        1024,
        (
            *_LEASE,
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 404 Not Found\r\n",
            "HTTP/1.1 409 Conflict\r\n",
            "Retry-After: ",
            "Content-Length: ",
            "Transfer-Encoding: chunked\r\n",
            "\r\n\r\n",
            '"message":"',
        ),
    ),
    "lease-watch": Target(
        watch,
        1024,
        (*_LEASE, '{"type":"MODIFIED",', '"type":"ERROR"', '"object":', '"code":410', '"DELETED"'),
    ),
}
