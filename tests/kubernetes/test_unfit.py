"""A leader that is unfit, as in tests/e2e, with a real Lease."""

import os
import re

import pytest
from e2e.test_health import (  # noqa: F401 - they are tests
    test_a_crash_loop_moves_after_so_many_ends,
    test_a_leader_that_hangs_loses_leadership,
    test_a_leader_that_is_stuck_loses_the_lead,
    test_if_no_replica_is_fit_they_take_turns,
)
from kubernetes.cluster import ADMIN, LEASES, Cluster

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("KUBE_APISERVER"), reason="KUBE_APISERVER is not set: make kubernetes"
    ),
    pytest.mark.timeout(180),
]


@pytest.fixture
def election(cluster: Cluster, request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The options of an election by a free Lease."""
    name = re.sub("[^a-z]+", "-", request.node.name).strip("-")
    document = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name},
    }
    assert cluster.ask("POST", LEASES, document)[0] == 201
    return ("--lease", name, "--kubeconfig", cluster.kubeconfig(ADMIN))
