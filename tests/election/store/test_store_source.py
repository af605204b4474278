"""The source that campaigns in a store: what it watches, and when it watches again."""

import threading
import time
from collections.abc import Callable, Hashable, Iterator

from support import wait_for

from leaderexec.election.renewing import Terms
from leaderexec.election.store.campaign import Campaign
from leaderexec.election.store.source import Answer, StoreElection


class Quiet:
    """A log that drops everything."""

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *_args, **_fields: None


class Channel:
    """A channel that reports news at once, and ends when it is closed."""

    def __init__(self) -> None:
        self._closed = threading.Event()

    def events(self) -> Iterator[None]:
        """Yield once."""
        yield
        self._closed.wait()

    def close(self) -> None:
        """End it."""
        self._closed.set()


class OneChannel:
    """A store whose topic is the same, whoever leads."""

    def __init__(self) -> None:
        self.topic: Hashable = None
        self.leader = "b"
        self.watched = 0
        # Its channel ends with the news.
        self.ends = False

    def look(self, seconds: float) -> str:
        """Return the leader."""
        del seconds
        return self.leader

    def take(self, seconds: float) -> Answer:
        """Take it if it is free."""
        del seconds
        if self.leader == "b":
            self.topic = "channel"
            return Answer(None, "b")
        self.topic = None
        return Answer(7)

    def renew(self, seconds: float) -> bool:
        """Return whether it is ours."""
        del seconds
        return self.leader != "b"

    def let_go(self, seconds: float) -> bool:
        """Release it."""
        del seconds
        self.topic = None
        return True

    def close(self) -> None:
        """Close nothing."""

    def watch(self, topic: Hashable, seconds: float) -> Channel:
        """Open the channel."""
        del topic, seconds
        self.watched += 1
        opened = Channel()
        if self.ends:
            opened.close()
        return opened


def campaigning(store: OneChannel) -> StoreElection:
    """Start a candidate that polls often."""
    source = StoreElection(
        Campaign("a", Terms(renew_deadline=1000.0, retry_period=0.01)),
        store,
        "channel",
        {},
        1000.0,
        lambda _: None,
        Quiet(),  # type: ignore[arg-type]
        time.monotonic,
    )
    source.start(time.monotonic())
    return source


def test_a_candidate_that_has_led_meanwhile_watches_the_channel_again() -> None:
    """Otherwise it would miss every further release, and only poll now and then."""
    store = OneChannel()
    source = campaigning(store)
    wait_for(lambda: store.watched == 1)
    for number in range(2, 5):
        store.leader = "a"
        wait_for(lambda: store.topic is None)
        store.leader = "b"
        wait_for(lambda number=number: store.watched == number)  # type: ignore[misc]
    source.release()


def test_reopening_a_channel_keeps_its_topic() -> None:
    """The main thread asks for that when it doubts the stream."""
    store = OneChannel()
    source = campaigning(store)
    for number in range(1, 4):
        wait_for(lambda number=number: store.watched == number)  # type: ignore[misc]
        wait_for(lambda: source._stream)
        source.resubscribe()
    source.release()


def test_a_channel_whose_last_news_changed_nothing_is_opened_again() -> None:
    """As when etcd has compacted what was to be watched. There is another request in between."""
    store = OneChannel()
    store.ends = True
    source = campaigning(store)
    wait_for(lambda: store.watched == 3)
    source.release()
