"""The bytes, as three real electors sent them on a real cluster."""

import pytest
from develector.wire_client import Client, request, settled, told

from leaderexec_elector.running import RunningElector

EVENT = b'3d\r\ndata: {"name":"%b","last_update":"TIME"}\n\n\r\n'
STREAM = (
    b"HTTP/1.1 200 OK\r\nCache-Control: no-cache\r\nConnection: keep-alive\r\n"
    b"Content-Type: text/event-stream\r\nDate: DATE\r\nTransfer-Encoding: chunked\r\n\r\n"
)
GET = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: DATE\r\n"
    b'Content-Length: 53\r\n\r\n{"name":"app-a","last_update":"TIME"}'
)


def test_a_stream_begins_with_the_last_result(elector: RunningElector) -> None:
    """The head and the last result arrive at once, in one segment."""
    with Client(elector.url) as client:
        client.ask("/sse")
        assert settled(client.segment()) == STREAM + EVENT % b"app-a"


def test_a_change_is_announced_twice_in_one_segment(elector: RunningElector) -> None:
    """It has two chunks."""
    with Client(elector.url) as client:
        client.ask("/sse")
        client.segment()
        elector.lead("app-b")
        assert settled(client.segment()) == EVENT % b"app-b" * 2


def test_every_subscriber_gets_a_change(elector: RunningElector) -> None:
    """One change reaches all streams."""
    with Client(elector.url) as one, Client(elector.url) as two:
        for client in (one, two):
            client.ask("/sse")
            client.segment()
        elector.lead("app-b")
        assert settled(one.segment()) == settled(two.segment()) == EVENT % b"app-b" * 2


def test_a_repeated_announcement_is_sent_once(elector: RunningElector) -> None:
    """A resync announces the same leader in one chunk."""
    with Client(elector.url) as client:
        client.ask("/sse")
        client.segment()
        elector.announce()
        assert settled(client.segment()) == EVENT % b"app-a"


def test_no_replica_leads_before_an_election() -> None:
    """Before an election both fields are omitted."""
    with RunningElector() as elector, Client(elector.url) as client:
        client.ask("/sse")
        client.head()
        assert client.event() == b"data: {}\n\n"
        assert request(elector.url) == (200, b"{}")


def test_no_leader_can_be_announced(elector: RunningElector) -> None:
    """Leadership can be moved to no replica."""
    with Client(elector.url) as client:
        client.ask("/sse")
        client.segment()
        elector.lead(None)
        assert client.segment() == b"a\r\ndata: {}\n\n\r\n" * 2


def test_there_can_be_candidates_without_a_leader() -> None:
    """A running elector can start with candidates and no leader."""
    with RunningElector("app-a", leader=None) as elector:
        assert elector.state().leader is None


def test_a_get_response_has_its_length(elector: RunningElector) -> None:
    """The response is one JSON object, with no newline after it."""
    with Client(elector.url) as client:
        client.ask("/", more="Connection: close\r\n")
        got = settled(client.rest())
    assert got == GET.replace(b"53\r\n", b"53\r\nConnection: close\r\n")


def test_get_keeps_the_connection_open(elector: RunningElector) -> None:
    """Several requests, including some with bodies, use one connection."""
    with Client(elector.url) as client:
        client.ask("/", "POST", more="Content-Length: 3\r\n")
        client.socket.sendall(b"abc")
        client.answer()
        client.ask("/")
        assert settled(b"".join(client.answer()[1:])) == GET
    assert elector.wait_gets(2).gets == 2


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "BREW"])
@pytest.mark.parametrize("target", ["/", "/any/path", "/sse/", "/device", "http://localhost/"])
def test_all_other_paths_and_methods_respond_alike(
    elector: RunningElector, method: str, target: str
) -> None:
    """Any path but /sse responds like /, any method like GET."""
    status, body = request(elector.url, target, method)
    assert (status, told(b"data: " + body)["name"]) == (200, "app-a")


def test_a_head_response_has_no_body(elector: RunningElector) -> None:
    """The response has the same head, and no body."""
    with Client(elector.url) as client:
        client.ask("/", "HEAD", more="Connection: close\r\n")
        assert b"Content-Length: 53\r\n" in client.head()
        assert client.rest() == b""


