"""The HTTP server: correct, bounded, and never in the way."""

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
    """Respond to some paths."""
    if request.path == "/bug":
        raise ValueError("a bug")
    if request.path == "/long":
        return Response(200, "text/plain", b"x" * 5_000_000)
    return plain(200, request.path)


@pytest.fixture
def complaints() -> list[str]:
    """The server's log messages."""
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
    """Send bytes, and return everything received until the end."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as caller:
        caller.sendall(data)
        answer = b""
        while part := caller.recv(65536):
            answer += part
    return answer


def ask(port: int, method: str, path: str, body: bytes | None = None) -> http.client.HTTPResponse:
    """Send a correct request, and read the response."""
    caller = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    caller.request(method, path, body)
    answer = caller.getresponse()
    answer.text = answer.read()  # type: ignore[attr-defined]
    caller.close()
    return answer


def test_a_get_is_answered_and_the_connection_closed(port: int) -> None:
    """With a length, and not cacheable."""
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
    """405 lists the methods; the body is not read."""
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
def test_a_bad_request_gets_an_error(port: int, request_bytes: bytes, status: bytes) -> None:
    """And the connection is closed."""
    assert raw(port, request_bytes).startswith(b"HTTP/1.1 " + status)


def test_a_request_may_arrive_byte_by_byte(port: int) -> None:
    """As slowly as its deadline allows."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as caller:
        for byte in b"GET /leader HTTP/1.1\r\nHost: x\r\n\r\n":
            caller.sendall(bytes([byte]))
        assert caller.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_a_bug_in_a_page_is_logged_and_the_next_request_is_answered(
    port: int, complaints: list[str]
) -> None:
    """500, and a log line."""
    assert ask(port, "GET", "/bug").status == 500
    assert complaints == ["/bug: ValueError: a bug"]
    assert ask(port, "GET", "/").status == 200


def test_a_long_response_waits_for_a_slow_reader_and_delays_no_other_client(port: int) -> None:
    """It is sent as fast as the reader takes it."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as slow:
        slow.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
        assert ask(port, "GET", "/").status == 200
        got = 0
        while part := slow.recv(65536):
            got += len(part)
    assert got > 5_000_000


def test_a_silent_client_is_disconnected(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """When its time is over, whether it has begun a request or not."""
    monkeypatch.setattr(served, "DEADLINE", 0.2)
    for data in (b"", b"GET /"):
        assert raw(port, data) == b""


def test_a_thousand_idle_connections_make_room_for_the_next_request(port: int) -> None:
    """The oldest are closed; the newest request is answered."""
    idle = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(1000)]
    try:
        assert ask(port, "GET", "/livez").status == 200
        idle[0].settimeout(20)
        assert idle[0].recv(1) == b""
    finally:
        for caller in idle:
            caller.close()


def test_connections_use_a_quarter_of_the_descriptors_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The others are for starting and stopping the command."""
    monkeypatch.setattr("resource.getrlimit", lambda _: (64, 64))
    server = Server(socket.create_server(("127.0.0.1", 0)), respond, print)
    assert server.most_connections == 16
    server.close()
    server.serve()


def test_clients_that_disconnect_early_leave_nothing_behind(port: int) -> None:
    """In the middle of a request or a response, or by a reset."""
    for data in (b"", b"GET /long", b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n"):
        caller = socket.create_connection(("127.0.0.1", port), timeout=20)
        caller.sendall(data)
        # l_onoff 1, l_linger 0: close with a reset (socket(7), SO_LINGER).
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        caller.close()
    assert ask(port, "GET", "/").status == 200


def test_only_the_first_request_on_a_connection_is_answered(port: int) -> None:
    """One response per connection: there is no pipelining."""
    one = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = raw(port, one % 1 + one % 2)
    assert answer.count(b"HTTP/1.1 200") == 1
    assert answer.endswith(b"/1\n")


class Feed(Live):
    """A stream whose messages come when the test says so."""

    def __init__(self, message: bytes = b"data: {}\n\n") -> None:
        super().__init__(Published(lambda: None), None, None)  # type: ignore[arg-type]
        self.text = message
        self.is_followed = False
        self.bug = False
        self.made = 0

    def follow(self, *, on: bool) -> None:
        """Remember it."""
        self.is_followed = on

    def due_in(self) -> float:
        """Return 0 if the test has news."""
        return 0.0 if self._changed else 1000.0

    def event(self) -> bytes:
        """Return the message."""
        self.made += 1
        if self.bug:
            raise ValueError("a bug")
        return self.text


@pytest.fixture
def feed() -> Feed:
    """The stream for the followers."""
    return Feed()


@pytest.fixture
def followed(feed: Feed, complaints: list[str]) -> Iterator[tuple[Server, int]]:
    """Run a server with an endless /events; return it with its port."""

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
    """Follow; the beginning has been read, and the first message."""
    caller = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    caller.request("GET", "/events")
    answer = caller.getresponse()
    assert answer.status == 200
    assert answer.readline() == b"retry: 1\n"
    assert answer.readline() == b"\n"
    assert answer.readline().startswith(b"data: ")
    assert answer.readline() == b"\n"
    return answer


def test_a_follower_gets_all_messages_until_it_disconnects(
    followed: tuple[Server, int], feed: Feed
) -> None:
    """For longer than any deadline; once the last has gone, nothing is followed any more."""
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
    """It is not a slow client."""
    monkeypatch.setattr(served, "DEADLINE", 2.0)
    _, port = followed
    follower = follow(port)
    assert raw(port, b"") == b""
    feed.news()
    assert follower.readline() == b"data: {}\n"
    follower.close()


def test_one_follower_too_many_is_told_so(followed: tuple[Server, int], feed: Feed) -> None:
    """503, with when to try again, and before anything is made for it; probes are answered, and the
    others go on."""
    server, port = followed
    followers = [follow(port) for _ in range(server.most_followers)]
    refused = ask(port, "GET", "/events")
    assert refused.status == 503
    assert feed.made == len(followers)
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


def test_a_thousand_idle_connections_displace_no_follower(
    followed: tuple[Server, int], feed: Feed
) -> None:
    """There are few of them, and they are counted separately."""
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


def test_a_follower_that_does_not_read_is_disconnected_and_the_others_stay(
    followed: tuple[Server, int], feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most one message is waiting for it."""
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
    """It is logged; the page reconnects."""
    _, port = followed
    follower = follow(port)
    feed.bug = True
    feed.news()
    with pytest.raises(http.client.IncompleteRead):
        follower.read()
    assert complaints == ["to followers: ValueError: a bug"]
    assert ask(port, "GET", "/livez").status == 200
    follower.close()
    with pytest.raises(http.client.RemoteDisconnected):
        ask(port, "GET", "/events")
    assert complaints == ["to followers: ValueError: a bug"] * 2
    assert ask(port, "GET", "/livez").status == 200


def test_a_head_of_a_stream_has_no_body_and_ends(followed: tuple[Server, int], feed: Feed) -> None:
    """It does not count as a follower."""
    server, port = followed
    answer = raw(port, b"HEAD /events HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"\r\n\r\n")
    assert not server._followers
    assert not feed.is_followed


def test_a_client_that_disconnects_during_a_long_response_does_no_harm(port: int) -> None:
    """Also if it closes one direction only: the rest of its response is dropped, once."""
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.connect(("127.0.0.1", port))
        caller.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
        assert caller.recv(1) == b"H"
        caller.shutdown(socket.SHUT_WR)
        assert ask(port, "GET", "/").status == 200
    assert ask(port, "GET", "/").status == 200
