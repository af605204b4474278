"""The Lease object: reading it from JSON, and creating what to write. Pure.

Unknown fields are preserved: a PUT of the whole object would otherwise delete them. The holder is
accompanied by a nonce of its process, so that another process with the same name is not mistaken
for it, and if known by the container, so that a restarted one takes back its own.
"""

import copy
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

API_VERSION = "coordination.k8s.io/v1"
# The annotation with the nonce of the process that wrote the holder.
LIFE = "leaderexec/life"
# The annotation with its container: see `identity.container`.
CONTAINER = "leaderexec/container"
# The annotation with the number of lives of that container that in a row ended soon, and without a
# release: it was killed, for example for want of memory, and only the Lease can remember that.
KILLED = "leaderexec/killed"
# A life that has led for this many seconds did not end soon.
_LONG = 60.0
# The annotation with the keys of --once: see `once`.
DONE = "leaderexec/done"
# The annotation with the number of slots: see `register`.
SLOTS = "leaderexec/slots"
_LEAST_DURATION = 1
# Both numbers of a Lease's spec are an int32.
_LARGEST = 2**31 - 1


class Malformed(Exception):
    """What was read is not a Lease."""


class Name(NamedTuple):
    """The namespace and name of a Lease."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    def of_slot(self, slot: int) -> "Name":
        """Return the name of a slot's Lease."""
        return self._replace(name=f"{self.name}-{slot}")

    def with_slots(self, count: int) -> "list[Name]":
        """Return the names of all Leases of an election with so many slots, its own first."""
        return [self, *map(self.of_slot, range(count))]


class Lease(NamedTuple):
    """A Lease as it was read. `version` is its resourceVersion, which within one resource is an
    increasing integer (KEP-5504); `duration` is in seconds, None if there is none; `led_for` is how
    many seconds passed for its holder between the acquisition and the last renewal."""

    version: int
    holder: str
    life: str
    duration: float | None
    transitions: int
    preferred: str
    container: str
    killed: int
    led_for: float
    document: Mapping[str, Any]


class Candidate(NamedTuple):
    """The writer: the holder's name, the nonce of this process, the requested duration in seconds,
    and the container whose first process this is; empty if that is unknown. `abdicate_after`: how
    many lives of the container may in a row be killed while they lead, None for any number; then
    it does not take its Lease for `hold_off` seconds after the Lease has expired."""

    identity: str
    life: str
    duration: int
    container: str = ""
    abdicate_after: int | None = None
    hold_off: float = 0.0

    def wrote(self, lease: Lease | None) -> bool:
        """Return whether this exact process is the holder."""
        return lease is not None and (lease.holder, lease.life) == (self.identity, self.life)

    def follows(self, lease: Lease | None) -> bool:
        """Return whether the holder is an earlier first process of this container: everything that
        it had started was killed with it (pid_namespaces(7))."""
        return (
            lease is not None
            and self.container != ""
            and (lease.holder, lease.container) == (self.identity, self.container)
            and lease.life != self.life
        )

    def killed(self, lease: Lease | None) -> int:
        """Return how many lives of this container were killed in a row, soon after they had taken
        the Lease."""
        if lease is None or not self.follows(lease):
            return 0
        return 1 + lease.killed if lease.led_for < _LONG else 0


def parse(data: bytes | str) -> Lease:
    """Read a Lease from JSON. Raises Malformed."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise Malformed("it is not JSON") from None
    return read(found)


def read(found: object) -> Lease:
    """Read a Lease from a parsed object. Raises Malformed."""
    if not isinstance(found, dict) or found.get("kind") != "Lease":
        raise Malformed("it is not a Lease")
    metadata, spec = found.get("metadata"), found.get("spec") or {}
    if not isinstance(metadata, dict) or not isinstance(spec, dict):
        raise Malformed("it is a Lease without metadata, or with an invalid spec")
    version = metadata.get("resourceVersion")
    if not (isinstance(version, str) and re.fullmatch("[0-9]{1,100}", version)):
        raise Malformed(f"its resourceVersion is {repr(version)[:80]}, which is not a number")
    annotations = annotations_of(metadata)
    return Lease(
        int(version),
        _text(spec.get("holderIdentity")),
        _text(annotations.get(LIFE)),
        _seconds(spec.get("leaseDurationSeconds")),
        _whole(spec.get("leaseTransitions")),
        _text(spec.get("preferredHolder")),
        _text(annotations.get(CONTAINER)),
        _count(annotations.get(KILLED)),
        _between(spec.get("acquireTime"), spec.get("renewTime")),
        found,
    )


def annotations_of(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the annotations in an object's metadata, of any values; none if they are no object."""
    found = metadata.get("annotations")
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: object) -> int:
    return value if type(value) is int and 0 <= value <= _LARGEST else 0


