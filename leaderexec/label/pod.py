"""This replica's own Pod, read and labelled by JSON merge patches (RFC 7386)."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from leaderexec.config.options import Label
from leaderexec.election.complaints import Trouble
from leaderexec.election.lease import roles
from leaderexec.election.lease.answers import OK, message, pause_of
from leaderexec.election.lease.client import Api
from leaderexec.election.lease.cluster import Cluster

# It says that the label is leaderexec's own, not the template's, and changes with each write.
MARK = "leaderexec/labelled"
_MERGE_PATCH = "application/merge-patch+json"
_CONFLICT, _NOT_FOUND = 409, 404


class Conflict(Exception):
    """The Pod has changed since it was read."""


class Refused(Trouble):
    """The API server will not do it: whatever it was, it has changed nothing."""


class Seen(NamedTuple):
    """The Pod as it was: its version, and whether it has the label, with any value."""

    version: str
    is_on: bool


class Pod:
    """The Pod of this name, in the account's own namespace."""

    def __init__(self, cluster: Cluster, name: str, uid: str | None, label: Label) -> None:
        """`uid`: that of the Pod, if it is known; a StatefulSet uses names again."""
        self.name = name
        self._uid = uid
        self._label = label
        self._namespace = cluster.namespace
        self._path = f"{cluster.path}/api/v1/namespaces/{cluster.namespace}/pods/{name}"
        self._api = Api(cluster)

    def read(self, seconds: float) -> Seen:
        """Return what it is like. Raises Trouble."""
        return self._seen("GET", None, seconds)

    def write(self, version: str, moment: str, seconds: float, *, on: bool) -> Seen:
        """Set or remove the label, if the Pod still has that version. Raises Conflict, Refused, or
        Trouble where it may have been done, or may be done yet."""
        word = "set" if on else "removed"
        patch = {
            "metadata": {
                "resourceVersion": version,
                "labels": {self._label.key: self._label.value if on else None},
                "annotations": {MARK: f"{word} {moment}"},
            }
        }
        return self._seen("PATCH", patch, seconds)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._api.close()

    def _seen(self, method: str, patch: Mapping[str, Any] | None, seconds: float) -> Seen:
        status, headers, body = self._api.exchange(method, self._path, patch, seconds, _MERGE_PATCH)
        if status == _CONFLICT:
            raise Conflict
        if status != OK:
            raise self._trouble(status, headers, message(body))
        try:
            metadata = json.loads(body)["metadata"]
            version, uid = metadata["resourceVersion"], metadata.get("uid")
            is_on = self._label.key in (metadata.get("labels") or {})
            is_ours = MARK in (metadata.get("annotations") or {})
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise Trouble(
                "broken-answer", message(body), "check that this URL is an API server's"
            ) from None
        if self._uid is not None and uid != self._uid:
            raise Refused(
                "another-pod",
                f"the pod {self._namespace}/{self.name} is another one by now (uid {uid})",
                "nothing: this one was deleted, and what runs here is about to end",
            )
        if is_on and not is_ours:
            raise Refused(
                "label-not-ours",
                f"the pod {self._namespace}/{self.name} has the label {self._label.key} already,"
                " and not by leaderexec",
                "choose a label for --leader-label that is not in the pod's template: to remove one"
                " that a Deployment selects by would cut the pod off",
            )
        return Seen(str(version), is_on)

    def _trouble(self, status: int, headers: Mapping[str, str], said: str) -> Trouble:
        shown = f"the API server answered {status}: {said}"
        pod = f"{self._namespace}/{self.name}"
        if status == 401:  # noqa: PLR2004 - HTTP
            return Refused("unauthorized", shown, "check the token of the service account")
        if status == 403:  # noqa: PLR2004 - HTTP
            role = roles.label_role(self._namespace)
            return Refused("forbidden", shown, f"bind this Role to the account it names: {role}")
        if status == _NOT_FOUND:
            remedy = (
                f"--leader-label needs this replica's Pod, taken to be {pod}; set --identity to its"
                " name, by fieldRef metadata.name"
            )
            return Refused("no-pod", shown, remedy)
        pause = pause_of(headers)
        if status < 500 and status != 408:  # noqa: PLR2004 - HTTP
            return Refused(f"http-{status}", shown, "look at the API server's log", pause=pause)
        remedy = "nothing, if the API server is being restarted; else look at its log"
        return Trouble(f"http-{status}", shown, remedy, pause=pause)
