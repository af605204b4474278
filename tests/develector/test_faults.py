"""Every fault, as it looks on the wire."""

import errno
import time
from collections.abc import Iterator

import pytest
from develector.wire_client import Client, request, told

from leaderexec_elector.faults import FAULTS, GARBAGE, FaultError
from leaderexec_elector.running import RunningElector


@pytest.fixture
def stream(elector: RunningElector) -> Iterator[Client]:
    """A stream that has had its first event."""
    with Client(elector.url) as client:
        client.ask("/sse")
        client.head()
        client.event()
        elector.wait_subscribers(1)
        yield client


def _armed(elector: RunningElector) -> list[str]:
    return [fault["name"] for fault in elector.state().faults]


def _first_event(elector: RunningElector) -> bytes:
    with Client(elector.url) as client:
        client.ask("/sse")
        client.head()
        return client.event()


def test_refuse_refuses_connections_until_disarmed(elector: RunningElector, stream: Client) -> None:
    """New connections are refused, open ones stay; later the same port listens again."""
    elector.fault("refuse")
    with pytest.raises(ConnectionRefusedError):
        Client(elector.url)
    elector.lead("app-b")
    assert told(stream.event())["name"] == "app-b"
    elector.clear("refuse")
    assert request(elector.url)[0] == 200


def test_refuse_can_have_an_end(elector: RunningElector) -> None:
    """With `for` it listens again after that time."""
    elector.fault("refuse", for_="10ms")
    elector.wait_until(lambda state: not state.faults)
    assert request(elector.url)[0] == 200


def test_reset_cuts_a_stream_in_mid_event(elector: RunningElector, stream: Client) -> None:
    """Half an event, then RST; the next stream is whole again."""
    elector.fault("reset")
    half = stream.until_reset()
    assert half.startswith(b'3d\r\ndata: {"name":"')
    assert b"\n\n" not in half
    assert _armed(elector) == []
    assert told(_first_event(elector))["name"] == "app-a"


def test_reset_waits_for_a_stream(elector: RunningElector) -> None:
    """If no stream is open the next one is cut."""
    elector.fault("reset")
    with Client(elector.url) as client:
        client.ask("/sse")
        client.head()
        assert b"\n\n" not in client.until_reset()


def test_reset_cuts_a_get(elector: RunningElector) -> None:
    """Limited to GET, it cuts the body."""
    elector.fault("reset", only="get")
    with Client(elector.url) as client:
        client.ask("/")
        assert b"Content-Length: 53" in client.head()
        assert b"\n\n" not in client.until_reset()


def test_half_open_streams_stay_silent(elector: RunningElector, stream: Client) -> None:
    """Open streams stay silent for good; a new one gets its head; GET responds."""
    elector.fault("half-open")
    with Client(elector.url) as client:
        client.ask("/sse")
        assert b"text/event-stream" in client.head()
        elector.wait_connects(2)
        elector.clear()
        elector.lead("app-b")
        assert client.silent()
        assert stream.silent()
    assert b"app-b" in request(elector.url)[1]


def test_silence_sends_no_response(elector: RunningElector, stream: Client) -> None:
    """Connections are accepted and get no response, streams and GET alike."""
    elector.fault("silence")
    with Client(elector.url) as get, Client(elector.url) as sse:
        get.ask("/")
        sse.ask("/sse")
        elector.wait_gets(1)
        elector.wait_connects(2)
        elector.lead("app-b")
        assert get.silent()
        assert sse.silent()
        assert stream.silent()


def test_after_silence_streams_continue(elector: RunningElector, stream: Client) -> None:
    """Once disarmed, open streams get the next change."""
    elector.fault("silence")
    elector.lead("app-b")
    elector.clear("silence")
    elector.lead("app-a")
    assert told(stream.event())["name"] == "app-a"


def test_slow_sends_byte_by_byte(elector: RunningElector) -> None:
    """The bytes arrive one by one, never sooner than their pauses allow, and all of them do."""
    elector.fault("slow", delay="1ms")
    with Client(elector.url) as client:
        client.ask("/sse")
        begin = time.monotonic()
        head = client.head()
        assert told(client.event())["name"] == "app-a"
        assert time.monotonic() - begin > len(head) * 0.001


def test_a_client_may_disconnect_in_mid_response(elector: RunningElector) -> None:
    """A client that resets its connection does not affect the next one."""
    elector.fault("slow", delay="1ms")
    with Client(elector.url) as client:
        client.ask("/")
        client.socket.recv(1)
        client.reset()
    assert request(elector.url)[0] == 200


