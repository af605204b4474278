"""The elector's client in this process: the events it sends, and what it never waits for."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException

import endless
import pytest
from endless import dribble
from support import Kept, wait_for

from leaderexec.core.events import Announced, Event, Failed, Polled, StreamClosed, StreamOpened
from leaderexec.election.elector import client as elector_module
from leaderexec.election.elector.answer import NoAnnouncement, ask_elector, fetch
from leaderexec.election.elector.client import Elector
from leaderexec.election.kind import ElectionUnknown
from leaderexec_elector.running import RunningElector

ANSWER = b'{"name":"app-a"}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
STREAM = HEAD.replace(b"application/json", b"text/event-stream") + b"data: " + ANSWER + b"\n\n"


class Ending(Elector):
    """A client whose threads can be ended from a method that they call."""

    def _follow(self) -> None:
        with suppress(SystemExit):
            super()._follow()

    def _poll(self, interval: float) -> None:
        with suppress(SystemExit):
            super()._poll(interval)


class Client:
    """A client and the events that it sent."""

    def __init__(self, sse_url: str, get_url: str, poll: float | None, timeout: float = 5) -> None:
        self.heard: list[Event] = []
        self.log = Kept()
        self._over = False
        self.elector = Ending(
            "app-a", sse_url, get_url, poll, timeout, self._put, self.log, self._clock
        )

    def _put(self, event: Event) -> None:
        self._leave()
        self.heard.append(event)

    def _clock(self) -> float:
        self._leave()
        return time.monotonic()

    def _leave(self) -> None:
        if self._over:
            # The client's threads live as long as their process; this ends them within a test.
            raise SystemExit

    def of(self, kind: type[Event]) -> list[Event]:
        """Return its events of this kind."""
        return [event for event in list(self.heard) if isinstance(event, kind)]

    def wait(self, kind: type[Event], count: int = 1) -> Event:
        """Wait until it has sent this many of this kind; return the last of these."""
        return wait_for(lambda: self.of(kind)[count - 1 : count], f"{kind}, got {self.heard}")[0]

    @contextmanager
    def running(self) -> Iterator["Client"]:
        """Start it; end its threads."""
        before = set(threading.enumerate())
        self.elector.start(0)
        try:
            yield self
        finally:
            self._over = True
            self.elector.release()
            for thread in set(threading.enumerate()) - before:
                if thread.name in ("reader", "poll"):
                    thread.join(20)
                    assert not thread.is_alive(), thread.name


@contextmanager
def serving(serve: endless.Serve, asked: list[bytes] | None = None) -> Iterator[str]:
    """Serve each connection with a function, after its request's head; yield the URL. The heads
    are appended to `asked`."""

    def after_the_head(client: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (part := client.recv(1)):
                return
            head += part
        if asked is not None:
            asked.append(head)
        serve(client)

    with endless.serving(after_the_head) as port:
        yield f"http://127.0.0.1:{port}/"


def test_a_response_counts_from_its_request() -> None:
    """However late it arrives: what it says was true at some moment after the request."""
    asked: list[float] = []
    answer = threading.Event()

    def serve(client: socket.socket) -> None:
        asked.append(time.monotonic())
        assert answer.wait(20)
        client.sendall(HEAD + ANSWER)

    with (
        RunningElector("app-a") as elector,
        serving(serve) as url,
        Client(elector.sse_url, url, 0.05, timeout=20).running() as client,
    ):
        wait_for(lambda: asked)
        client.wait(Announced)
        elector.lead("app-b")
        newer = client.wait(Announced, 2)
        answer.set()
        polled = client.wait(Polled)
        assert isinstance(newer, Announced)
        assert isinstance(polled, Polled)
        assert polled.leader == "app-a"
        assert polled.asked_at <= asked[0] < newer.at


def test_an_endless_response_is_cut_at_the_limit() -> None:
    """Its connection is closed, too: the server's write fails."""
    gone = threading.Event()

    def serve(client: socket.socket) -> None:
        try:
            client.sendall(HEAD)
            while True:
                client.sendall(b" " * 65536)
        finally:
            gone.set()

    with serving(serve) as url:
        with pytest.raises(NoAnnouncement) as caught:
            fetch(url, 20)
        assert caught.value.kind == "too-long"
        assert gone.wait(20)


def test_a_response_as_long_as_the_limit_is_read() -> None:
    """Only longer ones are cut."""
    answer = b" " * (65536 - len(ANSWER)) + ANSWER
    with serving(lambda client: client.sendall(HEAD + answer)) as url:
        assert fetch(url, 20) == answer


