"""What is specific to ZooKeeper: sessions, watches, and a server that is unreachable."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from leaderexec_zookeeper.kind import ZooKeeperKind
from leaderexec_zookeeper.store import ZooKeeperStore
from server import ZooKeeper, ensemble, missing

from leaderexec.config import options, settings
from leaderexec.config.options import UsageError
from leaderexec.election.complaints import Trouble
from leaderexec.testing import Wrapper, wait_for
from leaderexec.testing.processes import clean_environment, wrappers

Make = Callable[..., ZooKeeperStore]
SOON = 30.0
WORKER = ("--", "sh", "-c", "echo up; exec sleep 100")
TIMES = (
    *("--lease-duration", "6s", "--renew-deadline", "2s", "--retry-period", "500ms"),
    *("--grace-lost", "1s"),
)


@pytest.fixture
def store(zookeeper: ZooKeeper, path: str) -> Iterator[Make]:
    """Make candidates of one election."""
    made = []

    def make(name: str, duration: float = 20.0) -> ZooKeeperStore:
        made.append(ZooKeeperStore(zookeeper.address, path, name, duration))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_the_first_leads_and_the_others_wait_in_order_of_arrival(store: Make) -> None:
    """Each waits for the one before it."""
    a, b, c = store("a"), store("b"), store("c")
    assert a.take(SOON).fence
    assert b.take(SOON).holder == c.take(SOON).holder == b.look(SOON) == "a"
    assert b.topic == a.topic
    assert c.topic != b.topic
    assert a.let_go(SOON)
    assert c.take(SOON).holder == "b"
    assert b.take(SOON).fence


def test_many_standbys_do_not_wake_each_other(store: Make, zookeeper: ZooKeeper) -> None:
    """Each node is watched by one other."""
    candidates = [store(f"c{number}") for number in range(6)]
    for one in candidates:
        one.take(SOON)
    watches = [one.watch(one.topic, SOON) for one in candidates[1:]]
    said = zookeeper.ask("wchs")
    assert "watching 5 paths" in said
    assert "Total watches:5" in said
    candidates[0].let_go(SOON)
    assert next(watches[0].events(), "ended") is None
    assert "Total watches:4" in zookeeper.ask("wchs")
    for watch in watches:
        watch.close()


def test_a_watch_goes_on_if_the_node_before_is_only_written(store: Make) -> None:
    """Starting to lead writes it; if it is gone already, a new watch says so."""
    a, b, c = store("a"), store("b"), store("c")
    for one in (a, b, c):
        one.take(SOON)
    watch = c.watch(c.topic, SOON)
    a.let_go(SOON)
    assert b.take(SOON).fence
    gone = c.topic
    b.let_go(SOON)
    assert next(watch.events(), "ended") is None
    assert next(c.watch(gone, SOON).events(), "ended") is None
    closed = a.watch(c.topic, SOON) if c.take(SOON).fence else watch
    closed.close()
    assert next(closed.events(), "ended") == "ended"


def test_each_acquisition_has_a_greater_fence(store: Make) -> None:
    """Even the same node's, which has kept its czxid and its sequence number."""
    a = store("a")
    first, second = a.take(SOON).fence, a.take(SOON).fence
    assert first is not None
    assert second is not None
    assert first < second
    assert a.renew(SOON)
    a.let_go(SOON)
    b = store("b")
    third = b.take(SOON).fence
    assert third is not None
    assert second < third


def test_a_node_created_without_our_knowledge_is_ours(store: Make) -> None:
    """A lost response may have been a success; there are not two nodes."""
    a = store("a")
    a._create(time.monotonic() + SOON)
    assert a.take(SOON).fence
    assert len(a._queue(time.monotonic() + SOON)) == 1


def test_deleting_the_node_by_hand_ends_leadership(store: Make) -> None:
    """The renewal shows it; acquired again, it has a greater fence."""
    a = store("a")
    first = a.take(SOON).fence
    a._client.delete(a.topic)
    assert not a.renew(SOON)
    assert a.topic is None
    second = a.take(SOON).fence
    assert first is not None
    assert second is not None
    assert first < second


def test_a_session_that_the_servers_cut_short_is_refused(tmp_path: Path) -> None:
    """Otherwise leadership would pass on while the old command still runs."""
    if (why := missing()) is not None:
        pytest.skip(why)
    with ZooKeeper(tmp_path / "short", longest=5000) as server:
        short = ZooKeeperStore(server.address, "/demo", "a", 20.0)
        with pytest.raises(Trouble, match=r"grant sessions of 5s, not of 20s"):
            short.take(SOON)
        short.close()


