"""The manifests are valid by Kubernetes' own schemas, and keep what their comments promise."""

import copy
from typing import Any

import pytest
from examples.reading import Document, configured, documents, environment, faults, of_kind, schema

from leaderexec.core.run import KILL_PATIENCE

WORKER = "kubernetes/worker.yaml"
LEADER_ONLY = "kubernetes/leader-only-service.yaml"
RBAC = "kubernetes/rbac.yaml"
LEASE = "kubernetes/lease.yaml"
LABEL = "kubernetes/leader-label.yaml"
PEERS = "kubernetes/peers.yaml"
MIGRATION = "kubernetes/migration.yaml"
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a folder
# The first with native sidecars, and a newer one.
VERSIONS = ("1.29", "1.34")

each_deployment = pytest.mark.parametrize(
    "deployment", of_kind("Deployment", WORKER, LEADER_ONLY), ids=lambda it: it["metadata"]["name"]
)


def pod_of(deployment: Document) -> Document:
    """Return the pod's specification."""
    pod = deployment["spec"]["template"]["spec"]
    assert isinstance(pod, dict)
    return pod


def containers_of(deployment: Document) -> list[Document]:
    """Return all containers, the native sidecar first."""
    pod = pod_of(deployment)
    return [*pod["initContainers"], *pod["containers"]]


def faults_of(document: Document, version: str) -> list[str]:
    """Return what the API server of that version would refuse, unknown fields included."""
    kubernetes = schema(f"kubernetes-{version}")
    root = kubernetes.pop("kinds")[f"{document['apiVersion']}/{document['kind']}"]
    return faults(document, {**kubernetes, "$ref": root})


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", [WORKER, LEADER_ONLY, RBAC, LEASE, LABEL, PEERS, MIGRATION])
def test_every_object_is_valid(name: str, version: str) -> None:
    """By the API server's own schemas, without unknown fields."""
    for document in documents(name):
        assert faults_of(document, version) == []


def test_the_schemas_detect_a_misspelt_field() -> None:
    """A check of the test above."""
    (deployment,) = of_kind("Deployment", WORKER)
    broken = copy.deepcopy(deployment)
    pod_of(broken)["terminationGracePeriod"] = 40
    (fault,) = faults_of(broken, VERSIONS[-1])
    assert "'terminationGracePeriod' was unexpected" in fault


@each_deployment
def test_the_pod_waits_longer_than_leaderexec(deployment: Document) -> None:
    """Hook, grace and the KILL's own time fit, with seconds to spare for the sidecar."""
    pod = pod_of(deployment)
    (container,) = pod["containers"]
    settings = configured(container["command"] + container["args"], environment(container))
    hook = container.get("lifecycle", {}).get("preStop", {}).get("exec", {})
    before = float(hook["command"][1]) if hook else 0.0
    least = before + settings.grace + KILL_PATIENCE
    assert pod["terminationGracePeriodSeconds"] > least


@each_deployment
def test_two_commands_never_overlap(deployment: Document) -> None:
    """The takeover delay covers the peers' grace, and a second for the KILL."""
    (container,) = pod_of(deployment)["containers"]
    settings = configured(container["command"] + container["args"], environment(container))
    assert settings.election == "elector"
    assert settings.takeover_delay >= settings.grace_lost + 1


@each_deployment
def test_the_elector_listens_at_the_address_in_the_variables(deployment: Document) -> None:
    """It is a native sidecar, which outlives the command."""
    (elector,) = pod_of(deployment)["initContainers"]
    (container,) = pod_of(deployment)["containers"]
    assert elector["restartPolicy"] == "Always"
    listens = next(word for word in elector["args"] if word.startswith("--http="))
    address = listens.partition("=")[2]
    variables = environment(container)
    assert variables["ELECTOR_PATH"] == address
    assert variables["ELECTOR_GET_URL"] == f"http://{address}/"
    assert variables["ELECTOR_SSE_URL"] == f"http://{address}/sse"
    assert f"--election={deployment['metadata']['name']}" in elector["args"]


