"""The objects themselves: a Deployment, and what it needs. Pure."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from leaderexec.config.options import host_and_optional_port
from leaderexec.core.run import KILL_PATIENCE
from leaderexec.election.elector.kind import ElectorSettings
from leaderexec.election.lease import roles
from leaderexec.election.lease.cluster import ACCOUNT
from leaderexec.election.lease.record import Name

if TYPE_CHECKING:
    from leaderexec.config.settings import Config

Object = dict[str, Any]

ELECTOR_ADDRESS = "localhost:4040"
ELECTOR_IMAGE = "ELECTOR-IMAGE:TAG"
# The last log lines and the command's last output are written, and the runtime itself needs a
# moment.
_MARGIN = 4.0
_ROUNDED_TO = 5
# A stop waits for the label's removal, and the exit does once more.
_LABEL_REMOVED = 1.0
# A name of the DNS in a namespace (RFC 1035), as objects and containers have.
LABEL = r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?"
SELECTED_BY = "app.kubernetes.io/name"
_LOCKED_DOWN = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
_TOKEN = "elector-token"  # noqa: S105 - a volume's name
_TOKEN_MOUNT: Object = {"name": _TOKEN, "mountPath": ACCOUNT, "readOnly": True}


def image_of(name: str) -> str:
    """Return the placeholder for an image that was not given; no registry accepts it."""
    return f"REGISTRY/{name}:TAG"


def termination_grace(config: "Config") -> int:
    """Return the least ``terminationGracePeriodSeconds`` that suffices, rounded up to 5 seconds."""
    label = 0.0 if config.leader_label is None else _LABEL_REMOVED
    least = config.grace + KILL_PATIENCE + config.kind.ends_within + label + _MARGIN
    return math.ceil(least / _ROUNDED_TO) * _ROUNDED_TO


class Manifest:
    """What was requested: `name` is the election's and every object's name; `variables` are the
    container's, and `config` is the configuration they result in."""

    def __init__(
        self,
        name: str,
        namespace: str,
        config: "Config",
        variables: Mapping[str, str],
        image: str,
        elector_image: str | None,
    ) -> None:
        """With an `elector_image` the Pod has an elector; without one, it uses a Lease."""
        self._name = name
        self._metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
        self._config = config
        self._variables = variables
        self._image = image
        self._elector_image = elector_image
        self._labels = {SELECTED_BY: name}

    def objects(self) -> list[Object]:
        """Return them in the order in which they should be created."""
        rules = roles.lease_rules(*self._leases) if self._holds_lease else roles.elector_rules()
        if self._config.leader_label is not None:
            rules += roles.label_rules()
        return [
            # No pod gets a token merely by naming this account.
            self._object("v1", "ServiceAccount", automountServiceAccountToken=False),
            self._object("rbac.authorization.k8s.io/v1", "Role", rules=rules),
            self._binding(),
            # They have no holder, so that the very first pod does not wait for a lease duration.
            *([self._lease(name) for name in self._leases] if self._holds_lease else []),
            *self._peers(),
            self._deployment(),
            self._object("policy/v1", "PodDisruptionBudget", spec=self._budget()),
        ]

    @property
    def _holds_lease(self) -> bool:
        return self._elector_image is None

    @property
    def _leases(self) -> list[str]:
        """Return the election's Lease, and with --slots that of each slot."""
        return [one.name for one in Name("", self._name).with_slots(self._config.slots or 0)]

    def _lease(self, name: str) -> Object:
        found = self._object("coordination.k8s.io/v1", "Lease")
        found["metadata"]["name"] = name
        return found

    @property
    def _asks_api_server(self) -> bool:
        """Return whether leaderexec itself needs the token, besides an elector."""
        confirmed = self._config.of(ElectorSettings).confirm_lease
        asks = confirmed is not None and confirmed.explicit
        return asks or self._config.leader_label is not None

    def _object(self, version: str, kind: str, **rest: object) -> Object:
        return {"apiVersion": version, "kind": kind, "metadata": dict(self._metadata), **rest}

    def _binding(self) -> Object:
        return self._object(
            "rbac.authorization.k8s.io/v1",
            "RoleBinding",
            roleRef={
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "Role",
                "name": self._name,
            },
            subjects=[{"kind": "ServiceAccount", **self._metadata}],
        )

    def _peers(self) -> list[Object]:
        """Return the headless Service that --peers names."""
        if (name := peers_service(self._config)) is None:
            return []
        # Those that are not ready are the ones to look for.
        spec = {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": self._labels,
            "ports": [{"name": "http", "port": probed_port(self._config)}],
        }
        return [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {**self._metadata, "name": name},
                "spec": spec,
            }
        ]

    def _budget(self) -> Object:
        # A drain evicts one pod at a time; a pod that is not ready protects nothing.
        return {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": self._labels},
        }

    def _deployment(self) -> Object:
        found = self._object("apps/v1", "Deployment")
        found["metadata"]["labels"] = self._labels
        found["spec"] = {
            # One of them is on standby.
            "replicas": (self._config.slots or 1) + 1,
            "selector": {"matchLabels": self._labels},
            # A standby is ready, so the new pods start next to the old ones.
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": {"labels": self._labels}, "spec": self._pod()},
        }
        return found

    def _pod(self) -> Object:
        ids = dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"), 65532)
        pod: Object = {
            "serviceAccountName": self._name,
            "automountServiceAccountToken": self._holds_lease,
            "terminationGracePeriodSeconds": termination_grace(self._config),
            "securityContext": {
                "runAsNonRoot": True,
                **ids,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            # A standby on the leader's own node would be lost with it.
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": "kubernetes.io/hostname",
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": self._labels},
                    "matchLabelKeys": ["pod-template-hash"],
                }
            ],
        }
        if not self._holds_lease:
            pod["initContainers"] = [self._elector()]
        pod["containers"] = [self._container()]
        pod["volumes"] = [{"name": "tmp", "emptyDir": {}}]
        if not self._holds_lease:
            pod["volumes"].append({"name": _TOKEN, "projected": {"sources": _token_sources()}})
        return pod

    def _container(self) -> Object:
        container: Object = {
            "name": self._name,
            "image": self._image,
            "command": ["leaderexec", "--"],
            "args": [unexpanded(word) for word in self._config.command],
            "env": [
                {"name": name, "value": unexpanded(value)}
                for name, value in self._variables.items()
            ],
        }
        if (port := probed_port(self._config)) is not None:
            container |= {
                "ports": [{"name": "http", "containerPort": port}],
                "livenessProbe": _probe("/livez", 10),
                # In contact with the election, as a standby is, too.
                "readinessProbe": _probe("/readyz", 5),
            }
        mounts: list[Object] = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - an emptyDir
        if not self._holds_lease and self._asks_api_server:
            mounts.append(_TOKEN_MOUNT)
        return container | {
            "resources": _resources("50m", "128Mi", "256Mi"),
            "securityContext": _LOCKED_DOWN,
            "volumeMounts": mounts,
        }

    def _elector(self) -> Object:
        return {
            "name": "elector",
            "image": self._elector_image,
            # A native sidecar: it starts before the command, and stops after it.
            "restartPolicy": "Always",
            "args": [f"--election={self._name}", f"--http={ELECTOR_ADDRESS}"],
            "resources": _resources("10m", "32Mi", "128Mi"),
            "securityContext": _LOCKED_DOWN,
            "volumeMounts": [_TOKEN_MOUNT],
        }


