"""The named Lease, which with ``--slots`` keeps their number N and is held by nobody.

Everybody can read it with ``kubectl get lease``: it has the text "3 slots" where others have a
holder, and a duration that never ends, so that a replica without --slots does not take it.

The number changes only while nobody holds a slot, without any lock:

- whoever takes a slot writes its Lease first, and then reads the number here. If it is another, or
  about to change, the slot is released again, and no command was started in it.
- whoever changes the number first writes here that it is about to change, then reads the Leases of
  all slots that there are, and writes the new number only if nobody holds one.

Of two that do this at the same time one must find what the other has written first.
"""

import re
import threading
import time
from contextlib import closing
from typing import Any, NamedTuple

from leaderexec.election.complaints import Trouble
from leaderexec.election.lease.answers import Conflict
from leaderexec.election.lease.client import Leases
from leaderexec.election.lease.cluster import Cluster
from leaderexec.election.lease.record import API_VERSION, SLOTS, Lease, Name, annotations_of

_FOREVER = 2**31 - 1
_ABOUT_TO_CHANGE = " changing"
_TRIES = 5


class Number(NamedTuple):
    """The number of slots, and whether somebody is about to change it."""

    slots: int
    is_changing: bool = False


def number(lease: Lease) -> Number | None:
    """Return the number that it keeps; None if it is an ordinary Lease."""
    text = annotations_of(lease.document["metadata"]).get(SLOTS)
    if not isinstance(text, str):
        return None
    found = re.fullmatch(f"([0-9]{{1,2}})({_ABOUT_TO_CHANGE})?", text)
    return None if found is None else Number(int(found[1]), found[2] is not None)


def keeping(lease: Lease | None, name: Name, kept: Number) -> dict[str, Any]:
    """Return the object that keeps this number."""
    before: dict[str, Any] = {} if lease is None else dict(lease.document)
    metadata = {"namespace": name.namespace, "name": name.name, **before.get("metadata", {})}
    text = f"{kept.slots}{_ABOUT_TO_CHANGE if kept.is_changing else ''}"
    metadata["annotations"] = {**annotations_of(metadata), SLOTS: text}
    spec = {
        **(before.get("spec") or {}),
        "holderIdentity": "1 slot" if kept.slots == 1 else f"{kept.slots} slots",
        "leaseDurationSeconds": _FOREVER,
    }
    return {"apiVersion": API_VERSION, "kind": "Lease", "metadata": metadata, "spec": spec}


class Register:
    """Keeps our number there, or says why not. For any thread."""

    def __init__(self, cluster: Cluster, name: Name, count: int, retry_period: float) -> None:
        self._cluster = cluster
        self._name = name
        self._count = count
        self._retry_period = retry_period
        self._not_before = 0.0
        self._turn = threading.Lock()
        # Our number was found there, or written.
        self.agrees = False

    def settle(self, seconds: float) -> None:
        """Have it keep our number, unless another thread is about to, or has tried just now. Raises
        Trouble if that takes longer, or it keeps another."""
        if time.monotonic() < self._not_before or not self._turn.acquire(blocking=False):
            return
        try:
            self._not_before = time.monotonic() + self._retry_period
            self._try(time.monotonic() + seconds)
        finally:
            self._turn.release()

    def _try(self, give_up: float) -> None:
        for _ in range(_TRIES):
            try:
                with closing(Leases(self._cluster, self._name)) as leases:
                    return self._settle(leases, give_up)
            except Conflict:
                # Another replica has written it.
                continue
        raise Trouble("slots", f"others keep writing the lease {self._name}", "nothing: it retries")

    def check(self, seconds: float) -> None:
        """Ask whether it keeps our number, now that a slot's Lease is ours. Raises Trouble."""
        with self._turn, closing(Leases(self._cluster, self._name)) as leases:
            found = leases.get(seconds)
            self.agrees = found is not None and number(found) == Number(self._count)
            if not self.agrees:
                raise Trouble(
                    "slots",
                    f"the lease {self._name} does not keep --slots {self._count} any more",
                    "set the same number for all replicas",
                )

    def _settle(self, leases: Leases, give_up: float) -> None:
        found = leases.get(_left(give_up))
        kept = None if found is None else number(found)
        if found is None:
            leases.post(keeping(None, self._name, Number(self._count)), _left(give_up))
        elif kept is None:
            if found.holder:
                raise Trouble(
                    "slots",
                    f"{found.holder} holds the lease {self._name} without --slots",
                    "end all such replicas first; if none is left, delete the Lease: kubectl delete"
                    f" lease --namespace {self._name.namespace} {self._name.name}",
                )
            self._write(leases, found, Number(self._count), give_up)
        elif kept != Number(self._count):
            self._change(leases, found, kept, give_up)
        self.agrees = True

    def _change(self, leases: Leases, found: Lease, kept: Number, give_up: float) -> None:
        """Write our number in place of another, or of one whose change was not completed."""
        holder = self._a_holder(kept.slots, give_up)
        if holder is None or kept.is_changing:
            found = self._write(leases, found, kept._replace(is_changing=True), give_up)
            holder = self._a_holder(kept.slots, give_up)
            stays = self._count if holder is None else kept.slots
            self._write(leases, found, Number(stays), give_up)
        if holder is not None and kept.slots != self._count:
            raise Trouble(
                "slots",
                f"--slots is {self._count}, but the replicas that hold slots now have --slots"
                f" {kept.slots}: {holder}",
                "set the same number for all, or end those first: this replica takes no slot until"
                " they have released theirs; if one is gone without that, kubectl delete lease",
            )

    def _a_holder(self, count: int, give_up: float) -> str | None:
        """Return who holds one of so many slots; None if nobody holds any."""
        for slot in range(count):
            name = self._name.of_slot(slot)
            with closing(Leases(self._cluster, name)) as leases:
                found = leases.get(_left(give_up))
            if found is not None and found.holder:
                return f"{found.holder} holds {name}"
        return None

    def _write(self, leases: Leases, found: Lease, kept: Number, give_up: float) -> Lease:
        return leases.put(keeping(found, self._name, kept), _left(give_up))


def _left(give_up: float) -> float:
    return max(0.1, give_up - time.monotonic())
