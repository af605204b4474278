"""The account's permissions for the Lease, by the API server's own review, for ``--check``.

The review (SelfSubjectAccessReview) changes nothing, and every account may request it unless
that was disabled: then this is reported, and only reading the Lease is tried.
"""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from leaderexec.election.complaints import Trouble
from leaderexec.election.lease import roles
from leaderexec.election.lease.answers import CREATED, OK, message, reading_role, role
from leaderexec.election.lease.client import Api, Leases
from leaderexec.election.lease.cluster import Cluster
from leaderexec.election.lease.record import API_VERSION, Name

_API = "authorization.k8s.io/v1"
_VERBS = ("get", "update", "create", "watch")
_WITHIN = 10.0


class _NoReview(Exception):
    """The review itself was refused, or is invalid."""


def inspect(cluster: Cluster, name: Name) -> Iterator[tuple[str, bool]]:
    """Yield a line for each permission, whether it suffices, and the Role if any is missing."""
    give_up = time.monotonic() + _WITHIN
    missing = False
    with closing(Leases(cluster, name)) as leases:
        try:
            for verb in _VERBS:
                if _may(leases, cluster, name, verb, give_up):
                    yield f"right to {verb} the lease {name}: yes", True
                else:
                    missing = True
                    yield _without(leases, name, verb, give_up)
        except (_NoReview, Trouble) as error:
            line = (
                f"rights for the lease {name}: unknown, {error}; whether it can be read is tried"
                " below, and other missing rights are logged at run time (lease trouble)"
            )
            yield line, True
    if missing:
        yield f"the Role for all of it, for kubectl apply -f -: {role(name)}", True


def inspect_reading(cluster: Cluster, name: Name) -> Iterator[tuple[str, bool]]:
    """Yield what this account may read of an elector's Lease, the Role if any right is missing, and
    who holds the Lease."""
    give_up = time.monotonic() + _WITHIN
    missing = False
    pods = {"group": "", "resource": "pods", "namespace": name.namespace, "verb": "get"}
    with closing(Leases(cluster, name, reading_role)) as leases:
        for what, about, without in (
            (f"the lease {name}", _about(name, "get"), "only the elector's word counts"),
            (f"pods in {name.namespace}", pods, "no --takeover-delay is shortened by them"),
        ):
            try:
                allowed = _allows(leases, cluster, about, give_up)
            except (_NoReview, Trouble) as error:
                yield f"right to get {what}: unknown, {error}", True
                continue
            missing = missing or not allowed
            consequence = "yes" if allowed else f"no; {without}"
            yield f"right to get {what}: {consequence}", allowed or about is pods
        if missing:
            yield f"the Role for all of it, for kubectl apply -f -: {reading_role(name)}", True
        try:
            found = leases.get(_left(give_up))
        except Trouble as error:
            yield f"lease {name}: {error}; {error.remedy}", False
            return
    if found is None:
        yield f"lease {name}: there is none; check its name, or wait for the elector", False
        return
    yield f"lease {name}: {found.holder or 'nobody'} holds it, with fence {found.version}", True


def _without(leases: Leases, name: Name, verb: str, give_up: float) -> tuple[str, bool]:
    """Return the consequence of a missing permission."""
    line = f"right to {verb} the lease {name}: no"
    if verb == "watch":
        return f"{line}; it is polled every --retry-period instead", True
    if verb == "create":
        try:
            there = leases.get(_left(give_up)) is not None
        except Trouble:
            return f"{line}; it can only lead if the Lease exists", True
        if there:
            return f"{line}; not needed, as it exists (unless it is deleted)", True
        return f"{line}, and there is none: no replica can lead", False
    return f"{line}: this replica can't lead", False


def inspect_label(cluster: Cluster, pod: str) -> Iterator[tuple[str, bool]]:
    """Yield the same for what --leader-label needs: to read and to change this replica's Pod."""
    give_up = time.monotonic() + _WITHIN
    missing = False
    with closing(Api(cluster)) as api:
        try:
            about = {"group": "", "resource": "pods", "namespace": cluster.namespace}
            for verb in ("get", "patch"):
                allowed = _allows(api, cluster, {**about, "verb": verb, "name": pod}, give_up)
                missing = missing or not allowed
                without = "yes" if allowed else "no: --leader-label has no effect"
                yield f"right to {verb} the pod {cluster.namespace}/{pod}: {without}", allowed
            allowed = _allows(api, cluster, {**about, "verb": "list"}, give_up)
            missing = missing or not allowed
            without = "yes" if allowed else "no: the label of a leader that was lost stays for long"
            yield f"right to list the pods in {cluster.namespace}: {without}", True
        except (_NoReview, Trouble) as error:
            yield f"rights for the pod {cluster.namespace}/{pod}: unknown, {error}", True
    if missing:
        role = roles.label_role(cluster.namespace)
        yield f"the Role for --leader-label, for kubectl apply -f -: {role}", True


def _may(leases: Leases, cluster: Cluster, name: Name, verb: str, give_up: float) -> bool:
    return _allows(leases, cluster, _about(name, verb), give_up)


def _about(name: Name, verb: str) -> dict[str, str]:
    about = {
        "group": API_VERSION.partition("/")[0],
        "resource": "leases",
        "namespace": name.namespace,
        "verb": verb,
    }
    # For the API server, an object that is to be created has no name yet.
    if verb != "create":
        about["name"] = name.name
    return about


def _allows(api: Api, cluster: Cluster, about: dict[str, str], give_up: float) -> bool:
    asked = {
        "apiVersion": _API,
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": about},
    }
    path = f"{cluster.path}/apis/{_API}/selfsubjectaccessreviews"
    status, _, body = api.exchange("POST", path, asked, _left(give_up))
    if status not in (OK, CREATED):
        raise _NoReview(f"as the API server responded to the review with {status}: {message(body)}")
    try:
        found: Any = json.loads(body)
        allowed = found["status"]["allowed"]
    except (ValueError, LookupError, TypeError, RecursionError):
        allowed = None
    if not isinstance(allowed, bool):
        raise _NoReview(f"as the response is not a review: {message(body)}")
    return allowed


def _left(give_up: float) -> float:
    return max(0.1, give_up - time.monotonic())
