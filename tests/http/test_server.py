"""The HTTP server: correct, bounded, and never in anybody's way."""

import http.client
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from support import wait_for

from leaderexec.http import server as served
from leaderexec.http.live import Live
from leaderexec.http.server import Request, Response, Server, plain
from leaderexec.status.snapshot import Published

Serve = Callable[..., int]


def respond(request: Request) -> Response:
    """Answer some paths."""
    if request.path == "/bug":
        raise ValueError("a bug")
    if request.path == "/long":
        return Response(200, "text/plain", b"x" * 5_000_000)
    return plain(200, request.path)


@pytest.fixture
def complaints() -> list[str]:
    """What the server complained of."""
    return []


@pytest.fixture
def port(complaints: list[str]) -> Iterator[int]:
    """Run a server; return its port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setblocking(False)
    server = Server(listener, respond, complaints.append)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    server.close()
    thread.join(10)
    assert not thread.is_alive()


def raw(port: int, data: bytes) -> bytes:
    """Send bytes, and return all that comes until the end."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as caller:
        caller.sendall(data)
        answer = b""
        while part := caller.recv(65536):
            answer += part
    return answer


def ask(port: int, method: str, path: str, body: bytes | None = None) -> http.client.HTTPResponse:
    """Ask properly; the answer has been read."""
    caller = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    caller.request(method, path, body)
    answer = caller.getresponse()
    answer.text = answer.read()  # type: ignore[attr-defined]
    caller.close()
    return answer


def test_a_get_is_answered_and_the_connection_closed(port: int) -> None:
    """With a length, and not to be kept by any cache."""
    answer = ask(port, "GET", "/livez?verbose")
    assert (answer.status, answer.reason) == (200, "OK")
    assert answer.text == b"/livez\n"  # type: ignore[attr-defined]
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Content-Length"] == "7"
    assert answer.headers["Connection"] == "close"


def test_a_head_has_the_headers_of_the_get_and_no_body(port: int) -> None:
    """RFC 9110, section 9.3.2."""
    answer = raw(port, b"HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert b"Content-Length: 7" in head
    assert body == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_no_request_can_change_anything(port: int, method: str) -> None:
    """405 says which methods there are; a body is not waited for."""
    answer = ask(port, method, "/leader", b"x" * 200_000)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 20_000, b"431"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 10 + b"\r\n\r\n", b"400"),
    ],
    ids=["nonsense", "no host", "oversized", "TLS"],
)
def test_a_bad_request_is_told_so(port: int, request_bytes: bytes, status: bytes) -> None:
    """And ends there."""
    assert raw(port, request_bytes).startswith(b"HTTP/1.1 " + status)


def test_a_request_may_come_byte_by_byte(port: int) -> None:
    """As slowly as its deadline allows."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as caller:
        for byte in b"GET /leader HTTP/1.1\r\nHost: x\r\n\r\n":
            caller.sendall(bytes([byte]))
        assert caller.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_a_bug_of_a_page_is_told_and_the_next_request_answered(
    port: int, complaints: list[str]
) -> None:
    """500, and a log line."""
    assert ask(port, "GET", "/bug").status == 500
    assert complaints == ["/bug: ValueError: a bug"]
    assert ask(port, "GET", "/").status == 200


def test_a_long_answer_waits_for_a_slow_reader_and_holds_up_nobody(port: int) -> None:
    """It is sent as the reader takes it."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as slow:
        slow.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
        assert ask(port, "GET", "/").status == 200
        got = 0
        while part := slow.recv(65536):
            got += len(part)
    assert got > 5_000_000


def test_a_caller_that_says_nothing_is_dropped(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """When its time is over, whether it has begun a request or not."""
    monkeypatch.setattr(served, "DEADLINE", 0.2)
    for data in (b"", b"GET /"):
        assert raw(port, data) == b""


def test_a_thousand_idle_connections_lose_to_the_next_request(port: int) -> None:
    """The oldest go; the newest is answered."""
    idle = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(1000)]
    try:
        assert ask(port, "GET", "/livez").status == 200
        idle[0].settimeout(20)
        assert idle[0].recv(1) == b""
    finally:
        for caller in idle:
            caller.close()


