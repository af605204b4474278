"""The Lease with a real API server and etcd: `make kubernetes` builds one and needs the other.

KUBE_APISERVER is the path of the program; without it no test here runs.
"""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from kubernetes.cluster import LEASES, PODS, RBAC, WORKER, Cluster
from kubernetes.running import Start, fence, replica, spec
from support import LEADEREXEC, wait_for

PROGRAM = os.environ.get("KUBE_APISERVER", "")
pytestmark = [
    pytest.mark.skipif(not PROGRAM, reason="KUBE_APISERVER is not set: make kubernetes"),
    pytest.mark.timeout(180),
]
SHORT = (
    *("--lease-duration", "6s", "--renew-deadline", "3s", "--retry-period", "500ms"),
    *("--grace-lost", "1s"),
)


def test_leadership_is_handed_over(leaderexec: Start, cluster: Cluster, lease: str) -> None:
    """At once, with a greater fence, and one more transition."""
    first = replica(leaderexec, cluster, lease, "a")
    before = fence(first)
    second = replica(leaderexec, cluster, lease, "b")
    second.log("leadership confirmed")
    assert spec(cluster, lease)["leaseTransitions"] == 1
    first.send(signal.SIGTERM)
    first.wait()
    assert fence(second) > before
    assert spec(cluster, lease)["holderIdentity"] == "b"
    assert spec(cluster, lease)["leaseTransitions"] == 2
    assert not first.events("lease trouble")
    assert not second.events("lease trouble")


def test_after_a_kill_it_expires(leaderexec: Start, cluster: Cluster, lease: str) -> None:
    """And the other replica takes it."""
    first = replica(leaderexec, cluster, lease, "a", *SHORT)
    before = fence(first)
    second = replica(leaderexec, cluster, lease, "b", *SHORT)
    second.log("leadership confirmed")
    first.send(signal.SIGKILL)
    first.wait()
    assert fence(second) > before


def test_a_deleted_lease_is_recreated(leaderexec: Start, cluster: Cluster, lease: str) -> None:
    """By its holder; the fence is greater although the Lease starts over."""
    first = replica(leaderexec, cluster, lease, "a")
    before = fence(first)
    assert cluster.ask("DELETE", f"{LEASES}/{lease}")[0] == 200
    assert fence(first, term=2) > before
    assert spec(cluster, lease)["leaseTransitions"] == 0


def test_the_logged_role_is_what_was_missing(
    leaderexec: Start, cluster: Cluster, lease: str
) -> None:
    """Applied unchanged, and bound, it lets the replica lead and watch."""
    wrapper = replica(leaderexec, cluster, lease, "a", token=WORKER)
    remedy = wrapper.log("lease trouble", kind="forbidden")["remedy"]
    cluster.permit(lease, yaml.safe_load(remedy[remedy.index("{") :]))
    fence(wrapper)


def test_the_role_that_check_prints_is_enough(
    run: Callable[..., subprocess.CompletedProcess[str]], cluster: Cluster, lease: str
) -> None:
    """By the API server's own review, before and after."""
    words = ("--lease", lease, "--kubeconfig", cluster.kubeconfig(WORKER), "--check")
    before = run(LEADEREXEC, *words)
    assert before.returncode == 125
    for verb in ("get", "update", "watch"):
        assert f"right to {verb} the lease default/{lease}: no" in before.stdout
    (line,) = (line for line in before.stdout.splitlines() if line.startswith("the Role"))
    cluster.permit(lease, yaml.safe_load(line.partition("kubectl apply -f -: ")[2]))
    wait_for(lambda: run(LEADEREXEC, *words).returncode == 0, "the rights")
    after = run(LEADEREXEC, *words)
    assert after.stdout.count(f"the lease default/{lease}: yes") == 4


def test_the_leaders_pod_is_labelled(leaderexec: Start, cluster: Cluster, lease: str) -> None:
    """Once the logged Role is bound; and no longer at the end. An earlier leader's label is
    removed, and all other labels stay."""
    mark = {"leaderexec/labelled": f"set 2026-11-27T01:02:03.000004Z default/{lease} 1"}
    label = {"app": "worker", "example.com/role": "leader"}
    for metadata in (
        {"name": "labelled", "labels": {"app": "worker"}},
        {"name": "lost", "labels": label, "annotations": mark},
    ):
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {"containers": [{"name": "worker", "image": "worker:1"}]},
        }
        assert cluster.ask("POST", PODS, pod)[0] == 201

    def labels(name: str) -> dict[str, str]:
        found: dict[str, str] = cluster.ask("GET", f"{PODS}/{name}")[1]["metadata"]["labels"]
        return found

    more = ("--leader-label", "example.com/role=leader")
    wrapper = replica(leaderexec, cluster, lease, "labelled", *more, token=WORKER)
    remedy = wrapper.log("lease trouble", kind="forbidden")["remedy"]
    cluster.permit(lease, yaml.safe_load(remedy[remedy.index("{") :]))
    remedy = wrapper.log("label trouble", kind="forbidden")["remedy"]
    fence(wrapper)
    cluster.permit(f"{lease}-label", yaml.safe_load(remedy[remedy.index("{") :]))
    # If forbidden, it is retried after a minute, or when the label should change.
    cluster.edit(lease, holderIdentity="x", leaseDurationSeconds=1)
    wrapper.log("leader label set")
    wrapper.log("leader label removed", pod="lost")
    assert (labels("labelled"), labels("lost")) == (label, {"app": "worker"})
    wrapper.send(signal.SIGTERM)
    wrapper.wait()
    assert labels("labelled") == {"app": "worker"}
    assert wrapper.events("leader label removed", pod="labelled")


