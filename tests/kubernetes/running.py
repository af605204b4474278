"""What the tests with a real API server start and query."""

from collections.abc import Callable
from typing import Any

from kubernetes.cluster import ADMIN, LEASES, Cluster
from support import Wrapper

Start = Callable[..., Wrapper]


def replica(
    start: Start, cluster: Cluster, lease: str, name: str, *more: str, token: str = ADMIN
) -> Wrapper:
    """Start a replica."""
    path = cluster.kubeconfig(token)
    given = ("--lease", lease, "--kubeconfig", path, "--identity", name)
    return start(*given, *more, "--", "sleep", "100")


def fence(wrapper: Wrapper, term: int = 1) -> int:
    """Wait for the command's start; return its fence."""
    return int(wrapper.log("command started", term=term)["fence"])


def spec(cluster: Cluster, lease: str) -> dict[str, Any]:
    """Return the Lease's specification."""
    found: dict[str, Any] = cluster.ask("GET", f"{LEASES}/{lease}")[1]["spec"]
    return found