def test_no_more_connections_are_kept_than_a_quarter_of_the_descriptors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The others are for starting and stopping the command."""
    monkeypatch.setattr("resource.getrlimit", lambda _: (64, 64))
    server = Server(socket.create_server(("127.0.0.1", 0)), respond, print)
    assert server.most_connections == 16
    server.close()
    server.serve()


def test_callers_that_hang_up_early_leave_nothing_behind(port: int) -> None:
    """In the middle of a request, of an answer, or by a reset."""
    for data in (b"", b"GET /long", b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n"):
        caller = socket.create_connection(("127.0.0.1", port), timeout=20)
        caller.sendall(data)
        # l_onoff 1, l_linger 0: close with a reset (socket(7), SO_LINGER).
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        caller.close()
    assert ask(port, "GET", "/").status == 200


def test_what_comes_after_the_first_request_is_not_answered(port: int) -> None:
    """One answer a connection: pipelining finds nobody."""
    one = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = raw(port, one % 1 + one % 2)
    assert answer.count(b"HTTP/1.1 200") == 1
    assert answer.endswith(b"/1\n")


class Feed(Live):
    """Messages that are told when the test says so."""

    def __init__(self, message: bytes = b"data: {}\n\n") -> None:
        super().__init__(Published(lambda: None), None, None)  # type: ignore[arg-type]
        self.text = message
        self.is_followed = False
        self.bug = False

    def follow(self, *, on: bool) -> None:
        """Note it."""
        self.is_followed = on

    def due_in(self) -> float:
        """Return 0 when the test has news."""
        return 0.0 if self._changed else 1000.0

    def event(self) -> bytes:
        """Return the message."""
        if self.bug:
            raise ValueError("a bug")
        return self.text


@pytest.fixture
def feed() -> Feed:
    """What followers are told."""
    return Feed()


@pytest.fixture
def followed(feed: Feed, complaints: list[str]) -> Iterator[tuple[Server, int]]:
    """Run a server whose /events goes on; return it with its port."""

    def answer(request: Request) -> Response:
        if request.path == "/events":
            return Response(200, "text/event-stream", b"retry: 1\n\n", follows=True)
        return respond(request)

    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setblocking(False)
    server = Server(listener, answer, complaints.append, feed)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    yield server, listener.getsockname()[1]
    server.close()
    thread.join(10)
    assert not thread.is_alive()


def follow(port: int) -> http.client.HTTPResponse:
    """Follow; the beginning has been read."""
    caller = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    caller.request("GET", "/events")
    answer = caller.getresponse()
    assert answer.status == 200
    assert answer.readline() == b"retry: 1\n"
    assert answer.readline() == b"\n"
    return answer


def test_a_follower_is_told_what_comes_until_it_hangs_up(
    followed: tuple[Server, int], feed: Feed
) -> None:
    """For longer than any deadline; when the last has gone, nothing is followed any more."""
    _, port = followed
    follower = follow(port)
    assert follower.headers["Content-Type"] == "text/event-stream"
    assert follower.headers["Content-Length"] is None
    for count in range(3):
        feed.text = b"data: %d\n\n" % count
        feed.news()
        assert follower.readline() == b"data: %d\n" % count
        assert follower.readline() == b"\n"
    assert feed.is_followed
    follower.close()
    wait_for(lambda: not feed.is_followed, "the server to see that it hung up")


def test_a_follower_outlives_the_deadline_of_a_request(
    followed: tuple[Server, int], feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no slow caller."""
    monkeypatch.setattr(served, "DEADLINE", 2.0)
    _, port = followed
    follower = follow(port)
    assert raw(port, b"") == b""
    feed.news()
    assert follower.readline() == b"data: {}\n"
    follower.close()


def test_one_follower_too_many_is_told_so(followed: tuple[Server, int], feed: Feed) -> None:
    """503, with when to try again; probes are answered, and the others go on."""
    server, port = followed
    followers = [follow(port) for _ in range(server.most_followers)]
    refused = ask(port, "GET", "/events")
    assert refused.status == 503
    assert refused.headers["Retry-After"] == "5"
    assert ask(port, "GET", "/livez").status == 200
    feed.news()
    for follower in followers:
        assert follower.readline() == b"data: {}\n"
    followers[0].close()
    wait_for(lambda: len(server._followers) < server.most_followers, "its place to be free")
    follow(port).close()
    for follower in followers:
        follower.close()


def test_followers_do_not_lose_to_a_thousand_idle_connections(
    followed: tuple[Server, int], feed: Feed
) -> None:
    """They are few, and counted apart."""
    _, port = followed
    follower = follow(port)
    idle = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(1000)]
    try:
        assert ask(port, "GET", "/livez").status == 200
        feed.news()
        assert follower.readline() == b"data: {}\n"
    finally:
        follower.close()
        for caller in idle:
            caller.close()


def test_a_follower_that_does_not_read_is_dropped_and_the_others_go_on(
    followed: tuple[Server, int], feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has one message waiting, at most."""
    server, port = followed
    feed.text = b"data: %s\n\n" % (b"x" * 1_000_000)
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", port))
        slow.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: len(server._followers) == 1, "it to follow")
        reader = follow(port)
        monkeypatch.setattr(served, "DEADLINE", 0.2)
        while len(server._followers) == 2:
            feed.news()
            assert reader.readline() == feed.text[:-1]
            assert reader.readline() == b"\n"
            for one in list(server._followers.values()):
                assert len(one.to_send) < 1_100_000
        assert len(server._followers) == 1
        reader.close()


def test_a_bug_in_a_message_ends_the_streams_and_nothing_else(
    followed: tuple[Server, int], feed: Feed, complaints: list[str]
) -> None:
    """It is logged; the page tries again."""
    _, port = followed
    follower = follow(port)
    feed.bug = True
    feed.news()
    with pytest.raises(http.client.IncompleteRead):
        follower.read()
    assert complaints == ["to followers: ValueError: a bug"]
    assert ask(port, "GET", "/livez").status == 200
    follower.close()


def test_a_head_of_a_stream_has_no_body_and_ends(followed: tuple[Server, int], feed: Feed) -> None:
    """It does not count as a follower."""
    server, port = followed
    answer = raw(port, b"HEAD /events HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"\r\n\r\n")
    assert not server._followers
    assert not feed.is_followed


def test_a_caller_that_hangs_up_in_the_middle_of_a_long_answer_hurts_nobody(port: int) -> None:
    """By halves, too: the rest of its answer is dropped, once."""
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.connect(("127.0.0.1", port))
        caller.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
        assert caller.recv(1) == b"H"
        caller.shutdown(socket.SHUT_WR)
        assert ask(port, "GET", "/").status == 200
    assert ask(port, "GET", "/").status == 200
