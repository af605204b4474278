"""A real cluster, and a Lease in it."""

import os
from collections.abc import Iterator

import pytest
from kubernetes.cluster import LEASES, Cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster."""
    with Cluster(os.environ["KUBE_APISERVER"], tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def lease(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    """A free Lease, as a manifest creates it."""
    name = request.node.name.replace("_", "-")
    document = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name},
    }
    assert cluster.ask("POST", LEASES, document)[0] == 201
    return str(name)