def test_split_sends_each_byte_by_itself(elector: RunningElector) -> None:
    """The whole response is the same."""
    elector.fault("split")
    assert told(_first_event(elector))["name"] == "app-a"
    assert b"app-a" in request(elector.url)[1]


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_is_on_streams_and_get(elector: RunningElector, stream: Client, kind: str) -> None:
    """Streams, new and open, and GET have it."""
    elector.fault("garbage", kind=kind)
    elector.announce()
    expected = b"data: " + GARBAGE[kind] + b"\n\n"
    assert stream.event() == expected
    assert _first_event(elector) == expected
    assert request(elector.url) == (200, GARBAGE[kind])


def test_an_oversized_line_never_ends(elector: RunningElector) -> None:
    elector.fault("oversized", kind="line")
    with Client(elector.url) as client:
        client.ask("/sse")
        client.head()
        assert client.event() == b"data: "
        assert client.event() == client.event() == b"x" * 65536


def test_an_oversized_line_does_not_affect_get(elector: RunningElector) -> None:
    """An endless line only affects streams, and a GET does not use it up."""
    elector.fault("oversized", kind="line", count=1)
    assert len(request(elector.url)[1]) == 53
    assert _armed(elector) == ["oversized"]


def test_an_oversized_line_goes_on_through_announcements(
    elector: RunningElector, stream: Client
) -> None:
    """Nothing ends a line that was begun, nor does it delay announcements."""
    elector.fault("oversized", kind="line")
    elector.announce()
    elector.clear()
    elector.lead("app-b")
    assert stream.event() == b"data: "
    assert {stream.event() for _ in range(5)} == {b"x" * 65536}


def test_an_oversized_event_is_long_as_a_whole(elector: RunningElector) -> None:
    """Its lines are short, its size is over the limit, and it ends."""
    elector.fault("oversized", kind="event", size=100_000)
    lines = _first_event(elector).split(b"\n")
    assert sum(map(len, lines)) > 100_000
    assert max(map(len, lines)) == 1023
    assert lines[-3].startswith(b'data: {"name":"app-a"')


def test_an_oversized_get_is_long(elector: RunningElector) -> None:
    """The response is still JSON, of the requested size."""
    elector.fault("oversized", kind="get", size=100_000)
    body = request(elector.url)[1]
    assert len(body) == 100_000
    assert told(b"data: " + body)["name"] == "app-a"


@pytest.mark.parametrize("target", ["/", "/sse"])
def test_a_redirect_is_sent_and_counted_when_followed(elector: RunningElector, target: str) -> None:
    """It leads to the elector itself, which counts the clients that follow."""
    elector.fault("redirect")
    with Client(elector.url) as client:
        client.ask(target)
        status, head, _ = client.answer()
        assert (status, b"Location: /?followed\r\n" in head) == (302, True)
        assert elector.state().followed == 0
        client.ask("/?followed")
        assert client.answer()[0] == 200
    assert elector.state().followed == 1


def test_a_redirect_can_lead_elsewhere(elector: RunningElector) -> None:
    """The location and the status can be set."""
    elector.fault("redirect", to="http://192.0.2.1/", status=307)
    with Client(elector.url) as client:
        client.ask("/sse")
        status, head, _ = client.answer()
        assert (status, b"Location: http://192.0.2.1/\r\n" in head) == (307, True)


@pytest.mark.parametrize(
    ("status", "phrase"), [(500, b"Internal Server Error"), (404, b"Not Found"), (599, b"status")]
)
def test_500_can_be_any_error(elector: RunningElector, status: int, phrase: bytes) -> None:
    """Both the stream and GET get the status."""
    elector.fault("500", status=status)
    for target in ("/", "/sse"):
        got, body = request(elector.url, target)
        assert got == status
        assert body.startswith(phrase)


def test_content_type_changes_only_the_type(elector: RunningElector) -> None:
    """Only the type differs."""
    elector.fault("content-type")
    with Client(elector.url) as get, Client(elector.url) as sse:
        get.ask("/")
        assert b"Content-Type: text/html\r\n" in get.answer()[1]
        sse.ask("/sse")
        assert b"Content-Type: text/html\r\n" in sse.head()
        assert told(sse.event())["name"] == "app-a"


