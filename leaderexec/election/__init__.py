"""The available kinds of election. A new one is one file that declares it, and one line here; one
from another package is added when it is requested (`plugins`)."""

from leaderexec.election.always import AlwaysKind
from leaderexec.election.elector.kind import ElectorKind
from leaderexec.election.etcd.kind import EtcdKind
from leaderexec.election.file import FileKind
from leaderexec.election.kind import Kind
from leaderexec.election.lease.kind import LeaseKind
from leaderexec.election.postgres.kind import PostgresKind
from leaderexec.election.redis.kind import RedisKind

__all__ = ["KINDS", "Kind", "kind_called"]

KINDS: list[Kind] = [
    ElectorKind(),
    FileKind(),
    LeaseKind(),
    EtcdKind(),
    PostgresKind(),
    RedisKind(),
    AlwaysKind(),
]


def kind_called(name: str) -> Kind:
    """Return the kind of this name. Raises KeyError."""
    return {kind.name: kind for kind in KINDS}[name]