def test_an_unknown_token_is_logged(leaderexec: Start, cluster: Cluster, lease: str) -> None:
    """With 401."""
    wrapper = replica(leaderexec, cluster, lease, "a", token="unknown")  # noqa: S106 - a test's
    assert "401" in wrapper.log("lease trouble", kind="unauthorized")["reason"]


def test_while_the_api_server_is_unreachable_the_command_is_stopped(
    leaderexec: Start, cluster: Cluster, lease: str
) -> None:
    """At the deadline; afterwards it is another term with a greater fence."""
    wrapper = replica(leaderexec, cluster, lease, "a", *SHORT)
    before = fence(wrapper)
    cluster.stop()
    wrapper.log("command ended")
    cluster.start()
    assert fence(wrapper, term=2) > before


@pytest.mark.parametrize(
    "name", [f"examples/kubernetes/{name}.yaml" for name in ("lease", "leader-label", "migration")]
)
def test_the_example_is_accepted(cluster: Cluster, name: str) -> None:
    """Each of its objects, without unknown fields."""
    _accept(cluster, (Path(__file__).parents[2] / name).read_text())


@pytest.mark.parametrize("kind", ["lease", "elector"])
def test_the_output_of_manifest_is_accepted(
    run: Callable[..., subprocess.CompletedProcess[str]], cluster: Cluster, kind: str
) -> None:
    """As it would be by kubectl apply."""
    words = (
        "--manifest",
        kind,
        "--lease",
        "printed",
        "--http",
        ":8080",
        "--",
        "sh",
        "-c",
        "a\n$(B)",
    )
    _accept(cluster, run(LEADEREXEC, *words).stdout)


def _accept(cluster: Cluster, text: str) -> None:
    resources = {
        "Service": "/api/v1/namespaces/default/services",
        "ServiceAccount": "/api/v1/namespaces/default/serviceaccounts",
        "Role": f"{RBAC}/roles",
        "RoleBinding": f"{RBAC}/rolebindings",
        "Lease": LEASES,
        "Deployment": "/apis/apps/v1/namespaces/default/deployments",
        "PodDisruptionBudget": "/apis/policy/v1/namespaces/default/poddisruptionbudgets",
    }
    for document in yaml.safe_load_all(text):
        path = f"{resources[document['kind']]}?dryRun=All&fieldValidation=Strict"
        wait_for(
            lambda path=path, document=document: cluster.ask("POST", path, document)[0] == 201,  # type: ignore[misc]
            document["kind"],
        )


def test_slots_are_held_by_different_replicas_and_handed_over(
    leaderexec: Start, cluster: Cluster, lease: str
) -> None:
    """Each by its own Lease, which did not exist; the named one keeps their number."""
    words = ("--slots", "2", *SHORT)
    leaders = [replica(leaderexec, cluster, lease, name, *words) for name in "ab"]
    slots = [one.log("command started")["slot"] for one in leaders]
    assert sorted(slots) == [0, 1]
    assert spec(cluster, lease)["holderIdentity"] == "2 slots"
    third = replica(leaderexec, cluster, lease, "c", *words)
    third.log("no slot is free")
    before = fence(leaders[0])
    leaders[0].send(signal.SIGTERM)
    leaders[0].wait()
    assert fence(third) > before
    assert third.log("command started")["slot"] == slots[0]
    assert spec(cluster, f"{lease}-{slots[0]}")["holderIdentity"] == "c"
    leaders[1].send(signal.SIGTERM)
    leaders[1].wait()
    other = replica(leaderexec, cluster, lease, "d", "--slots", "1", *SHORT)
    other.log("lease trouble", kind="slots")
    third.send(signal.SIGTERM)
    third.wait()
    assert other.log("command started")["slot"] == 0
    assert spec(cluster, lease)["holderIdentity"] == "1 slot"
