"""All replicas are asked at once; no answer is waited for, or read, without a bound."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from support import wait_for

from leaderexec.peers import asking, watched
from leaderexec.peers.asking import Asking
from leaderexec.peers.watched import Watched

Serve = Callable[[bytes], str]
STANDBY = {"identity": "app-a", "role": "standby", "confirmed": True, "is_leader": False}


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow for a busy machine."""
    monkeypatch.setattr(asking, "PATIENCE", 60.0)


def answer(body: bytes, status: str = "200 OK") -> bytes:
    """Return a complete response."""
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


def standby(name: str) -> bytes:
    """Return a standby's response."""
    return answer(json.dumps({**STANDBY, "identity": name}).encode())


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers that send these bytes to every client; return their addresses."""
    over = threading.Event()
    with ExitStack() as open_now:
        open_now.callback(over.set)

        def begin(response: bytes) -> str:
            listener = open_now.enter_context(socket.create_server(("127.0.0.1", 0)))
            # Closing alone would not wake the thread that waits in accept(2).
            open_now.callback(listener.shutdown, socket.SHUT_RDWR)
            threading.Thread(target=give, args=(listener, response, over), daemon=True).start()
            return f"127.0.0.1:{listener.getsockname()[1]}"

        yield begin


def give(listener: socket.socket, response: bytes, over: threading.Event) -> None:
    """Send it, and keep the connection open until the client or the test ends."""
    with suppress(OSError), ExitStack() as held:
        while not over.is_set():
            caller = held.enter_context(listener.accept()[0])
            caller.recv(8192)
            with suppress(OSError):
                caller.sendall(response)


def said(*peers: str, port: int | None = None) -> list[dict[str, Any]]:
    """Ask once; return the replicas."""
    return list(Asking(peers, port).ask()["replicas"])


def test_each_replica_is_asked_at_its_own_address(serve: Serve) -> None:
    """And is shown with it."""
    first, second = serve(standby("app-a")), serve(standby("app-b"))
    assert [(one["identity"], one["address"]) for one in said(second, first)] == [
        ("app-a", first),
        ("app-b", second),
    ]


def test_a_single_name_stands_for_all_of_its_addresses(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a headless Service's name does; if there are both families, one is enough."""
    first, second = serve(standby("app-a")), serve(standby("app-b"))
    ports = [int(one.rpartition(":")[2]) for one in (first, second)]
    v4, v6 = socket.AF_INET, socket.AF_INET6
    found: list[Any] = [(v4, 1, 6, "", ("127.0.0.1", port)) for port in ports]
    found.append((v6, 1, 6, "", ("::1", ports[0], 0, 0)))
    names: list[object] = []

    def resolve(host: bytes, port: int, *more: Any, **named: Any) -> list[Any]:
        names.append((host, port))
        return found if host == b"my-workers" else real(host, port, *more, **named)

    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert [one["identity"] for one in said("my-workers", port=8080)] == ["app-a", "app-b"]
    assert names[0] == (b"my-workers", 8080)


def test_in_a_list_each_name_stands_for_one_replica(serve: Serve) -> None:
    """So localhost, which has two addresses, is one machine."""
    port = serve(standby("app-a")).rpartition(":")[2]
    other = serve(standby("app-b"))
    assert [one["identity"] for one in said(f"localhost:{port}", other)] == ["app-a", "app-b"]


def test_the_port_of_http_is_used_if_none_is_given(serve: Serve) -> None:
    """Replicas usually use the same port."""
    port = int(serve(standby("app-a")).rpartition(":")[2])
    (one,) = said("127.0.0.1", port=port)
    assert (one["identity"], one["address"]) == ("app-a", f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    "response",
    [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"],
    ids=["nothing", "head", "half"],
)
def test_a_missing_answer_is_not_waited_for(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, response: bytes
) -> None:
    """Whether it has begun or not."""
    monkeypatch.setattr(asking, "PATIENCE", 0.2)
    (one,) = said(serve(response))
    assert one["unfit"] == "no answer within 0.2s"


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (answer(b"x" * 2_000_000), "longer than any valid one"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 2_000_000, "no answer: "),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000, "no answer: "),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no answer: "),
        (answer(b"{}", "421 Misdirected Request"), "it answered with 421"),
        (answer(b"{}"), "is not leaderexec"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "no answer: "),
    ],
    ids=["long", "header", "100", "ssh", "421", "other", "chunk"],
)
def test_a_hostile_or_broken_answer_is_reported_and_bounded(
    serve: Serve, response: bytes, why: str
) -> None:
    """The next replica is still shown."""
    bad, good = serve(response), serve(standby("app-a"))
    first, last = said(bad, good)
    assert first["identity"] == "app-a"
    assert why in last["unfit"]
    assert last["address"] == bad
    assert last["role"] is None