def test_drop_subscriber_forgets_open_streams(elector: RunningElector, stream: Client) -> None:
    """The stream stays open and gets nothing; a new one does."""
    elector.fault("drop-subscriber")
    state = elector.state()
    assert (state.subscribers, state.streams, state.faults) == (0, 1, ())
    elector.lead("app-b")
    assert stream.silent()
    assert told(_first_event(elector))["name"] == "app-b"


def test_drop_subscriber_waits_for_a_stream(elector: RunningElector) -> None:
    """If no stream is open the next one gets its first event and is forgotten."""
    elector.fault("drop-subscriber")
    with Client(elector.url) as client:
        client.ask("/sse")
        client.head()
        assert told(client.event())["name"] == "app-a"
        state = elector.state()
        assert (state.subscribers, state.streams) == (0, 1)


def test_restart_ends_streams_and_comes_back(elector: RunningElector, stream: Client) -> None:
    """Streams end without a final chunk, connections are refused, the leader stays the same."""
    elector.fault("restart", for_="20s")
    assert stream.rest() == b""
    with pytest.raises(ConnectionRefusedError):
        Client(elector.url)
    elector.clear("restart")
    assert told(_first_event(elector))["name"] == "app-a"


def test_a_second_outage_replaces_the_first(elector: RunningElector) -> None:
    """A restart ends a refusal, and vice versa."""
    elector.fault("refuse")
    elector.fault("restart", for_="20s")
    assert _armed(elector) == ["restart"]
    elector.fault("refuse")
    assert _armed(elector) == ["refuse"]
    with pytest.raises(ConnectionRefusedError):
        Client(elector.url)


def test_restart_ends_after_its_time(elector: RunningElector) -> None:
    """After `for` it listens again."""
    elector.fault("restart", for_="10ms")
    elector.wait_until(lambda state: not state.faults)
    assert request(elector.url)[0] == 200


def test_after_a_restart_the_election_can_come_later(elector: RunningElector) -> None:
    """With `empty` the first response is {}, and the leader is announced after it."""
    elector.fault("restart", for_="0s", empty="500ms")
    with Client(_listening(elector)) as client:
        client.ask("/sse")
        client.head()
        assert client.event() == b"data: {}\n\n"
        assert told(client.event())["name"] == told(client.event())["name"] == "app-a"


def _listening(elector: RunningElector) -> str:
    while True:
        try:
            Client(elector.url).socket.close()
        except OSError as error:
            assert error.errno == errno.ECONNREFUSED  # noqa: PT017 - no other error may pass
        else:
            return elector.url


def test_a_flap_ends_where_it_began(elector: RunningElector, stream: Client) -> None:
    """Leadership goes through the candidates and back, each change announced twice."""
    elector.fault("flap", gap="1ms")
    seen = [told(stream.event())["name"] for _ in range(6)]
    assert seen == ["app-a", "app-a", "app-b", "app-b", "app-a", "app-a"]
    assert _armed(elector) == []


def test_a_flap_can_be_configured(elector: RunningElector, stream: Client) -> None:
    """The names, how often, and the final leader can be set."""
    elector.fault("flap", names="app-b/app-c", times=2, gap="0s", final="app-b")
    seen = [told(stream.event())["name"] for _ in range(10)][::2]
    assert seen == ["app-b", "app-c", "app-b", "app-c", "app-b"]
    assert elector.state().candidates == ("app-a", "app-b", "app-c")


def test_empty_names_no_leader(elector: RunningElector, stream: Client) -> None:
    """Streams and GET get {} though there is a leader."""
    elector.fault("empty")
    elector.announce()
    assert stream.event() == b"data: {}\n\n"
    assert request(elector.url) == (200, b"{}")


def test_truncate_ends_cleanly_after_half_an_event(elector: RunningElector, stream: Client) -> None:
    """The half event is a whole chunk, and the final chunk follows."""
    elector.fault("truncate")
    half = stream.event()
    assert half.startswith(b'data: {"name"')
    assert b"\n" not in half
    assert stream.rest() == b"0\r\n\r\n"


def test_truncate_shortens_a_get(elector: RunningElector) -> None:
    """The body is shorter than its length says."""
    elector.fault("truncate", only="get")
    with Client(elector.url) as client:
        client.ask("/")
        assert b"Content-Length: 53" in client.head()
        assert 0 < len(client.rest()) < 53


def test_bom_is_at_the_start_of_the_stream(elector: RunningElector) -> None:
    """The mark comes before the first event, and only there."""
    elector.fault("bom")
    with Client(elector.url) as client:
        client.ask("/sse")
        client.head()
        assert client.event().startswith(b"\xef\xbb\xbfdata: {")
        elector.announce()
        assert client.event().startswith(b"data: {")


