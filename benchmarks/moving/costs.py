"""What a leader and standbys cost: memory, CPU time, bytes on the wire, requests."""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import NamedTuple

from kubernetes.cluster import LEASES, Cluster
from moving.candidates import Candidate
from moving.network import Host

Make = Callable[[str, str, Host], Candidate]
_PATIENCE = 120.0


class Cost(NamedTuple):
    """Of one process: resident bytes, nanoseconds of CPU time, and bytes on its host's
    wire."""

    resident: int
    busy: int
    octets: int


def cost(candidate: Candidate) -> Cost:
    """Return its costs so far, and its current memory."""
    pid = candidate.process.pid
    with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
        resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    busy = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as schedstat:
            busy += int(schedstat.read().split()[0])
    return Cost(resident, busy, candidate.host.octets())


def of_pairs(
    kinds: dict[str, Make], hosts: Iterator[Host], seconds: float
) -> list[tuple[str, str, Cost]]:
    """Return for each kind what a leader and a standby cost in this many seconds, all at once."""
    found = []
    with ExitStack() as stack:
        pairs = []
        for number, (kind, make) in enumerate(kinds.items()):
            for role in ("leader", "standby"):
                candidate = make(f"cost-{number}", role, next(hosts))
                stack.enter_context(_running(candidate))
                if role == "leader":
                    wait(lambda one=candidate: _holder(one) == one.name)  # type: ignore[misc]
                pairs.append((kind, role, candidate))
        # The start and the first renewal don't count.
        time.sleep(10)
        before = [cost(candidate) for _, _, candidate in pairs]
        time.sleep(seconds)
        for (kind, role, candidate), then in zip(pairs, before, strict=True):
            now = cost(candidate)
            found.append(
                (kind, role, Cost(now.resident, now.busy - then.busy, now.octets - then.octets))
            )
    return found


def requests(make: Make, lease: str, hosts: Sequence[Host], count: int, seconds: float) -> int:
    """Return how many requests of this many standbys on the second host reached the API server in
    this many seconds, without those of the leader on the first host, by the server's audit log."""
    with ExitStack() as stack:
        leader = make(lease, "leader", hosts[0])
        stack.enter_context(_running(leader))
        wait(lambda: _holder(leader) == leader.name)
        standbys = []
        for number in range(count):
            standby = make(lease, f"standby-{number}", hosts[1])
            stack.enter_context(_running(standby))
            standbys.append(standby)
            if number % 5 == 4:  # noqa: PLR2004 - so that they don't all start at once
                wait(standby.is_ready)
        for standby in standbys:
            wait(standby.is_ready)
        time.sleep(10)
        began = leader.site.cluster.audit_log.stat().st_size
        time.sleep(seconds)
        return _asked(leader.site.cluster, began, hosts[1].address)


def _asked(cluster: Cluster, since: int, by: str) -> int:
    with cluster.audit_log.open("rb") as log:
        log.seek(since)
        lines = [json.loads(line) for line in log if line.endswith(b"\n")]
    return sum(by in line["sourceIPs"] for line in lines)


def _holder(candidate: Candidate) -> str:
    found = candidate.site.cluster.ask("GET", f"{LEASES}/{candidate.lease}")[1]
    return str(found.get("spec", {}).get("holderIdentity", ""))


@contextmanager
def _running(candidate: Candidate) -> Iterator[None]:
    empty = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": candidate.lease},
    }
    candidate.site.cluster.ask("POST", LEASES, empty)
    candidate.start()
    with closing(candidate):
        yield


def wait(condition: Callable[[], object]) -> None:
    """Wait until the condition is true."""
    give_up = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > give_up:
            raise TimeoutError("a candidate did not begin to campaign")
        time.sleep(0.05)
