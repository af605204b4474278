"""Which Pod owns an elector's Lease, and what proves that it has ended."""

import copy
from typing import Any

import pytest

from leaderexec.core.events import Pod
from leaderexec.election.elector.owner import has_ended, owner, uid_of
from leaderexec.election.lease.record import Lease, read

UID = "1234"
ENDED: dict[str, Any] = {"terminated": {"exitCode": 0, "reason": "Completed"}}
POD: dict[str, Any] = {
    "kind": "Pod",
    "metadata": {"name": "app-a", "uid": UID},
    "spec": {
        "initContainers": [{"name": "elector", "restartPolicy": "Always"}],
        "containers": [{"name": "app"}, {"name": "sidecar"}],
    },
    "status": {
        "phase": "Running",
        "initContainerStatuses": [{"name": "elector", "state": ENDED}],
        "containerStatuses": [
            {"name": "app", "state": ENDED},
            {"name": "sidecar", "state": ENDED},
        ],
    },
}


def lease(references: object, **metadata: object) -> Lease:
    """Return a Lease with these owners."""
    return read(
        {
            "kind": "Lease",
            "metadata": {"resourceVersion": "7", "ownerReferences": references, **metadata},
        }
    )


def test_the_owner_is_the_one_pod() -> None:
    """By its full name."""
    name = "x" * 70
    found = lease([{"kind": "Pod", "name": name, "uid": UID}, {"kind": "Other"}], uid="lease")
    assert owner(found) == Pod(name, UID)
    assert uid_of(found) == "lease"


@pytest.mark.parametrize(
    "references",
    [
        None,
        [],
        "x",
        [7],
        [{"kind": "ReplicaSet", "name": "a", "uid": "1"}],
        [{"kind": "Pod", "name": "a"}],
        [{"kind": "Pod", "uid": "1", "name": 7}],
        [{"kind": "Pod", "name": "a", "uid": "1"}, {"kind": "Pod", "name": "b", "uid": "2"}],
    ],
)
def test_without_just_one_pod_there_is_no_owner(references: object) -> None:
    """Then no Pod proves anything."""
    assert owner(lease(references)) is None
    assert uid_of(lease(references)) == ""


def test_a_pod_has_ended_when_all_of_its_containers_are_terminated() -> None:
    """Sidecars, too."""
    assert has_ended(POD, UID)


@pytest.mark.parametrize("uid", ["4321", ""])
def test_a_pod_of_the_same_name_with_another_uid_is_another_pod(uid: str) -> None:
    """StatefulSets reuse names."""
    assert not has_ended(POD, uid)


@pytest.mark.parametrize("kind", ["initContainerStatuses", "containerStatuses"])
@pytest.mark.parametrize(
    "state", [{"running": {}}, {"waiting": {"reason": "CrashLoopBackOff"}}, {}, None]
)
def test_a_pod_with_one_container_not_terminated_has_not_ended(kind: str, state: object) -> None:
    """Whatever the phase is: for a lost node the control plane writes it."""
    pod = copy.deepcopy(POD)
    pod["status"][kind][0]["state"] = state
    pod["status"]["phase"] = "Failed"
    assert not has_ended(pod, UID)


def test_a_container_without_a_status_may_be_running() -> None:
    """It may have been added later, for debugging."""
    pod = copy.deepcopy(POD)
    pod["spec"]["ephemeralContainers"] = [{"name": "debug"}]
    assert not has_ended(pod, UID)
    pod["status"]["ephemeralContainerStatuses"] = [{"name": "debug", "state": ENDED}]
    assert has_ended(pod, UID)


@pytest.mark.parametrize("pod", [None, [], "x", {}, {"metadata": {"uid": UID}}])
def test_a_malformed_pod_has_not_ended(pod: object) -> None:
    """Nor has a Pod that is gone."""
    assert not has_ended(pod, UID)
