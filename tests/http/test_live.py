"""What the page receives, and when."""

import json
import select
from typing import Any, cast

import pytest

from leaderexec.config.settings import load, settle, shown
from leaderexec.http import live as room
from leaderexec.http.live import Live
from leaderexec.status.document import Document
from leaderexec.status.processes import Process, Processes
from leaderexec.status.snapshot import Published, Snapshot


class Tree:
    """The processes of a command."""

    def __init__(self, count: int) -> None:
        self._found = [Process(pid, 1, "running", "x\u202e", 5, 0.5) for pid in range(count)]

    def tree(self, _now: Snapshot) -> list[Process]:
        """Return them."""
        return self._found


class Told(Live):
    """Messages for the page, with a clock that is set by the test."""

    def __init__(self, processes: int = 0) -> None:
        self.now = 100.0
        options = {"election": "off", "identity": "app-a"}
        config = load(options, ("true",), {}, "host")
        document = Document(config, shown(settle(options, {}, "host")), dict, lambda: self.now)
        self.published = Published(lambda: None)
        tree = cast("Processes", Tree(processes))
        super().__init__(self.published, document, tree, clock=lambda: self.now)

    def publish(self) -> None:
        """Publish a snapshot, as the main thread does."""
        self.published.publish(self.published.latest)

    @property
    def wakes(self) -> bool:
        """Return whether the HTTP thread would wake up."""
        return bool(select.select([self.fileno()], [], [], 0)[0])


def said(message: bytes) -> dict[str, Any]:
    """Return a message's content."""
    assert message.startswith(b"data: ")
    assert message.endswith(b"\n\n")
    assert message.count(b"\n") == 2
    return dict(json.loads(message.removeprefix(b"data: ")))


def test_nothing_wakes_up_without_followers() -> None:
    """However much is published; the same once the last follower has gone."""
    told = Told()
    told.publish()
    assert not told.wakes
    told.follow(on=True)
    told.follow(on=False)
    told.publish()
    assert not told.wakes


def test_a_change_is_sent_at_once_and_otherwise_every_second() -> None:
    """Well within a second of it."""
    told = Told()
    told.follow(on=True)
    told.message()
    assert told.due_in() == room.EVERY == 1.0
    told.now += 0.5
    told.publish()
    assert told.wakes
    assert told.due_in() == 0


def test_a_flood_of_changes_is_sent_ten_times_a_second_and_wakes_as_often() -> None:
    """The main thread needs the CPU."""
    told = Told()
    told.follow(on=True)
    told.message()
    told.publish()
    told.heard()
    for _ in range(1000):
        told.publish()
    assert not told.wakes
    assert told.due_in() == pytest.approx(room.SOONEST)
    told.now += room.SOONEST
    told.message()
    told.publish()
    assert told.wakes


def test_a_message_has_the_status_and_the_time_and_no_peers_if_none_are_set() -> None:
    """On one line, without the options."""
    message = said(Told().message())
    assert message["status"]["identity"] == "app-a"
    assert message["status"]["role"] == "standby"
    assert "options" not in message["status"]
    assert message["now"].endswith("Z")
    assert message["peers"] is None


def test_peers_that_have_not_been_asked_yet_differ_from_no_peers() -> None:
    """The page says that the answers are still to come."""
    told = Told()
    told.look = lambda: None
    assert said(told.message())["peers"] == {}
    told.look = lambda: {"summary": "app-a leads"}
    assert said(told.message())["peers"] == {"summary": "app-a leads"}


def test_a_tree_of_thousands_is_cut_and_counted() -> None:
    """It is too long to read, and would be sent every second."""
    status = said(Told(processes=5000).message())["status"]
    assert len(status["tree"]) == room.MOST_PROCESSES
    assert status["tree_left_out"] == 5000 - room.MOST_PROCESSES


def test_a_name_cannot_reverse_the_text_direction() -> None:
    """It is escaped, as for a terminal."""
    assert said(Told(processes=1).message())["status"]["tree"][0]["command"] == "x\\u202e"
