"""``--election zookeeper``: a queue of ephemeral nodes, as it is declared."""

import re
from typing import TYPE_CHECKING

from leaderexec.config import options
from leaderexec.config.options import Settings, UsageError, option, show_duration
from leaderexec.election.kind import FROZEN_HOLDER, Overlap, StoreKind, overlap

if TYPE_CHECKING:
    from leaderexec.config.settings import Config
    from leaderexec_zookeeper.store import ZooKeeperStore

_KINDS = ("zookeeper",)
_HIGHEST_PORT = 65535
# The KILL at the end of --grace-lost, and half a tick of 2 s: followers pass their sessions'
# heartbeats on that often, and those not passed on when one dies are lost to the session.
_KILL = 1.0
_HALF_A_TICK = 1.0


def servers(text: str) -> str:
    """Read where an ensemble is."""
    one = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})"
    for part in text.split(","):
        match = re.fullmatch(one, part)
        if match is None or not 0 < int(match[1]) <= _HIGHEST_PORT:
            raise ValueError("servers with commas, such as zk-0:2181,zk-1:2181,zk-2:2181")
    return text


def node_path(text: str) -> str:
    """Read the path of a node."""
    if re.fullmatch(r"(/[^/\s\x00-\x1f]+)+", text) is None or {".", ".."} & {*text.split("/")}:
        raise ValueError("the path of a node, such as /leaderexec/my-worker")
    return text


class ZooKeeperSettings(Settings):
    """Which election, and where ZooKeeper is."""

    zookeeper: str | None = option(
        "HOST:PORT[,HOST:PORT]",
        None,
        servers,
        "The servers of a ZooKeeper ensemble (3.5 or later), for --election zookeeper. Needs"
        " --zookeeper-path.",
        options.ELECTION,
        kinds=_KINDS,
    )
    zookeeper_path: str | None = option(
        "PATH",
        None,
        node_path,
        "The election's node, such as /leaderexec/my-worker: the candidates' nodes are its"
        " children. It is created where it is missing.",
        options.ELECTION,
        kinds=_KINDS,
    )


class ZooKeeperKind(StoreKind):
    """Leads while this process has the first node of the queue."""

    name = "zookeeper"
    interface = 1
    library = "kazoo"
    leads_when = "this process has the first node of an election in ZooKeeper"
    settings = ZooKeeperSettings
    chosen_by = ("zookeeper",)
    told_apart_by = ("zookeeper", "zookeeper-path")
    ways = "--zookeeper HOST:PORT[,HOST:PORT] with --zookeeper-path PATH (a ZooKeeper ensemble)"

    def check(self, config: "Config") -> None:
        """Refuse times under which the old command could still run, and an election without a
        name."""
        super().check(config)
        if config.of(ZooKeeperSettings).zookeeper_path is None:
            raise UsageError(
                "--zookeeper is set, but not --zookeeper-path: name the election, the same for all"
                " of its replicas and for no others, such as"
                " --zookeeper-path /leaderexec/my-worker"
            )
        least = config.renew_deadline + config.grace_lost + _KILL + _HALF_A_TICK
        if config.lease_duration < least:
            raise UsageError(
                f"--lease-duration is {show_duration(config.lease_duration)}, but with ZooKeeper"
                f" the old command is certain to be gone only after {show_duration(least)}:"
                " --renew-deadline + --grace-lost + 1s for the KILL + 1s, half a tick of the"
                " servers; allowed: that or more"
            )

    def overlaps(self, config: "Config") -> tuple[Overlap, ...]:
        """No overlap by expiry; those that no election can prevent are stated."""
        return (
            overlap(
                config,
                "zookeeper-node-deleted",
                "the leader's node is deleted by hand",
                ("retry-period", config.retry_period),
                ("grace-lost", config.grace_lost),
            ),
            FROZEN_HOLDER,
        )

    def where(self, config: "Config") -> dict[str, object]:
        """Name the servers and the election's node."""
        settings = config.of(ZooKeeperSettings)
        return {"zookeeper": settings.zookeeper, "path": settings.zookeeper_path}

    def store(self, config: "Config") -> "ZooKeeperStore":
        """Return the queue. Raises UsageError without kazoo."""
        try:
            from leaderexec_zookeeper.store import ZooKeeperStore
        except ImportError as error:
            if (error.name or "").partition(".")[0] != "kazoo":
                raise
            raise UsageError(
                "--election zookeeper needs kazoo, which is not installed here: pip install kazoo"
            ) from None
        settings = config.of(ZooKeeperSettings)
        return ZooKeeperStore(
            settings.zookeeper or "",
            settings.zookeeper_path or "",
            config.identity,
            config.lease_duration,
        )