@each_deployment
def test_only_the_elector_gets_the_token(deployment: Document) -> None:
    """An attacker in the command's container finds no credentials."""
    pod = pod_of(deployment)
    assert pod["automountServiceAccountToken"] is False
    tokens = [
        volume["name"]
        for volume in pod["volumes"]
        for source in volume.get("projected", {}).get("sources", [])
        if "serviceAccountToken" in source
    ]
    assert len(tokens) == 1
    holders = {
        container["name"]: mount["mountPath"]
        for container in containers_of(deployment)
        for mount in container["volumeMounts"]
        if mount["name"] in tokens
    }
    assert holders == {"elector": TOKEN}


@each_deployment
def test_every_container_is_locked_down(deployment: Document) -> None:
    """It meets the restricted Pod Security Standard, and has a read-only root."""
    pod = pod_of(deployment)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers_of(deployment):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]


@each_deployment
def test_labels_and_selectors_agree(deployment: Document) -> None:
    """Pods, spread, budget and Service all select the same pods."""
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    for spread in pod_of(deployment)["topologySpreadConstraints"]:
        assert spread["labelSelector"]["matchLabels"] == labels
    name = deployment["metadata"]["name"]
    for other in (
        *of_kind("PodDisruptionBudget", WORKER, LEADER_ONLY),
        *of_kind("Service", WORKER, LEADER_ONLY),
    ):
        if other["metadata"]["name"] == name:
            selector = other["spec"]["selector"]
            assert selector.get("matchLabels", selector) == labels