def test_mixed_newlines_are_all_valid(elector: RunningElector) -> None:
    """Events end in every way the standard allows."""
    elector.fault("mixed-newlines")
    ends = set()
    with Client(elector.url) as client:
        client.ask("/sse")
        client.head()
        ends.add(client.event().partition(b"}")[2])
        for _ in range(3):
            elector.announce()
            ends.add(client.event().partition(b"}")[2])
    assert ends == {b"\n\r", b"\r\n\n", b"\r\r\n", b"\r\r"}


def test_not_chunked_lasts_until_the_close(elector: RunningElector) -> None:
    """The body has no chunks; each event arrives when it is sent."""
    elector.fault("not-chunked")
    with Client(elector.url) as client:
        client.ask("/sse")
        head = client.head()
        assert b"Transfer-Encoding" not in head
        assert b"Connection: close" in head
        assert told(client.until(b"\n\n"))["name"] == "app-a"
        elector.lead("app-b")
        assert told(client.until(b"\n\n"))["name"] == "app-b"


def test_not_chunked_can_be_truncated(elector: RunningElector) -> None:
    """Without chunks a truncated stream has no final chunk either."""
    elector.fault("not-chunked")
    elector.fault("truncate")
    with Client(elector.url) as client:
        client.ask("/sse")
        client.head()
        assert client.rest() == b'data: {"name":"app-a","last_up'


def test_only_limits_a_fault(elector: RunningElector) -> None:
    """A fault limited to GET does not affect the stream, and vice versa."""
    elector.fault("garbage", only="get")
    assert told(_first_event(elector))["name"] == "app-a"
    assert request(elector.url)[1] == b"not json"
    elector.fault("garbage", only="sse")
    assert _first_event(elector) == b"data: not json\n\n"
    assert b"app-a" in request(elector.url)[1]


def test_count_limits_a_fault(elector: RunningElector) -> None:
    """After this many uses the fault is over."""
    elector.fault("500", count=2)
    assert [request(elector.url)[0] for _ in range(3)] == [500, 500, 200]
    assert _armed(elector) == []


def test_an_announcement_does_not_use_up_a_fault_of_heads(
    elector: RunningElector, stream: Client
) -> None:
    """A fault that concerns heads waits for the next request."""
    elector.fault("500", count=1)
    elector.announce()
    assert told(stream.event())["name"] == "app-a"
    assert request(elector.url)[0] == 500


def test_faults_combine(elector: RunningElector) -> None:
    """Several can be armed at once."""
    elector.fault("garbage", kind="array")
    elector.fault("split")
    elector.fault("bom")
    assert _first_event(elector) == b'\xef\xbb\xbfdata: ["app-a"]\n\n'


def test_clear_disarms_one_or_all(elector: RunningElector) -> None:
    """It names one fault, or none for all."""
    for name in ("slow", "bom", "empty"):
        elector.fault(name)
    elector.clear("bom")
    elector.clear("bom")
    assert _armed(elector) == ["slow", "empty"]
    elector.clear()
    assert _armed(elector) == []


@pytest.mark.parametrize(
    ("name", "settings", "allowed"),
    [
        ("slow", {"delay": "fast"}, "500ms, 10s"),
        ("slow", {"pace": "1s"}, "delay, only, count"),
        ("garbage", {"kind": "x"}, "name-null"),
        ("500", {"status": "200"}, "400 to 599"),
        ("500", {"status": "x"}, "400 to 599"),
        ("500", {"count": "0"}, "1 to"),
        ("bom", {"only": "sse"}, "allowed are count"),
        ("refuse", {"count": "1"}, "allowed are for"),
        ("redirect", {"to": "\r\n"}, "printable"),
        ("flap", {"names": "a,,b"}, "1 to 253"),
        ("nothing", {}, "half-open"),
    ],
)
def test_bad_settings_say_what_is_allowed(
    elector: RunningElector, name: str, settings: dict[str, str], allowed: str
) -> None:
    """The wrong fault, setting or value is refused, and nothing is armed."""
    with pytest.raises(FaultError, match=allowed):
        elector.fault(name, **settings)
    assert _armed(elector) == []


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_can_be_armed_and_disarmed(elector: RunningElector, name: str) -> None:
    """Afterwards the elector responds as before."""
    elector.fault(name)
    elector.clear()
    assert b"app-a" in request(elector.url)[1]
    assert told(_first_event(elector))["name"] == "app-a"