def _count(value: object) -> int:
    """Read a count from an annotation, in which anybody may have written anything."""
    return int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,6}", value) else 0


def _between(first: object, second: object) -> float:
    try:
        return (
            datetime.fromisoformat(_text(second)) - datetime.fromisoformat(_text(first))
        ).total_seconds()
    except (ValueError, TypeError):
        return 0.0


def _seconds(value: object) -> float | None:
    return float(value) if type(value) is int and _LEAST_DURATION <= value <= _LARGEST else None


def micro_time(moment: datetime) -> str:
    """Write a MicroTime: exactly six fractional digits, or the API server responds with 422."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def taken(lease: Lease | None, name: Name, by: Candidate, now: datetime) -> dict[str, Any]:
    """Return the object that makes `by` the holder, without a preferred holder."""
    document = _blank(name) if lease is None else _changeable(lease)
    spec, moment = document["spec"], micro_time(now)
    spec.pop("preferredHolder", None)
    spec["holderIdentity"] = by.identity
    spec["leaseDurationSeconds"] = by.duration
    spec["acquireTime"] = spec["renewTime"] = moment
    # One more would be refused, and nobody could ever take the Lease.
    spec["leaseTransitions"] = 0 if lease is None else min(lease.transitions + 1, _LARGEST)
    metadata = document["metadata"]
    metadata["annotations"] = {**annotations_of(metadata), LIFE: by.life}
    # Never keep those of another holder.
    metadata["annotations"].pop(CONTAINER, None)
    metadata["annotations"].pop(KILLED, None)
    if by.container:
        metadata["annotations"][CONTAINER] = by.container
    # A life that takes it anew after an outage goes on counting.
    killed = lease.killed if lease is not None and by.wrote(lease) else by.killed(lease)
    if killed > 0:
        metadata["annotations"][KILLED] = str(killed)
    return document


def renewed(lease: Lease, by: Candidate, now: datetime) -> dict[str, Any]:
    """Return the object that renews what `by` holds."""
    document = _changeable(lease)
    document["spec"]["leaseDurationSeconds"] = by.duration
    document["spec"]["renewTime"] = micro_time(now)
    return document


def is_done(lease: Lease | None, key: str) -> bool:
    """Return whether it keeps that the command has succeeded for this key."""
    from leaderexec.election import once

    return lease is not None and once.has(annotations_of(lease.document["metadata"]).get(DONE), key)


def done(lease: Lease, by: Candidate, key: str, now: datetime) -> dict[str, Any]:
    """Return the object that keeps this, and renews what `by` holds."""
    from leaderexec.election import once

    document = renewed(lease, by, now)
    annotations = annotations_of(document["metadata"])
    kept = once.with_key(annotations.get(DONE), key)
    document["metadata"]["annotations"] = {**annotations, DONE: kept}
    return document


def released(lease: Lease, now: datetime) -> dict[str, Any]:
    """Return the object that releases it, as client-go does: candidates take it at once."""
    document = _changeable(lease)
    spec, moment = document["spec"], micro_time(now)
    spec["holderIdentity"] = ""
    spec["leaseDurationSeconds"] = _LEAST_DURATION
    spec["acquireTime"] = spec["renewTime"] = moment
    return document


def _changeable(lease: Lease) -> dict[str, Any]:
    document: dict[str, Any] = copy.deepcopy(dict(lease.document))
    document["spec"] = dict(document.get("spec") or {})
    return document


def _blank(name: Name) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "Lease",
        "metadata": {"namespace": name.namespace, "name": name.name},
        "spec": {},
    }