@each_deployment
def test_liveness_never_depends_on_leadership(deployment: Document) -> None:
    """A standby is alive; and the probes' port is the one that leaderexec serves."""
    (container,) = pod_of(deployment)["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    served = int(environment(container)["LEADEREXEC_HTTP"].rpartition(":")[2])
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe in ("livenessProbe", "readinessProbe"):
        assert ports[container[probe]["httpGet"]["port"]] == served


def test_the_account_is_the_one_that_the_pods_use() -> None:
    """Role, binding and account belong together, and the pods name that account."""
    (account,) = of_kind("ServiceAccount", RBAC)
    (role,) = of_kind("Role", RBAC)
    (binding,) = of_kind("RoleBinding", RBAC)
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert [subject["name"] for subject in binding["subjects"]] == [account["metadata"]["name"]]
    for deployment in of_kind("Deployment", WORKER, LEADER_ONLY):
        assert pod_of(deployment)["serviceAccountName"] == account["metadata"]["name"]


def test_the_role_is_small() -> None:
    """Leases, and what an owner reference needs; nothing can be deleted, no secret can be read."""
    (role,) = of_kind("Role", RBAC)
    granted = {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert granted == {
        ("coordination.k8s.io", "leases"): {"get", "list", "watch", "create"},
        ("", "pods"): {"get"},
        ("", "pods/finalizers"): {"update"},
    }


def unavailable(strategy: Document, replicas: int) -> int:
    """Return how many pods may be unavailable in a rollout; Kubernetes rounds down."""
    value: Any = strategy["rollingUpdate"]["maxUnavailable"]
    return replicas * int(value[:-1]) // 100 if isinstance(value, str) else int(value)


@each_deployment
def test_a_rollout_can_complete(deployment: Document) -> None:
    """The old leader's pod may go although only as many new pods are ready as possible.

    If readiness depends on /leader no second pod is ever ready, so all may be unavailable.
    """
    spec = deployment["spec"]
    (container,) = pod_of(deployment)["containers"]
    path = container["readinessProbe"]["httpGet"]["path"]
    allowed = unavailable(spec["strategy"], spec["replicas"])
    if path == "/leader":
        assert allowed == spec["replicas"]
        assert spec["progressDeadlineSeconds"] == 2**31 - 1
    else:
        assert path == "/readyz"
        assert allowed == 0
        assert spec["strategy"]["rollingUpdate"]["maxSurge"] > 0


def test_a_budget_never_blocks_a_drain() -> None:
    """Every budget lets one ready pod go; none covers pods of which only one is ever ready."""
    budgets = of_kind("PodDisruptionBudget", WORKER, LEADER_ONLY)
    assert [budget["metadata"]["name"] for budget in budgets] == ["worker"]
    assert budgets[0]["spec"]["maxUnavailable"] == 1


def test_with_a_lease_account_role_lease_and_option_match() -> None:
    """There is one name throughout, the necessary rights and no more, and a grace that fits."""
    (deployment,) = of_kind("Deployment", LEASE)
    (role,) = of_kind("Role", LEASE)
    (binding,) = of_kind("RoleBinding", LEASE)
    (account,) = of_kind("ServiceAccount", LEASE)
    (lease,) = of_kind("Lease", LEASE)
    pod = pod_of(deployment)
    (container,) = pod["containers"]
    given = environment(container)
    settings = configured(container["command"] + container["args"], given)
    assert settings.election == "lease"
    name = given["LEADEREXEC_LEASE"]
    assert lease["metadata"]["name"] == name
    assert "spec" not in lease
    named, any_name = role["rules"]
    assert (named["resourceNames"], named["verbs"]) == ([name], ["get", "update", "watch"])
    assert any_name["verbs"] == ["create"]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert [subject["name"] for subject in binding["subjects"]] == [pod["serviceAccountName"]]
    assert account["metadata"]["name"] == pod["serviceAccountName"]
    assert pod["automountServiceAccountToken"] is True
    assert pod["terminationGracePeriodSeconds"] > settings.grace + KILL_PATIENCE + 3


def test_the_name_for_all_replicas_has_the_workers_pods_ready_or_not() -> None:
    """On the port that they serve; the one to look for is the one that is not ready."""
    (service,) = documents(PEERS)
    (deployment,) = of_kind("Deployment", WORKER)
    spec = service["spec"]
    assert spec["clusterIP"] == "None"
    assert spec["publishNotReadyAddresses"] is True
    assert spec["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    (port,) = spec["ports"]
    worker = containers_of(deployment)[-1]
    assert environment(worker)["LEADEREXEC_HTTP"] == f":{port['port']}"


def test_a_migration_runs_once_per_image_and_only_it_gets_the_token() -> None:
    """The key is the image's tag; account, Role, Lease and option match, and the Role is small."""
    (deployment,) = of_kind("Deployment", MIGRATION)
    pod = pod_of(deployment)
    (migrate,), (app,) = pod["initContainers"], pod["containers"]
    settings = configured(migrate["command"] + migrate["args"], environment(migrate))
    assert settings.election == "lease"
    assert settings.done_key == migrate["image"].rpartition(":")[2]
    assert app["image"] == migrate["image"]
    assert pod["terminationGracePeriodSeconds"] > settings.grace + KILL_PATIENCE + 3
    (lease,) = of_kind("Lease", MIGRATION)
    (role,) = of_kind("Role", MIGRATION)
    (binding,) = of_kind("RoleBinding", MIGRATION)
    (account,) = of_kind("ServiceAccount", MIGRATION)
    name = environment(migrate)["LEADEREXEC_LEASE"]
    assert lease["metadata"]["name"] == name
    assert "spec" not in lease
    (rule,) = role["rules"]
    assert (rule["resourceNames"], rule["verbs"]) == ([name], ["get", "update", "watch"])
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert [subject["name"] for subject in binding["subjects"]] == [pod["serviceAccountName"]]
    assert account["metadata"]["name"] == pod["serviceAccountName"]
    assert pod["automountServiceAccountToken"] is False
    mounted = {
        one["name"]: [at["mountPath"] for at in one["volumeMounts"]] for one in (migrate, app)
    }
    assert [name for name, paths in mounted.items() if TOKEN in paths] == ["migrate"]