def test_a_response_that_dribbles_is_given_up() -> None:
    """The timeout applies to the whole response, though each byte arrives within it."""
    whole = HEAD + b" " * 2000 + ANSWER
    with serving(lambda client: dribble(client, whole)) as url:
        began = time.monotonic()
        with pytest.raises(NoAnnouncement) as caught:
            fetch(url, 0.3)
        # The whole response would take forty seconds.
        assert time.monotonic() - began < 10
        assert caught.value.kind == "too-slow"


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: a\r\n" % at for at in range(90)),
        b"HTTP/1.1 302 Found\r\nLocation: http://x/\r\n\r\n" + b"x" * 100,
    ],
    ids=["100 Continue", "headers", "redirect"],
)
@pytest.mark.parametrize("slowly", [True, False])
def test_every_responses_head_is_bounded(head: bytes, slowly: bool) -> None:
    """Neither one that dribbles nor one that never ends blocks a thread forever."""
    gone = threading.Event()

    def serve(client: socket.socket) -> None:
        try:
            if slowly:
                dribble(client, head * 100)
            while not slowly:
                client.sendall(head * 100)
        finally:
            gone.set()

    with serving(serve) as url:
        with pytest.raises((NoAnnouncement, HTTPException)):
            fetch(url, 0.5)
        assert gone.wait(20)


def test_the_streams_redirect_is_not_read_and_its_cookie_not_kept() -> None:
    """Its body may be endless; a cookie would be sent to any server that answers next."""
    asked: list[bytes] = []
    sent = 0

    def accept(client: socket.socket) -> None:
        nonlocal sent
        head = b"HTTP/1.1 302 Found\r\nLocation: /x\r\nSet-Cookie: a=b; Path=/\r\n\r\n"
        client.sendall(head)
        with suppress(OSError):
            for _ in range(200):
                client.sendall(b"x" * 65536)
                sent += 1

    with serving(accept, asked) as url, Client(url, url, None).running() as client:
        wait_for(lambda: len(asked) >= 3, "it to come back")
        assert ("elector trouble", "redirect") in [
            (event, fields.get("kind")) for event, fields in client.log.lines
        ]
    assert b"cookie" not in b"".join(asked).lower()
    assert sent < 200 * len(asked), "the whole body was read"


def test_a_stream_whose_head_dribbles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte is in time, but the whole never arrives."""
    monkeypatch.setattr(elector_module, "HEADERS_TIMEOUT", 0.3)
    asked: list[bytes] = []
    head = b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 1000
    with (
        serving(lambda client: dribble(client, head), asked) as url,
        Client(url, url, None).running(),
    ):
        wait_for(lambda: len(asked) >= 2, "it to try again")


def test_a_stream_is_reopened_even_if_no_thread_can_be_created(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The command itself may have used up the limit of processes: that is no reason to stop it."""

    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    opened = threading.Event()

    def serve(client: socket.socket) -> None:
        client.sendall(STREAM)
        opened.wait(20)

    asked: list[bytes] = []
    with serving(serve, asked) as url, Client(url, url, None).running() as client:
        client.wait(Announced)
        with monkeypatch.context() as limit:
            limit.setattr(threading.Thread, "start", start)
            opened.set()
            client.wait(Announced, 2)
        assert not client.of(Failed)


def test_while_the_elector_knows_no_leader_the_query_is_repeated() -> None:
    """After each restart an elector has no leader for some hundred milliseconds."""
    answers = [b"{}", b"{}", ANSWER]
    with serving(lambda client: client.sendall(HEAD + answers.pop(0))) as url:
        assert ask_elector(url, "app-a", 20) == "app-a"
    assert answers == []


def test_no_leader_for_too_long_is_unknown_and_never_a_no(monkeypatch: pytest.MonkeyPatch) -> None:
    """A nightly job must not be skipped on every replica. Each response comes at once here, so that
    the last one is not too late either."""
    monkeypatch.setattr("leaderexec.election.elector.answer.fetch", lambda *_: b"{}")
    with pytest.raises(ElectionUnknown, match=r"knew no leader for 0\.3s"):
        ask_elector("http://127.0.0.1:1/", "app-a", 0.3)


def test_a_last_request_without_time_for_a_response_does_not_hide_that_there_was_no_leader() -> (
    None
):
    """It was answered before."""
    asked: list[bytes] = []

    def serve(client: socket.socket) -> None:
        if len(asked) == 1:
            client.sendall(HEAD + b"{}")
        else:
            client.recv(1)

    with (
        serving(serve, asked) as url,
        pytest.raises(ElectionUnknown, match=r"timed out.*; before that, it knew no leader"),
    ):
        ask_elector(url, "app-a", 2.0)