def test_a_replica_that_refuses_or_is_unknown_is_reported() -> None:
    """With its own error."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        refused, unknown = said(f"127.0.0.1:{port}", "no-such-host.invalid:1")
    assert "refused" in refused["unfit"]
    assert "can't be resolved" in unknown["unfit"]
    (alone,) = said("no-such-host.invalid:1")
    assert "can't be resolved" in alone["unfit"]
    assert alone["address"] == "no-such-host.invalid:1"


def test_no_more_replicas_are_asked_than_a_person_can_read(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are counted."""
    monkeypatch.setattr(asking, "MOST", 2)
    address = serve(standby("app-a"))
    answers = Asking([address] * 5, None).ask()
    assert (len(answers["replicas"]), answers["left_out"]) == (2, 3)


def test_without_a_spare_thread_a_replica_is_not_asked(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit on processes counts threads, and the command needs its share."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    address = serve(standby("app-a"))
    monkeypatch.setattr(threading.Thread, "start", refuse)
    (one,) = said(address)
    assert one["unfit"] == "it was not asked: can't start new thread"


def test_looking_never_waits_and_answers_are_reported(serve: Serve) -> None:
    """They are collected by another thread."""
    news = threading.Event()
    looking = Watched([serve(standby("app-a"))], None, news.set, pytest.fail)
    looking.look()
    assert news.wait(60)
    found = looking.look()
    assert found is not None
    assert found["replicas"][0]["identity"] == "app-a"


def test_replicas_are_asked_once_a_second_however_often_the_answers_are_read(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not at all while no page is open."""
    now = 100.0
    rounds = []
    monkeypatch.setattr(watched, "time", FakeTime(lambda: now))

    class Counted(Asking):
        def ask(self) -> dict[str, Any]:
            rounds.append(now)
            return super().ask()

    monkeypatch.setattr(watched, "Asking", Counted)
    looking = Watched([serve(standby("app-a"))], None, lambda: None, pytest.fail)
    for _ in range(50):
        looking.look()
    wait_for(lambda: looking._round is not None and not looking._round.is_alive(), "the answers")
    looking.look()
    assert len(rounds) == 1
    now += 1.0
    looking.look()
    wait_for(lambda: len(rounds) == 2, "the next round")
    wait_for(lambda: looking._round is not None and not looking._round.is_alive(), "its end")


class FakeTime:
    """The clock that is used."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.monotonic = monotonic


@pytest.fixture
def hangs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """Make the resolver hang at names in .example, as it may for half a minute; return those that
    it was asked for."""
    goes_on = threading.Event()
    asked: list[bytes] = []
    real = socket.getaddrinfo

    def resolve(host: bytes, port: int, *more: Any, **named: Any) -> list[Any]:
        if not host.endswith(b".example"):
            return real(host, port, *more, **named)
        asked.append(host)
        goes_on.wait(60)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(asking, "PATIENCE", 0.5)
    yield asked
    goes_on.set()
    wait_for(lambda: all(one.name != "peer" for one in threading.enumerate()), "the threads to end")


def test_however_often_somebody_asks_a_question_that_hangs_is_asked_once(
    serve: Serve, hangs: list[bytes]
) -> None:
    """So threads can't pile up; the others are asked again meanwhile."""
    peers = Asking([serve(standby("app-a")), "slow.example:1", "slow.example:2"], None)

    def answered() -> list[Any]:
        replicas = peers.ask()["replicas"]
        return replicas if replicas[0]["identity"] == "app-a" else []

    for _ in range(3):
        # On a busy machine it may take several times to have an answer in time.
        _, *slow = wait_for(answered)
        assert ["no answer within" in one["unfit"] for one in slow] == [True, True]
    assert hangs == [b"slow.example"] * 2


def test_a_name_for_all_is_not_waited_for_longer_than_an_answer(hangs: list[bytes]) -> None:
    """Nobody else can be asked, and whoever asks is told why."""
    peers = Asking(["slow.example:1"], None)
    for _ in range(3):
        (one,) = peers.ask()["replicas"]
        assert one["unfit"] == "its name was not resolved within 0.5s"
    assert hangs == [b"slow.example"]


def test_old_answers_are_not_shown_as_if_they_were_true_now(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A leader among them may be gone."""
    news = threading.Event()
    looking = Watched([serve(standby("app-a"))], None, news.set, pytest.fail)
    looking.look()
    assert news.wait(60)
    assert looking.look() is not None
    monkeypatch.setattr(watched, "OLD_AFTER", 0.0)
    assert looking.look() is None


def test_answers_have_the_time_of_their_request(serve: Serve) -> None:
    """A page that shows old answers says so."""
    before = time.time()
    moment = Asking([serve(standby("app-a"))], None).ask()["asked"]
    assert moment >= time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(before))