def probed_port(config: "Config") -> int | None:
    """Return the port that the kubelet can probe; None if there is none."""
    address = config.http
    if address is None or address.path is not None:
        return None
    local = address.host in ("localhost", "::1") or address.host.startswith("127.")
    return None if local or address.port == 0 else address.port


def peers_service(config: "Config") -> str | None:
    """Return the name of the Service that --peers names; None if it names none of this namespace,
    or one that no replica could be reached by."""
    if len(config.peers) != 1 or probed_port(config) is None:
        return None
    host, port = host_and_optional_port(config.peers[0])
    ours = re.fullmatch(LABEL, host) and port in (None, probed_port(config))
    return host if ours else None


def unexpanded(text: str) -> str:
    """Escape a word so that the kubelet's expansion of ``$(NAME)`` leaves it unchanged."""
    return re.sub(r"\$(?=[$(])", "$$", text)


def _probe(path: str, period: int) -> Object:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period,
        "timeoutSeconds": 2,
        "failureThreshold": 3,
    }


def _resources(cpu: str, memory: str, limit: str) -> Object:
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": limit}}


def _token_sources() -> Sequence[Object]:
    """Return the volume sources that the API server would mount into every container, for those
    that need them."""
    namespace = {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}
    return [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
        {
            "configMap": {
                "name": "kube-root-ca.crt",
                "items": [{"key": "ca.crt", "path": "ca.crt"}],
            }
        },
        {"downwardAPI": {"items": [namespace]}},
    ]
