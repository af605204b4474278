"""The election in etcd: a queue of keys, each with its candidate's lease. The oldest leads.

This is the layout of etcd's own recipe (`etcdctl elect`): below a common prefix, a key named by its
lease, with the candidate's name as value. The key with the smallest create revision leads; each
candidate watches only the key before its own, so that only one wakes up when it is deleted. A place
at the head is only lost together with the key.

Taking leadership is a separate write, whose revision is the fence. The first one is the creation of
the key, if it is at the head immediately.
"""

import base64
import time
from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

from leaderexec.election.etcd import answers
from leaderexec.election.etcd.answers import NoLease
from leaderexec.election.etcd.client import Access, Client, Watch
from leaderexec.election.store.source import Answer

_LEAST = 0.05


class Watched(NamedTuple):
    """A key to watch, and the first revision at which it may have been deleted."""

    key: str
    revision: int


class Key(NamedTuple):
    """A key of the queue, as stored in etcd."""

    key: str
    value: str
    created: int
    modified: int


class Place(NamedTuple):
    """Our place in the queue, at a revision. `before`: the key just before ours; None if all have
    gone in the meantime. `is_new`: our key was created just now."""

    ours: Key
    head: Key
    before: Key | None
    revision: int
    is_new: bool


class EtcdStore:
    """One election, and our place in it. `key` names it; our keys are below it."""

    def __init__(self, access: Access, key: str, identity: str, duration: int) -> None:
        self._access = access
        self._client = Client(access)
        self._prefix = prefix_of(key)
        self._identity = identity
        self._duration = duration
        self._lease: int | None = None
        self._fence: int | None = None
        # The key whose deletion matters to us, as last seen.
        self._watched: Watched | None = None
        # Our key, once it was in the queue.
        self._enqueued: Key | None = None

    @property
    def topic(self) -> Hashable:
        """The key whose deletion matters to us: its own, whatever else is written to etcd."""
        return None if self._watched is None else self._watched.key

    @property
    def _key(self) -> str:
        assert self._lease is not None  # noqa: S101 - only with one
        return f"{self._prefix}{self._lease:x}"

    def look(self, seconds: float) -> str:
        """Return the name at the head of the queue."""
        found = self._client.ask("/v3/kv/range", self._of_queue(), seconds)
        head = _first(found)
        return "" if head is None else head.value

    def take(self, seconds: float) -> Answer:
        """Keep our place in the queue, or get one; and lead if it is the first."""
        give_up = time.monotonic() + seconds
        self._fence = None
        if self._lease is None or not self._keep_alive(give_up):
            self._grant(give_up)
        place = self._enqueue(give_up)
        if place.head.key != place.ours.key:
            before = place.before
            self._watched = None if before is None else Watched(before.key, place.revision + 1)
            # If there is none: then we are the first.
            return Answer(None, place.head.value, None if before else 0.0)
        self._watched = Watched(place.ours.key, place.revision + 1)
        self._fence = place.ours.created if place.is_new else self._write(place.ours, give_up)
        return Answer(self._fence)

    def renew(self, seconds: float) -> bool:
        """Keep the lease alive, and check that our key is still what we wrote. A member that has
        lost the others can still do the former, but not the latter."""
        give_up = time.monotonic() + seconds
        if self._lease is None or not self._keep_alive(give_up):
            return False
        key = self._key
        found = self._ask("/v3/kv/range", {"key": _coded(key)}, give_up)
        ours = _first(found)
        if ours is None or ours.modified != self._fence:
            self._fence = self._watched = None
            return False
        return True

    def let_go(self, seconds: float) -> bool:
        """Leave the queue: revoke our lease, which deletes our key."""
        self._watched = None
        released = self._fence is not None
        if self._lease is not None:
            try:
                self._client.ask("/v3/lease/revoke", {"ID": str(self._lease)}, seconds)
            except NoLease:
                released = False
        # Not before: after Trouble it is tried again.
        self._lease = self._fence = None
        return released

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def watch(self, topic: Hashable, seconds: float) -> Watch:
        """Wait for the key to be deleted."""
        seen = self._watched
        # If it was another key's meanwhile, this watch will be closed at once.
        since = 0 if seen is None or seen.key != topic else seen.revision
        request = {"key": _coded(f"{topic}"), "start_revision": f"{since}", "filters": ["NOPUT"]}
        return Watch(self._access, self._client.endpoint, self._client.token(), request, seconds)

    def _ask(self, path: str, question: Mapping[str, Any], give_up: float) -> dict[str, Any]:
        return self._client.ask(path, question, max(_LEAST, give_up - time.monotonic()))

    def _of_queue(self, **more: str) -> dict[str, Any]:
        return {
            "key": _coded(self._prefix),
            "range_end": _coded(_after(self._prefix)),
            "sort_target": "CREATE",
            "sort_order": "ASCEND",
            "limit": "1",
            **more,
        }

    def _grant(self, give_up: float) -> None:
        found = self._ask("/v3/lease/grant", {"TTL": str(self._duration)}, give_up)
        lease, granted = _number(found.get("ID")), _number(found.get("TTL"))
        if granted < self._duration:
            raise answers.short_lease(granted, self._duration)
        self._lease = lease

    def _keep_alive(self, give_up: float) -> bool:
        """Renew the lease; return whether it still existed."""
        try:
            found = self._ask("/v3/lease/keepalive", {"ID": str(self._lease)}, give_up)
        except NoLease:
            found = {}
        left = _number(answers.part(found, "result").get("TTL") or "0")
        if left <= 0:
            self._lease = self._fence = self._watched = None
        return left > 0

    def _enqueue(self, give_up: float) -> Place:
        """Create our key unless it exists; return where it is."""
        key = self._key
        own = {"request_range": {"key": _coded(key)}}
        head = {"request_range": self._of_queue()}
        known = self._enqueued
        if known is not None and known.key == key:
            # What could write would be carried out by every member, and go to each one's disk.
            before = {"request_range": self._before(known)}
            found = self._ask("/v3/kv/txn", {"success": [own, head, before]}, give_up)
            ours, first, last = _read(found, 3)
            if ours is not None and ours.created == known.created and first is not None:
                return Place(ours, first, last, _revision(found), False)
        put = {"key": _coded(key), "value": _coded(self._identity), "lease": str(self._lease)}
        question = {
            "compare": [{"key": _coded(key), "target": "CREATE", "create_revision": "0"}],
            "success": [{"request_put": put}, own, head],
            "failure": [own, head],
        }
        try:
            found = self._ask("/v3/kv/txn", question, give_up)
        except NoLease:
            self._lease = None
            raise answers.lease_gone() from None
        is_new = found.get("succeeded") is True
        ours, first = _read(found, 2)
        if ours is None or first is None:
            raise answers.broken("its response lacks the key that was written")
        self._enqueued = ours
        last = None
        if first.key != ours.key:
            found = self._ask("/v3/kv/range", self._before(ours), give_up)
            last = _first(found)
        return Place(ours, first, last, _revision(found), is_new)

    def _before(self, ours: Key) -> dict[str, Any]:
        """Return the question for the key just before ours."""
        return self._of_queue(sort_order="DESCEND", max_create_revision=str(ours.created - 1))

    def _write(self, ours: Key, give_up: float) -> int:
        """Write our key again, unchanged; return the revision."""
        put = {"key": _coded(ours.key), "value": _coded(self._identity), "lease": str(self._lease)}
        question = {
            "compare": [
                {
                    "key": _coded(ours.key),
                    "target": "CREATE",
                    "create_revision": str(ours.created),
                }
            ],
            "success": [{"request_put": put}],
        }
        try:
            found = self._ask("/v3/kv/txn", question, give_up)
        except NoLease:
            self._lease = None
            raise answers.lease_gone() from None
        if found.get("succeeded") is not True:
            self._lease = None
            raise answers.lease_gone()
        return _revision(found)


