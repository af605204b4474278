"""Reads this replica's own Pod, and labels it by JSON merge patches (RFC 7386)."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from leaderexec.config.options import Label
from leaderexec.election.complaints import Trouble
from leaderexec.election.lease import roles
from leaderexec.election.lease.answers import OK, message, pause_of
from leaderexec.election.lease.client import Api
from leaderexec.election.lease.cluster import Cluster

# An annotation that marks the label as leaderexec's, not the template's; it changes with each
# write.
MARK = "leaderexec/labelled"
_MERGE_PATCH = "application/merge-patch+json"
_CONFLICT, _NOT_FOUND = 409, 404
_NO_API_SERVER = "check that this URL is an API server's"
# The parts of that mark: set or removed, when, in which election, with which fence.
_WORDS = 4


class Conflict(Exception):
    """The Pod has changed since it was read."""


class Refused(Trouble):
    """The API server refuses the request, which has changed nothing."""


class Other(NamedTuple):
    """Another Pod with the label, as it was read."""

    name: str
    version: str


class Seen(NamedTuple):
    """The Pod as it was read: its version, and whether it has the label, with any value."""

    version: str
    is_on: bool


class Pod:
    """The Pod with this name, in the service account's namespace."""

    def __init__(
        self, cluster: Cluster, name: str, uid: str | None, label: Label, election: str | None
    ) -> None:
        """`uid`: the Pod's, if known; a StatefulSet reuses names. `election`: distinguishes it from
        others with the same label, if anything does."""
        self.name = name
        self._election = election
        self._uid = uid
        self._label = label
        self._namespace = cluster.namespace
        self._all = f"{cluster.path}/api/v1/namespaces/{cluster.namespace}/pods"
        self._api = Api(cluster)

    def read(self, seconds: float) -> Seen:
        """Return its state. Raises Trouble."""
        return self._seen("GET", None, seconds)

    def write(
        self, version: str, moment: str, fence: int | None, seconds: float, *, on: bool
    ) -> Seen:
        """Set or remove the label, if the Pod still has that version. Raises Conflict, Refused, or
        Trouble if it may have been done, or may still be done."""
        return self._seen("PATCH", self._patch(version, moment, fence, on=on), seconds)

    def clear_others(self, moment: str, fence: int | None, seconds: float) -> list[str]:
        """Remove the label from the Pods that got it with a lower fence in this election; return
        their names. Raises Conflict, Trouble."""
        if fence is None or self._election is None:
            return []
        cleared = []
        for other in self._others(fence, seconds):
            patch = self._patch(other.version, moment, None, on=False)
            status, headers, body = self._api.exchange(
                "PATCH", f"{self._all}/{other.name}", patch, seconds, _MERGE_PATCH
            )
            if status == _CONFLICT:
                raise Conflict
            if status not in (OK, _NOT_FOUND):
                raise self._trouble(status, headers, message(body))
            cleared.append(other.name)
        return cleared

    def _others(self, fence: int, seconds: float) -> list[Other]:
        selector = quote(str(self._label), safe="")
        status, headers, body = self._api.exchange(
            "GET", f"{self._all}?labelSelector={selector}", None, seconds
        )
        if status != OK:
            raise self._trouble(status, headers, message(body))
        found = []
        try:
            for pod in json.loads(body)["items"]:
                metadata = pod["metadata"]
                mark = (metadata.get("annotations") or {}).get(MARK, "").split()
                ours = len(mark) == _WORDS and mark[2] == self._election and mark[3].isdigit()
                if metadata["name"] != self.name and ours and int(mark[3]) < fence:
                    found.append(Other(metadata["name"], metadata["resourceVersion"]))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise Trouble("broken-answer", message(body), _NO_API_SERVER) from None
        return found

    def _patch(self, version: str, moment: str, fence: int | None, *, on: bool) -> dict[str, Any]:
        words = ["set" if on else "removed", moment]
        if self._election is not None and fence is not None:
            words += [self._election, str(fence)]
        return {
            "metadata": {
                "resourceVersion": version,
                "labels": {self._label.key: self._label.value if on else None},
                "annotations": {MARK: " ".join(words)},
            }
        }

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        self._api.close()

    def _seen(self, method: str, patch: Mapping[str, Any] | None, seconds: float) -> Seen:
        status, headers, body = self._api.exchange(
            method, f"{self._all}/{self.name}", patch, seconds, _MERGE_PATCH
        )
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
            raise Trouble("broken-answer", message(body), _NO_API_SERVER) from None
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