def test_a_server_that_has_lost_the_others_proves_nothing(tmp_path: Path) -> None:
    """It still answers reads for some seconds, as if our node were unchanged."""
    if (why := missing()) is not None:
        pytest.skip(why)
    with ensemble(tmp_path) as servers:
        follower = next(one for one in servers if one.mode() == "follower")
        store = ZooKeeperStore(follower.address, "/demo", "a", 20.0)
        assert store.take(SOON).fence
        assert store.renew(SOON)
        for one in servers:
            if one is not follower:
                one.freeze()
        assert store._client.exists_async(store.topic).get(SOON) is not None
        with pytest.raises(Trouble, match="can't be asked"):
            store.renew(2.0)
        for one in servers:
            one.thaw()
        store.close()


def test_an_unreachable_server_is_trouble_within_the_given_time() -> None:
    """There is no traceback, and no endless wait."""
    unreachable = ZooKeeperStore("127.0.0.1:1", "/demo", "a", 20.0)
    with pytest.raises(Trouble, match="no server has answered"):
        unreachable.look(0.2)
    unreachable.close()
    unreachable.close()


@pytest.fixture
def leaderexec() -> Iterator[Callable[..., Wrapper]]:
    """Start the installed program."""
    with clean_environment() as environ, wrappers(environ) as start:
        yield start


@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_a_leader_without_a_server_stops_at_its_deadline_and_later_leads_again(
    tmp_path: Path, leaderexec: Callable[..., Wrapper], how: str
) -> None:
    """SUSPENDED is no loss; silence for --renew-deadline is."""
    if (why := missing()) is not None:
        pytest.skip(why)
    with ZooKeeper(tmp_path / "server") as server:
        words = ("--election", "zookeeper", "--zookeeper", server.address)
        wrapper = leaderexec(*words, "--zookeeper-path", "/demo", *TIMES, *WORKER)
        before = wrapper.log("command started")
        if how == "killed":
            server.kill()
        else:
            server.freeze()
        wrapper.log("command ended")
        if how == "killed":
            server.start()
        else:
            server.thaw()
        after = wrapper.log("command started", 2)
        assert int(after["fence"]) > int(before["fence"])


def configured(*words: str) -> None:
    """Check a configuration."""
    kind = ZooKeeperKind()
    settings.plug_in(kind)
    try:
        given, _ = options.parse(["--election", "zookeeper", *words], settings.OPTIONS)
        settings.load(given, ("true",), {}, "host")
    finally:
        settings.unplug(kind)


def test_times_that_leave_the_old_command_alive_are_refused() -> None:
    """ZooKeeper's own half tick counts."""
    where = ("--zookeeper", "zk:2181", "--zookeeper-path", "/demo")
    configured(*where)
    with pytest.raises(UsageError, match="only after 22s"):
        configured(*where, "--lease-duration", "21s")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--zookeeper", "zk"), "allowed: servers with commas"),
        (("--zookeeper", "zk:0"), "allowed: servers with commas"),
        (("--zookeeper", "zk:2181"), "but not --zookeeper-path"),
        (("--zookeeper", "zk:2181", "--zookeeper-path", "demo"), "allowed: the path of a node"),
        (("--zookeeper", "zk:2181", "--zookeeper-path", "/a/../b"), "allowed: the path of a node"),
    ],
)
def test_bad_values_are_named(words: tuple[str, ...], said: str) -> None:
    """With what is allowed."""
    with pytest.raises(UsageError, match=said):
        configured(*words)


def test_the_watch_ends_with_the_session() -> None:
    """When it is lost the candidate wakes; a lost connection is trouble."""
    from kazoo.protocol.states import EventType, KeeperState, WatchedEvent
    from leaderexec_zookeeper.store import Watch

    for state, wakes in ((KeeperState.EXPIRED_SESSION, True), (KeeperState.CONNECTING, False)):
        watch = Watch(lambda _told, _left: True, SOON)
        watch._told.put(WatchedEvent(EventType.NONE, state, None))
        events = watch.events()
        if wakes:
            assert wait_for(lambda events=events: next(events) is None)  # type: ignore[misc]
        with pytest.raises(Trouble, match="connection was lost"):
            next(events)