def prefix_of(key: str) -> str:
    """Return the common prefix of the keys of an election."""
    return f"{key.rstrip('/')}/"


def _after(prefix: str) -> bytes:
    """Return the first key without this prefix (all of ours end with a slash)."""
    raw = prefix.encode()
    return raw[:-1] + bytes([raw[-1] + 1])


def _coded(text: str | bytes) -> str:
    raw = text.encode() if isinstance(text, str) else text
    return base64.b64encode(raw).decode()


def _decoded(text: object) -> str:
    try:
        return base64.b64decode(text if isinstance(text, str) else "").decode(errors="replace")
    except ValueError:
        raise answers.broken("a key or value is not base64") from None


def _number(text: object) -> int:
    """Read a number; JSON of protobuf has 64-bit numbers as text."""
    try:
        return int(text) if isinstance(text, int | str) else 0
    except ValueError:
        raise answers.broken(f"{repr(text)[:80]} is not a number") from None


def _revision(found: Mapping[str, Any]) -> int:
    revision = _number(answers.part(found, "header").get("revision"))
    if revision <= 0:
        raise answers.broken("its response has no revision")
    return revision


def _read(found: Mapping[str, Any], count: int) -> list[Key | None]:
    """Return the first keys of the last `count` ranges that a transaction has read."""
    said = found.get("responses")
    parts = said if isinstance(said, list) else []
    read = [_first(one.get("response_range")) for one in parts if isinstance(one, dict)]
    return [*[None] * count, *read][-count:]


def _first(found: object) -> Key | None:
    """Return the first key in the response to a range request."""
    keys = found.get("kvs") if isinstance(found, dict) else None
    if not isinstance(keys, list) or not keys:
        return None
    one = keys[0]
    if not isinstance(one, dict):
        raise answers.broken("a key is not an object")
    return Key(
        _decoded(one.get("key")),
        _decoded(one.get("value")),
        _number(one.get("create_revision")),
        _number(one.get("mod_revision")),
    )
