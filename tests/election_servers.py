"""An election of each built-in kind, on its real server."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from apiserver import ApiServer
from etcd_cluster import Etcd
from postgresql import PostgreSQL, missing
from redis_server import Redis

from leaderexec.testing import Election
from leaderexec_elector.running import RunningElector


def an_election(name: str, folder: Path, stack: ExitStack) -> Election:
    """Start the server of this kind; return an election on it."""
    if name == "elector":
        elector = stack.enter_context(RunningElector("other", "a", "b"))
        words = ("--sse-url", elector.sse_url, "--poll-interval", "200ms")
        return Election(*words, elect=elector.lead)
    if name == "file":
        return Election("--lock-file", str(folder / "lock"))
    if name == "postgres":
        if (why := missing()) is not None:
            pytest.skip(why)
        database = stack.enter_context(PostgreSQL())
        return Election("--postgres", database.url, "--postgres-name", "demo")
    if name == "lease":
        server = stack.enter_context(ApiServer())
        # Also that of the one slot with --slots 1.
        server.add("demo")
        server.add("demo-0")
        return Election("--lease", "demo", "--api-server", server.url)
    if name == "etcd":
        etcd = stack.enter_context(Etcd(folder / "etcd"))
        return Election("--etcd", etcd.urls, "--etcd-key", "leaderexec/demo")
    if name == "redis":
        redis = stack.enter_context(Redis(folder / "redis"))
        redis.free("demo")
        return Election("--redis", redis.url, "--redis-key", "demo")
    return Election()
