"""``--election lease``: a Kubernetes Lease, as it is declared."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing

from leaderexec.config import options
from leaderexec.config.options import Given, Settings, UsageError, fullmatch, option
from leaderexec.election.kind import (
    FROZEN_HOLDER,
    Clock,
    ElectionUnknown,
    Overlap,
    Put,
    RenewingKind,
    Source,
    in_slots,
    is_held_by,
    overlap,
)
from leaderexec.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leaderexec.config.settings import Config
    from leaderexec.election.lease.cluster import Cluster
    from leaderexec.election.lease.record import Name
    from leaderexec.logs import Log

_KINDS = ("lease",)
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_LONGEST_NAME = 253
_ASK_WITHIN = 5.0


def lease_name(text: str) -> str:
    """Read ``[NAMESPACE/]NAME`` (RFC 1123): the API server refuses any other, each time."""
    namespace, slash, name = text.rpartition("/")
    good = len(name) <= _LONGEST_NAME and fullmatch(rf"{_LABEL}(\.{_LABEL})*", name)
    if not good or (slash and not fullmatch(_LABEL, namespace)):
        raise ValueError(
            "[NAMESPACE/]NAME of lower-case letters, digits, - and ., such as my-worker (RFC 1123)"
        )
    return text


class LeaseSettings(Settings):
    """Which Lease."""

    lease: str | None = option(
        "[NAMESPACE/]NAME",
        None,
        lease_name,
        "The Lease to campaign for, for --election lease. Default namespace: the pod's, or the"
        " kubeconfig's.",
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
    keeps_success = True
    has_slots = True
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

    def check(self, config: "Config") -> None:
        """Refuse a name that leaves no room for the number of a slot, too."""
        super().check(config)
        name = (config.of(LeaseSettings).lease or "").rpartition("/")[2]
        if config.slots is not None and len(name) > (most := _LONGEST_NAME - len("-31")):
            raise UsageError(
                f"--lease is {name!r}, and with --slots each slot's Lease has its number after"
                f" that; allowed: {most} characters at most"
            )

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
        from leaderexec.election.lease.record import Candidate
        from leaderexec.election.lease.source import LeaseElection
        from leaderexec.election.renewing import Terms

        us = Candidate(
            config.identity,
            os.urandom(8).hex(),
            int(config.lease_duration),
            identity.container(),
            config.abdicate_after,
            config.hold_off,
        )
        terms = Terms(config.renew_deadline, config.retry_period)
        name = name_in(cluster, config.of(LeaseSettings).lease or "")
        if config.slots is not None:
            from leaderexec.election.lease.slots import open_slots

            return open_slots(config.slots, us, terms, cluster, name, put, log, clock)
        return LeaseElection(us, terms, cluster, name, put, log, clock, config.done_key)

    def inspect(self, config: "Config") -> Iterator[tuple[str, bool]]:
        """Have the API server review what this account may do with the Lease."""
        from leaderexec.election.lease import rights

        cluster = _cluster(config)
        for name in _leases(config, cluster):
            yield from rights.inspect(cluster, name)

    def ask(self, config: "Config", *, was_named: bool) -> tuple[str | None, bool | None]:
        """Answer from the Lease, or from that of each slot."""
        if config.slots is not None:
            return in_slots(self.ask_slots(config, was_named=was_named))
        return super().ask(config, was_named=was_named)

    def ask_slots(
        self, config: "Config", *, was_named: bool
    ) -> Sequence[tuple[str | None, bool | None]]:
        """Answer from each slot's Lease."""
        from leaderexec.election.complaints import Trouble

        cluster = _cluster(config)
        names = _leases(config, cluster)[1:]
        try:
            found = [_holder(cluster, name) for name in names]
        except Trouble as trouble:
            raise ElectionUnknown(f"{trouble}; {trouble.remedy}") from None
        return [is_held_by(holder, config, was_named=was_named) for holder in found]

    def holder(self, config: "Config") -> str | None:
        """Read the Lease once; from a single read it is unknown whether it has expired."""
        cluster = _cluster(config)
        return _holder(cluster, name_in(cluster, config.of(LeaseSettings).lease or ""))


def _holder(cluster: "Cluster", name: "Name") -> str | None:
    from leaderexec.election.lease.client import Leases

    with closing(Leases(cluster, name)) as leases:
        found = leases.get(_ASK_WITHIN)
    return None if found is None else found.holder


def _leases(config: "Config", cluster: "Cluster") -> "Sequence[Name]":
    """Return the names of all Leases of the election: the one that is named, and those of slots."""
    return name_in(cluster, config.of(LeaseSettings).lease or "").with_slots(config.slots or 0)


def _cluster(config: "Config") -> "Cluster":
    return api_server(config, "--election lease")


def api_server(config: "Config", wanted_by: str) -> "Cluster":
    """Return where the API server is, once its certificates can be used. Raises UsageError, which
    names the option that needs it."""
    cluster = located(config, wanted_by)
    try:
        if cluster.tls is not None:
            # What can't be used is known before anything is started.
            cluster.tls()
    except OSError as error:
        raise UsageError(
            f"the certificates for the API server can't be used: {error} ({wanted_by})"
        ) from None
    return cluster


def located(config: "Config", wanted_by: str) -> "Cluster":
    """Return where the API server is, without loading TLS. Raises UsageError."""
    from leaderexec.election.lease.cluster import NoCluster, find

    try:
        return find(config.api_server, config.kubeconfig, os.environ)
    except NoCluster as error:
        raise UsageError(f"{error} ({wanted_by})") from None


def name_in(cluster: "Cluster", text: str) -> "Name":
    """Return where the Lease ``[NAMESPACE/]NAME`` is."""
    from leaderexec.election.lease.record import Name

    namespace, _, name = text.rpartition("/")
    return Name(namespace or cluster.namespace, name)
