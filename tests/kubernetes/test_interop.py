"""leaderexec and client-go's leaderelection compete for one Lease."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from time import monotonic

import pytest
from kubernetes.cluster import ADMIN, LEASES, Cluster
from kubernetes.running import Start, fence, replica, spec

RIVAL = os.environ.get("KUBE_RIVAL", "")
pytestmark = [
    pytest.mark.skipif(not RIVAL, reason="KUBE_RIVAL is not set: make kubernetes"),
    pytest.mark.timeout(240),
]
HAND_OVERS = 20


@contextmanager
def rival(cluster: Cluster, lease: str, name: str) -> Iterator[subprocess.Popen[str]]:
    """Run a client-go candidate that has begun to compete."""
    command = [RIVAL, "--server", cluster.url, "--token", ADMIN, "--ca", cluster.authority]
    with subprocess.Popen(
        [*command, "--lease", lease, "--identity", name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            assert running.stderr
            assert "attempting to acquire" in running.stderr.readline().lower()
            yield running
        finally:
            running.kill()


def test_twenty_hand_overs_each_way(leaderexec: Start, cluster: Cluster, lease: str) -> None:
    """Each counts as a transition, each of our terms has a greater fence, and no replica waits for
    an expiry."""
    fences, to_ours, to_theirs = [], [], []
    ours = replica(leaderexec, cluster, lease, "ours-0")
    fences.append(fence(ours))
    before = spec(cluster, lease)["leaseTransitions"]
    for number in range(HAND_OVERS):
        with rival(cluster, lease, f"theirs-{number}") as theirs:
            assert theirs.stdout
            ours.process.terminate()
            ours.wait()
            began = monotonic()
            assert theirs.stdout.readline() == "leads\n"
            to_theirs.append(monotonic() - began)
            ours = replica(leaderexec, cluster, lease, f"ours-{number + 1}")
            ours.log("leadership confirmed")
            assert not ours.events("command started")
            theirs.terminate()
            assert theirs.stdout.readline() == "stopped\n"
            began = monotonic()
            fences.append(fence(ours))
            to_ours.append(monotonic() - began)
    assert fences == sorted(set(fences))
    assert spec(cluster, lease)["leaseTransitions"] == before + 2 * HAND_OVERS
    print(
        f"to client-go: median {median(to_theirs):.2f} s, worst {max(to_theirs):.2f} s;"
        f" to leaderexec: median {median(to_ours):.3f} s, worst {max(to_ours):.3f} s"
    )


def test_emptying_a_lease_that_we_hold_is_noticed_at_once(
    leaderexec: Start, cluster: Cluster, lease: str
) -> None:
    """As client-go's release can do to another's: the command is stopped, and what starts then is
    a new term."""
    ours = replica(leaderexec, cluster, lease, "ours")
    first = fence(ours)
    found = cluster.ask("GET", f"{LEASES}/{lease}")[1]
    found["spec"]["holderIdentity"] = ""
    assert cluster.ask("PUT", f"{LEASES}/{lease}", found)[0] == 200
    ours.log("transition", to="stopping")
    assert fence(ours, term=2) > first
