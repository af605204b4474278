"""The election in ZooKeeper: a queue of ephemeral sequential nodes. The oldest leads.

Each candidate has one child of the election's node, with its identity as data. The servers delete
it when they have not heard from its session for the session's timeout, which is --lease-duration.
A standby only watches the node before its own, so that one wakes when it goes, and not all.

**Leading is a write.** Taking leadership rewrites the node's data, and the zxid of that write is
the fence: it is greater than that of every write before it, even if the same node takes
leadership a second time, when its czxid and its sequence number would be the old ones.

**A renewal asks the leader of the ensemble.** kazoo's heartbeats keep the session alive
from their own thread, and a server that has lost the others still answers reads for some
seconds; neither proves that the node is still ours. A sync before the read does: it is answered by
the ensemble's leader.

**A request without a response may have succeeded.** All nodes of this process begin with its own
random number, so that one created without our knowledge is found in the queue.
"""

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import (
    AuthFailedError,
    KazooException,
    NoAuthError,
    NoNodeError,
)
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import EventType, KazooState, KeeperState, WatchedEvent
from kazoo.retry import KazooRetry

from leaderexec.election.complaints import Trouble
from leaderexec.election.store.source import Answer

_LEAST = 0.05
_SEQUENCE_DIGITS = 10
_BLATHER = 5  # the level at which kazoo logs a new session


class ZooKeeperStore:
    """One election, and our place in it. `duration`: the session's timeout in seconds."""

    def __init__(self, servers: str, path: str, identity: str, duration: float) -> None:
        self._servers = servers
        self._path = path
        self._data = identity.encode()
        self._duration = duration
        self._prefix = f"{os.urandom(8).hex()}-"
        self._client: Any = None
        self._sessions = _Sessions()
        self._connected = threading.Event()
        self._fence: int | None = None
        self._ours: str | None = None
        self._topic: str | None = None

    @property
    def topic(self) -> Hashable:
        """The node whose end matters to us."""
        return self._topic

    def look(self, seconds: float) -> str:
        """Return the name at the head of the queue."""
        give_up = time.monotonic() + seconds
        return self._holder(self._queue(give_up), give_up)

    def take(self, seconds: float) -> Answer:
        """Keep our place in the queue, or get one; and lead if it is the first."""
        give_up = time.monotonic() + seconds
        self._fence = self._topic = None
        waiting = self._queue(give_up)
        if not self._own(waiting):
            self._create(give_up)
            waiting = self._queue(give_up)
        own = self._own(waiting)
        if not own:
            raise Trouble("session", "our node is gone again", "nothing: it is retried")
        self._ours = self._child(own[0])
        at = waiting.index(own[0])
        if at == 0:
            return self._lead(give_up)
        self._topic = self._child(waiting[at - 1])
        return Answer(None, self._holder(waiting, give_up))

    def renew(self, seconds: float) -> bool:
        """Ask the ensemble's leader whether our node is still what we wrote."""
        give_up = time.monotonic() + seconds
        client = self._connection(give_up)
        self._result(client.sync_async(self._path), give_up)
        stat = self._result(client.exists_async(self._ours), give_up)
        if stat is None or stat.mzxid != self._fence or not self._in_this_session(stat):
            self._fence = self._topic = None
            return False
        return True

    def let_go(self, seconds: float) -> bool:
        """Leave the queue."""
        led, self._fence, self._topic = self._fence is not None, None, None
        if self._client is None:
            return False
        give_up = time.monotonic() + seconds
        for name in self._own(self._queue(give_up)):
            self._delete(self._child(name), give_up)
        return led

    def close(self) -> None:
        """End the session."""
        client, self._client = self._client, None
        if client is not None:
            client.stop()
            client.close()

    def watch(self, topic: Hashable, seconds: float) -> "Watch":
        """Wait for the node to go."""
        client = self._client
        if client is None:
            raise _unreachable("the connection was closed")
        return Watch(
            lambda told, left: self._result(
                client.exists_async(topic, watch=told), time.monotonic() + left
            ),
            seconds,
        )

    # The queue.

    def _child(self, name: str) -> str:
        return f"{self._path}/{name}"

    def _queue(self, give_up: float) -> list[str]:
        """Return the candidates' nodes, the oldest first."""
        client = self._connection(give_up)
        try:
            names = self._result(client.get_children_async(self._path), give_up)
        except NoNodeError:
            return []
        return sorted(
            (name for name in names if name[-_SEQUENCE_DIGITS:].isdigit()),
            key=lambda name: int(name[-_SEQUENCE_DIGITS:]),
        )

    def _own(self, names: list[str]) -> list[str]:
        return [name for name in names if name.startswith(self._prefix)]

    def _holder(self, waiting: list[str], give_up: float) -> str:
        """Return the name of the first; "" if it has gone meanwhile."""
        if not waiting:
            return ""
        client = self._connection(give_up)
        try:
            data, _ = self._result(client.get_async(self._child(waiting[0])), give_up)
        except NoNodeError:
            return ""
        return bytes(data).decode(errors="replace")

    def _create(self, give_up: float) -> None:
        client = self._connection(give_up)
        self._result(
            client.create_async(
                self._child(self._prefix),
                self._data,
                ephemeral=True,
                sequence=True,
                makepath=True,
            ),
            give_up,
        )

    def _lead(self, give_up: float) -> Answer:
        client = self._connection(give_up)
        assert self._ours is not None  # noqa: S101 - take() has checked it
        try:
            stat = self._result(client.set_async(self._ours, self._data), give_up)
        except NoNodeError:
            raise Trouble("session", "our node is gone", "nothing: it is retried") from None
        if not self._in_this_session(stat):
            # It is deleted with the session that created it.
            self._delete(self._ours, give_up)
            raise Trouble("session", "the session was replaced", "nothing: it is retried")
        self._fence, self._topic = int(stat.mzxid), self._ours
        return Answer(self._fence)

    def _in_this_session(self, stat: Any) -> bool:
        known = self._client.client_id
        return known is not None and stat.ephemeralOwner == known[0]

    def _delete(self, path: str, give_up: float) -> None:
        client = self._connection(give_up)
        try:
            self._result(client.delete_async(path), give_up)
        except NoNodeError:
            return

    # The connection.

    def _connection(self, give_up: float) -> Any:
        """Return the client, connected, in a session that lasts long enough. Raises Trouble."""
        if self._client is None:
            self._client = KazooClient(
                self._servers,
                timeout=self._duration,
                connection_retry=KazooRetry(max_tries=-1, delay=0.1, max_delay=2.0),
                logger=self._sessions.logger,
            )
            self._client.add_listener(self._changed)
            self._client.start_async()
        if not self._connected.wait(max(_LEAST, give_up - time.monotonic())):
            raise _unreachable("no server has answered in time")
        granted = self._sessions.timeout
        if granted is None or granted < self._duration:
            raise Trouble(
                "short session",
                f"the servers grant sessions of {granted or 0:g}s, not of {self._duration:g}s:"
                " leadership could be given away while the old command still runs",
                "raise maxSessionTimeout (20 ticks by default) in zoo.cfg, or lower"
                " --lease-duration with --renew-deadline and --grace-lost",
            )
        return self._client

    def _changed(self, state: str) -> None:
        """Called by kazoo's thread."""
        if state == KazooState.CONNECTED:
            self._connected.set()
        else:
            self._connected.clear()

    def _result(self, pending: Any, give_up: float) -> Any:
        """Wait for a response. Raises NoNodeError, and Trouble for any other error."""
        try:
            return pending.get(timeout=max(_LEAST, give_up - time.monotonic()))
        except NoNodeError:
            raise
        except (NoAuthError, AuthFailedError) as error:
            raise Trouble(
                "refused",
                f"ZooKeeper says {type(error).__name__}",
                f"let this replica create, write and delete below {self._path}",
            ) from None
        except (KazooException, KazooTimeoutError) as error:
            raise _unreachable(str(error) or type(error).__name__) from None


