"""``--election lease``: a Kubernetes Lease, as it is declared."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING

from leaderexec.config import options
from leaderexec.config.options import Given, Settings, UsageError, option
from leaderexec.election.kind import (
    FROZEN_HOLDER,
    Clock,
    Overlap,
    Put,
    RenewingKind,
    Source,
    overlap,
)

if TYPE_CHECKING:
    from leaderexec.config.settings import Config
    from leaderexec.election.lease.cluster import Cluster
    from leaderexec.logs import Log

_KINDS = ("lease",)
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_LONGEST_NAME = 253
_ASK_WITHIN = 5.0


def lease_name(text: str) -> str:
    """Read ``[NAMESPACE/]NAME`` (RFC 1123): the API server refuses any other, each time."""
    namespace, slash, name = text.rpartition("/")
    good = len(name) <= _LONGEST_NAME and re.fullmatch(rf"{_LABEL}(\.{_LABEL})*", name)
    if not good or (slash and not re.fullmatch(_LABEL, namespace)):
        raise ValueError(
            "[NAMESPACE/]NAME of lower-case letters, digits, - and ., such as my-worker (RFC 1123)"
        )
    return text


def server_url(text: str) -> str:
    """Read an API server's URL."""
    if not re.fullmatch(r"https?://[^/?#@\s]+(/[^?#\s]*)?", text):
        raise ValueError("an http:// or https:// URL, such as http://localhost:8001")
    return text


class LeaseSettings(Settings):
    """Which Lease, and where the API server is."""

    lease: str | None = option(
        "[NAMESPACE/]NAME",
        None,
        lease_name,
        "The Lease to campaign for, for --election lease. Default namespace: the pod's, or the"
        " kubeconfig's.",
        options.ELECTION,
        kinds=_KINDS,
    )
    kubeconfig: str | None = option(
        "PATH",
        None,
        str,
        "The kubeconfig that locates the API server, outside a pod. Default: KUBECONFIG, then the"
        " pod's service account.",
        options.ELECTION,
        kinds=_KINDS,
    )
    api_server: str | None = option(
        "URL",
        None,
        server_url,
        "The API server, in place of a kubeconfig, such as that of `kubectl proxy`.",
        options.ELECTION,
        kinds=_KINDS,
    )


class LeaseKind(RenewingKind):
    """Leads while this process holds the Lease."""

    name = "lease"
    leads_when = "this process holds the Kubernetes Lease"
    settings = LeaseSettings
    chosen_by = ("lease",)
    asks_api_server = True
    ways = "--lease NAME (a Kubernetes Lease of our own, no elector)"

    def complete(self, values: dict[str, Given], environ: Mapping[str, str]) -> None:
        """Take KUBECONFIG, which says where and never chooses. Raises UsageError."""
        given = environ.get("KUBECONFIG")
        set_already = values["kubeconfig"].value or values["api-server"].value
        if values["lease"].value is None or set_already or not given:
            return
        if os.pathsep in given:
            raise UsageError(
                f"KUBECONFIG is {given!r}, which are several; name one with --kubeconfig"
            )
        values["kubeconfig"] = Given(given, "KUBECONFIG")

    def missing(self, source: str) -> str:
        """Name the option."""
        return f"{source} is 'lease', but no --lease [NAMESPACE/]NAME is set"

    def overlaps(self, config: "Config") -> tuple[Overlap, ...]:
        """By expiry none; what no election can prevent is said."""
        return (
            overlap(
                config,
                "lease-edited",
                "another holder is written into the Lease by hand",
                ("retry-period", config.retry_period),
                ("grace-lost", config.grace_lost),
            ),
            FROZEN_HOLDER,
        )

    def startup_fields(self, config: "Config") -> dict[str, object]:
        """Return the Lease and the times."""
        from leaderexec.election import renewing

        return {"lease": config.of(LeaseSettings).lease, **renewing.startup_fields(config)}

    def open(self, config: "Config", put: Put, log: "Log", clock: Clock) -> Source:
        """Return the source. Raises UsageError where no API server can be asked."""
        cluster = _cluster(config)
        from leaderexec.election import identity
        from leaderexec.election.lease.record import Candidate, Name
        from leaderexec.election.lease.source import LeaseElection
        from leaderexec.election.renewing import Terms

        lease = config.of(LeaseSettings)
        namespace, _, name = (lease.lease or "").rpartition("/")
        return LeaseElection(
            Candidate(
                config.identity,
                os.urandom(8).hex(),
                int(config.lease_duration),
                identity.container(),
            ),
            Terms(config.renew_deadline, config.retry_period),
            cluster,
            Name(namespace or cluster.namespace, name),
            put,
            log,
            clock,
        )

    def inspect(self, config: "Config") -> Iterator[tuple[str, bool]]:
        """Have the API server review what this account may do with the Lease."""
        from leaderexec.election.lease import rights
        from leaderexec.election.lease.record import Name

        cluster = _cluster(config)
        namespace, _, name = (config.of(LeaseSettings).lease or "").rpartition("/")
        return rights.inspect(cluster, Name(namespace or cluster.namespace, name))

    def holder(self, config: "Config") -> str | None:
        """Ask for the Lease once; whether it has run out can't be told by one look."""
        from leaderexec.election.lease.client import Leases
        from leaderexec.election.lease.record import Name

        cluster = _cluster(config)
        namespace, _, name = (config.of(LeaseSettings).lease or "").rpartition("/")
        with closing(Leases(cluster, Name(namespace or cluster.namespace, name))) as leases:
            found = leases.get(_ASK_WITHIN)
        return None if found is None else found.holder


def _cluster(config: "Config") -> "Cluster":
    return api_server(config, "--election lease")


def api_server(config: "Config", wanted_by: str) -> "Cluster":
    """Return where the API server is. Raises UsageError, which names the option that needs it."""
    from leaderexec.election.lease.cluster import NoCluster, find

    lease = config.of(LeaseSettings)
    try:
        cluster = find(lease.api_server, lease.kubeconfig, os.environ)
        if cluster.tls is not None:
            # What can't be used is known before anything is started.
            cluster.tls()
    except NoCluster as error:
        raise UsageError(f"{error} ({wanted_by})") from None
    except OSError as error:
        raise UsageError(
            f"the certificates for the API server can't be used: {error} ({wanted_by})"
        ) from None
    return cluster
