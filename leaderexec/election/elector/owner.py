"""Which Pod owns the elector's Lease, and whether that Pod has ended. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from leaderexec.core.events import Pod
from leaderexec.election.lease.record import Lease


def uid_of(lease: Lease) -> str:
    """Return the Lease's own uid, which distinguishes it from others with the same name."""
    return _text(_mapping(lease.document.get("metadata")).get("uid"))


def owner(lease: Lease) -> Pod | None:
    """Return the Pod that owns the Lease. Its name is complete; the holder's is cut off at 63
    characters. None if there is no owner, or more than one."""
    references = _mapping(lease.document.get("metadata")).get("ownerReferences")
    found = [
        Pod(_text(one.get("name")), _text(one.get("uid")))
        for one in map(_mapping, references if isinstance(references, list) else ())
        if one.get("kind") == "Pod"
    ]
    return found[0] if len(found) == 1 and found[0].name and found[0].uid else None


def has_ended(pod: object, uid: str) -> bool:
    """Return whether this is the Pod with that uid, and each of its containers is terminated,
    as reported by its kubelet. The Pod's phase proves nothing: if its node is lost, others
    write it."""
    whole = _mapping(pod)
    spec, status = _mapping(whole.get("spec")), _mapping(whole.get("status"))
    if _mapping(whole.get("metadata")).get("uid") != uid:
        return False
    declared = {
        _text(one.get("name"))
        for kind in ("containers", "initContainers", "ephemeralContainers")
        for one in _each(spec, kind)
    }
    ended = {
        _text(one.get("name"))
        for kind in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
        for one in _each(status, kind)
        if _mapping(_mapping(one.get("state")).get("terminated"))
    }
    return bool(declared) and declared <= ended


def _each(where: Mapping[str, Any], kind: str) -> Iterator[Mapping[str, Any]]:
    found = where.get(kind)
    yield from map(_mapping, found if isinstance(found, list) else ())


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
