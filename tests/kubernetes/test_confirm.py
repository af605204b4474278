"""--confirm-lease with a real API server, and an elector that works as real ones do."""

import os

import pytest
import yaml
from kubernetes.cluster import LEASES, WORKER, Cluster
from kubernetes.running import Start

from leaderexec_elector.running import RunningElector

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("KUBE_APISERVER"), reason="KUBE_APISERVER is not set: make kubernetes"
    ),
    pytest.mark.timeout(180),
]
PODS = "/api/v1/namespaces/default/pods"
ME, RIVAL = "app-a", "app-b"
NAME = "confirmed"


def pod(cluster: Cluster, name: str) -> str:
    """Create a Pod; return its uid."""
    document = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "worker", "image": "none"}]},
    }
    status, made = cluster.ask("POST", PODS, document)
    assert status == 201, made
    return str(made["metadata"]["uid"])


def end(cluster: Cluster, name: str) -> None:
    """Report, as its kubelet would, that all its containers are terminated."""
    found = cluster.ask("GET", f"{PODS}/{name}")[1]
    found["status"]["containerStatuses"] = [
        {
            "name": "worker",
            "image": "none",
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": {"terminated": {"exitCode": 0}},
        }
    ]
    assert cluster.ask("PUT", f"{PODS}/{name}/status", found)[0] == 200


def lead(cluster: Cluster, elector: RunningElector, name: str, uid: str) -> int:
    """Recreate the Lease, for this Pod, and announce it; return its resourceVersion."""
    cluster.ask("DELETE", f"{LEASES}/{NAME}")
    document = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": NAME,
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}],
        },
        "spec": {"holderIdentity": name},
    }
    status, made = cluster.ask("POST", LEASES, document)
    assert status == 201, made
    elector.lead(name)
    return int(made["metadata"]["resourceVersion"])


def test_the_logged_role_gives_the_fence_and_the_shorter_delay(
    leaderexec: Start, cluster: Cluster, elector: RunningElector
) -> None:
    """Refused at first, with the Role; with it the fence is the Lease's, over TLS with a token, and
    a former leader whose containers are terminated is not waited for."""
    ours, theirs = pod(cluster, ME), pod(cluster, RIVAL)
    first = lead(cluster, elector, RIVAL, theirs)
    given = ("--sse-url", elector.sse_url, "--identity", ME, "--poll-interval", "500ms")
    wrapper = leaderexec(
        *(*given, "--confirm-lease", NAME, "--kubeconfig", cluster.kubeconfig(WORKER)),
        *("--grace-lost", "5s", "--takeover-delay", "auto", "--", "sleep", "100"),
    )
    remedy = wrapper.log("lease trouble", kind="forbidden")["remedy"]
    cluster.permit(NAME, yaml.safe_load(remedy[remedy.index("{") :]))
    assert wrapper.log("lease confirmed", leader=RIVAL)["fence"] == first
    end(cluster, RIVAL)
    second = lead(cluster, elector, ME, ours)
    assert "Pod has ended" in wrapper.log("takeover delay shortened")["reason"]
    assert wrapper.log("command started")["fence"] == second > first
    assert not wrapper.events("lease trouble", part="pod")
    third = lead(cluster, elector, ME, ours)
    assert wrapper.log("transition", to="stopping")["reason"] == (
        "leadership was acquired again: this is a new term"
    )
    assert wrapper.log("command started", term=2)["fence"] == third