def test_head_on_the_stream_never_ends(elector: RunningElector) -> None:
    """HEAD on /sse gets a head and waits; announcements write nothing to it."""
    with Client(elector.url) as client:
        client.ask("/sse", "HEAD")
        assert b"Transfer-Encoding" not in client.head()
        elector.wait_subscribers(1)
        elector.lead("app-b")
        assert client.silent()


def test_an_http_1_0_stream_has_no_chunks(elector: RunningElector) -> None:
    """A client of HTTP/1.0 gets a body that lasts until the connection is closed."""
    with Client(elector.url) as client:
        client.ask("/sse", version="1.0")
        assert settled(client.head()) == (
            b"HTTP/1.0 200 OK\r\nCache-Control: no-cache\r\n"
            b"Content-Type: text/event-stream\r\nDate: DATE\r\n\r\n"
        )
        assert client.until(b"\n\n").startswith(b'data: {"name":"app-a"')


def test_a_response_says_if_the_connection_will_be_closed(elector: RunningElector) -> None:
    """If a client asks for it, the response says that the connection will be closed."""
    with Client(elector.url) as client:
        client.ask("/sse", more="Connection: close\r\n")
        assert settled(client.head()) == (
            b"HTTP/1.1 200 OK\r\nCache-Control: no-cache\r\nContent-Type: text/event-stream\r\n"
            b"Date: DATE\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        )


@pytest.mark.parametrize(
    ("sent", "allowed"),
    [
        (b"nonsense\r\n\r\n", b"write METHOD TARGET HTTP/1.1"),
        (b"GET / HTTP/2\r\n\r\n", b"write METHOD TARGET HTTP/1.1"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"NAME: VALUE"),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"Content-Length"),
        (b"GET / HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n", b"no body of more"),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"Content-Length"),
        (b"GET //[ HTTP/1.1\r\n\r\n", b"target"),
        (b"GET /" + b"x" * 70000 + b" HTTP/1.1\r\n\r\n", b"shorter head"),
    ],
)
def test_the_response_to_a_bad_request_says_what_is_allowed(
    elector: RunningElector, sent: bytes, allowed: bytes
) -> None:
    """A malformed request gets 400, and the connection is closed."""
    with Client(elector.url) as client:
        client.socket.sendall(sent)
        status, head, body = client.answer()
        assert status == 400
        assert b"Connection: close" in head
        assert allowed in body


def test_a_client_that_disconnects_is_forgotten(elector: RunningElector) -> None:
    """A closed stream is no longer a subscriber."""
    with Client(elector.url) as client:
        client.ask("/sse")
        elector.wait_subscribers(1)
    assert elector.wait_subscribers(0).connects == 1


def test_a_client_that_resets_its_connection_is_forgotten(elector: RunningElector) -> None:
    """What a client sends on its stream is discarded, and its RST ends the stream."""
    with Client(elector.url) as client:
        client.ask("/sse")
        elector.wait_subscribers(1)
        client.ask("/")
        elector.lead("app-b")
        client.reset()
        elector.wait_subscribers(0)
    assert elector.state().gets == 0


def test_close_ends_streams_without_the_final_chunk() -> None:
    """A stream that the elector ends just stops."""
    with RunningElector("app-a") as elector:
        client = Client(elector.url)
        client.ask("/sse")
        client.head()
        client.event()
    with client:
        assert client.rest() == b""


def test_names_are_json(elector: RunningElector) -> None:
    """A name with quotes, line endings and other scripts stays one line of JSON."""
    name = 'a"\n\\é'
    with Client(elector.url) as client:
        client.ask("/sse")
        client.segment()
        elector.lead(name)
        event = client.event()
        assert told(event)["name"] == name
        assert event.count(b"\n") == 2


def test_a_client_that_never_reads_delays_no_other(elector: RunningElector) -> None:
    """Announcements still reach the others while one client does not read."""
    with Client(elector.url) as deaf, Client(elector.url) as client:
        for each in (deaf, client):
            each.ask("/sse")
        elector.wait_subscribers(2)
        client.head()
        client.event()
        for name in ("app-b", "app-a") * 20:
            elector.lead(name)
            assert {told(client.event())["name"], told(client.event())["name"]} == {name}