def test_after_a_failure_the_next_requests_come_at_once_then_every_second() -> None:
    """However short the contact timeout is, there is one more request before it."""
    waited: list[float | None] = []

    class Waiting(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(timeout)
            return len(waited) > 8

    asked: list[bytes] = []
    good = (1, 7)

    def serve(client: socket.socket) -> None:
        client.sendall(HEAD + (ANSWER if len(asked) in good else b"?"))

    with serving(serve, asked) as url:
        client = Client(url, url, 3600)
        client.elector._ended = Waiting()
        client.elector._poll(3600)
    assert waited == [1, 3600, 0.1, 0.2, 0.4, 0.8, 1, 3600, 0.1]


def test_a_name_that_differs_only_in_case_is_logged_only_once() -> None:
    """It is a setting that has to be changed: the next answer does not count as a recovery."""
    with (
        RunningElector("APP-A") as elector,
        Client(elector.sse_url, elector.url, 0.05).running() as client,
    ):
        client.wait(Polled, 5)
        assert [(event, fields.get("kind")) for event, fields in client.log.lines] == [
            ("elector trouble", "case-differs")
        ]
        elector.fault("restart", for_="0s")
        client.wait(Announced, 2)
        wait_for(lambda: "elector recovered" in [event for event, _ in client.log.lines])
        assert str(client.log.lines).count("case-differs") == 1


def test_a_failed_poll_is_soon_repeated() -> None:
    """Contact must not be lost for lack of asking, however long the interval is."""
    asked: list[bytes] = []

    def serve(client: socket.socket) -> None:
        client.sendall(HEAD + (b"?" if len(asked) < 3 else ANSWER))

    with (
        RunningElector("app-a") as elector,
        serving(serve, asked) as url,
        Client(elector.sse_url, url, 3600).running() as client,
    ):
        client.wait(Polled)
        assert len(asked) == 3
        wait_for(lambda: "elector recovered" in [event for event, _ in client.log.lines])
        assert len(client.log.lines) == 2


@pytest.mark.parametrize("answer", [b"no HTTP\r\n\r\n", HEAD[:-2] + b"A: a\r\n" * 200, b""])
def test_a_response_that_is_not_http_changes_nothing(answer: bytes) -> None:
    """The elector is in trouble, which is no reason to stop a command."""
    asked: list[bytes] = []
    with (
        serving(lambda client: client.sendall(answer), asked) as url,
        Client(url, url, 0.01).running() as client,
    ):
        wait_for(lambda: len(asked) >= 6, "further requests")
        kind = "broken-answer" if answer else "unreachable"
        wait_for(lambda: client.elector.troubles().keys() == {("stream", kind), ("poll", kind)})
        assert client.heard == []


def test_a_stream_that_was_given_up_hides_no_later_trouble() -> None:
    """Its own end is not logged; that the elector is gone is."""
    with (
        RunningElector("app-a") as elector,
        Client(elector.sse_url, elector.url, None).running() as client,
    ):
        client.wait(Announced)
        elector.fault("refuse")
        client.elector.resubscribe()
        wait_for(lambda: client.elector.troubles().get(("stream", "unreachable"), 0) >= 2)


def test_trouble_is_over_once_for_the_stream_and_the_polls_together() -> None:
    """One line for one recovery."""
    with (
        RunningElector("app-a") as elector,
        Client(elector.sse_url, elector.url, 0.05).running() as client,
    ):
        client.wait(Polled)
        elector.fault("refuse")
        elector.fault("reset")
        wait_for(lambda: client.elector.troubles().keys() >= {("stream", "unreachable")})
        wait_for(lambda: client.elector.troubles().keys() >= {("poll", "unreachable")})
        elector.fault("restart", for_="0s")
        wait_for(lambda: "elector recovered" in [event for event, _ in client.log.lines])
        said = [event for event, _ in client.log.lines]
        assert said.count("elector recovered") == 1


def test_resubscribe_wakes_the_reader() -> None:
    """It may be in a read that lasts for hours; there is nothing to log."""
    with (
        RunningElector("app-a", "app-b") as elector,
        Client(elector.sse_url, elector.url, None).running() as client,
    ):
        client.wait(Announced)
        elector.fault("drop-subscriber")
        elector.lead("app-b")
        client.elector.resubscribe()
        elector.wait_connects(2)
        told = client.wait(Announced, 2)
        assert isinstance(told, Announced)
        assert told.leader == "app-b"
        kinds = [type(event) for event in client.heard]
        assert kinds == [StreamOpened, Announced, StreamClosed, StreamOpened, Announced]
        assert client.log.lines == []


def test_every_announcement_of_a_flood_is_put_in_order() -> None:
    """Though the reader makes way for the deciding thread after the first of them."""
    names = [f"app-{number}" for number in range(3000)]
    flood = b"".join(b'data: {"name":"%s"}\n\n' % name.encode() for name in names)

    def serve(client: socket.socket) -> None:
        client.sendall(STREAM + flood)
        client.recv(1)

    with serving(serve) as url, Client(url, url, None).running() as client:
        client.wait(Announced, 1 + len(names))
        announced = [event.leader for event in client.heard if isinstance(event, Announced)]
        assert announced == ["app-a", *names]


def test_resubscribe_without_a_stream_does_nothing() -> None:
    """The reader is about to open one anyway."""
    with RunningElector("app-a") as elector:
        client = Client(elector.sse_url, elector.url, None)
        client.elector.resubscribe()
        assert elector.state().connects == 0


def test_a_cut_stream_is_logged_as_a_restart_of_the_elector() -> None:
    """It is the most common trouble of all, and there is nothing to do about it."""
    with (
        RunningElector("app-a") as elector,
        Client(elector.sse_url, elector.url, None).running() as client,
    ):
        client.wait(Announced)
        elector.fault("restart", for_="0s")
        client.wait(Announced, 2)
        (trouble, fields), (well, _) = client.log.lines
        assert (trouble, well) == ("elector trouble", "elector recovered")
        assert fields["kind"] == "unreachable"
        assert "IncompleteRead" in str(fields["reason"])
        assert "nothing, if the elector is restarting" in str(fields["remedy"])