def _unreachable(why: str) -> Trouble:
    return Trouble(
        "unreachable",
        f"ZooKeeper can't be asked: {why}",
        "see that the servers of --zookeeper run and can be reached, most of them at least",
    )


class _Sessions:
    """kazoo's log is not for people, but nothing else shows a session's timeout."""

    def __init__(self) -> None:
        self.timeout: float | None = None
        # Outside the hierarchy, so that nothing else gets its records.
        self.logger = logging.Logger("leaderexec_zookeeper", _BLATHER)  # noqa: LOG001
        handler = logging.Handler(_BLATHER)
        handler.emit = self._heard  # type: ignore[method-assign]
        self.logger.addHandler(handler)

    def _heard(self, record: logging.LogRecord) -> None:
        if isinstance(record.args, tuple) and str(record.msg).startswith("Session created"):
            self.timeout = float(record.args[2]) / 1000  # type: ignore[arg-type]


class Watch:
    """News of one node. `look`: asks whether it exists, and registers the callback for changes."""

    def __init__(
        self, look: Callable[[Callable[[WatchedEvent], None], float], Any], seconds: float
    ) -> None:
        self._look = look
        self._seconds = seconds
        self._told: queue.SimpleQueue[WatchedEvent | None] = queue.SimpleQueue()
        self._is_there = look(self._told.put, seconds) is not None

    def events(self) -> Iterator[None]:
        """Yield once it is gone, or our session is. Raises Trouble if the connection is lost."""
        while self._is_there:
            event = self._told.get()
            if event is None:
                return
            if event.type == EventType.NONE:
                if event.state != KeeperState.CONNECTING:
                    yield
                raise _unreachable("the connection was lost")
            if event.type == EventType.DELETED:
                break
            # Its data may have been rewritten by a candidate that now leads.
            self._is_there = self._look(self._told.put, self._seconds) is not None
        yield

    def close(self) -> None:
        """End it."""
        self._told.put(None)
