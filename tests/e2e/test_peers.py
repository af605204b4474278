"""--status --json, and --peers of the installed program: all replicas side by side."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import Any

import pytest
from support import LEADEREXEC, Wrapper, wait_for

from leaderexec.config.options import listen_address
from leaderexec_elector.running import RunningElector

Start = Callable[..., Wrapper]
Run = Callable[..., subprocess.CompletedProcess[str]]
Replica = Callable[..., tuple[Wrapper, str]]
WORKER = ("sh", "-c", "trap 'exit 21' TERM; echo up; while :; do sleep 0.02; done")


@pytest.fixture
def replica(leaderexec: Start, elector: RunningElector) -> Replica:
    """Start a replica in contact with the elector; return it with its address."""

    def start(name: str, *words: str) -> tuple[Wrapper, str]:
        wrapper = leaderexec(
            *("--sse-url", elector.sse_url, "--identity", name, "--http", "127.0.0.1:0", *words),
            *("--", *WORKER),
        )
        wrapper.log("leadership confirmed")
        return wrapper, str(wrapper.log("http listening")["address"])

    return start


@pytest.fixture
def gone() -> Iterator[str]:
    """An address that refuses connections and is not reassigned."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


def status_of(address: str) -> bytes:
    """Return the response at /status."""
    connection = HTTPConnection("127.0.0.1", listen_address(address).port, timeout=20)
    connection.request("GET", "/status")
    body = connection.getresponse().read()
    connection.close()
    return body


def test_status_as_json_is_the_document_on_one_line(replica: Replica, run: Run) -> None:
    """For programs that have no HTTP client."""
    _, address = replica("app-a")
    shown = run(LEADEREXEC, "--http", address, "--status", "--json")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.count("\n") == 1
    assert json.loads(shown.stdout).keys() == json.loads(status_of(address)).keys()
    assert json.loads(shown.stdout)["identity"] == "app-a"


def test_a_table_shows_which_replica_leads_and_which_is_unfit(
    replica: Replica, leaderexec: Start, elector: RunningElector, run: Run, gone: str
) -> None:
    """One replica is out of contact, and one is gone."""
    leader, first = replica("app-a")
    _, second = replica("app-b")
    elector.lead("app-a")
    leader.output("up")
    lonely = leaderexec(
        *("--sse-url", "http://127.0.0.1:9/sse", "--identity", "app-c", "--http", "127.0.0.1:0"),
        *("--", *WORKER),
    )
    third = lonely.log("http listening")["address"]
    peers = f"{first},{second},{third},{gone}"
    wait_for(lambda: json.loads(status_of(second))["leader"] == "app-a", "the standby to know")

    def shown() -> list[str]:
        result = run(LEADEREXEC, "--status", "--peers", peers)
        assert (result.returncode, result.stderr) == (0, "")
        lines = result.stdout.splitlines()
        # On a busy machine one of them may need longer to answer.
        return lines if lines[0] == "app-a leads, as 2 of 4 replicas say." else []

    lines = wait_for(shown, "all running replicas to answer")
    table = {line[3:].split()[0]: line for line in lines[3:]}
    assert table["app-a"].startswith("*  ")
    assert "running" in table["app-a"]
    assert table["app-b"].startswith("   ")
    assert "UNFIT: it has no contact with the election" in table["app-c"]
    assert table[gone].startswith(" ! ")
    in_json = json.loads(run(LEADEREXEC, "--status", "--json", "--peers", peers).stdout)
    found = {one["identity"]: (one["is_leader"], one["unfit"]) for one in in_json["replicas"]}
    assert found["app-a"] == (True, None)
    assert found["app-b"] == (False, None)
    assert found["app-c"][1] == "it has no contact with the election"


def test_one_replica_can_be_shown_alone_although_the_peers_are_set(
    replica: Replica, run: Run, environ: dict[str, str]
) -> None:
    """In the pod they are set for the page; from a terminal either can be asked for."""
    _, address = replica("app-a")
    pod = {**environ, "LEADEREXEC_HTTP": address, "LEADEREXEC_PEERS": "127.0.0.1"}
    port = listen_address(address).port
    table = run(LEADEREXEC, "--status", env=pod).stdout
    assert "REPLICA" in table
    assert "app-a" in table
    in_json = json.loads(run(LEADEREXEC, "--status", "--json", env=pod).stdout)
    assert [one["address"] for one in in_json["replicas"]] == [f"127.0.0.1:{port}"]
    alone = run(LEADEREXEC, "--status", "--peers", "", env=pod)
    assert "REPLICA" not in alone.stdout
    assert "app-a" in alone.stdout


def test_if_no_replica_answers_it_exits_with_125_and_says_what_to_do(run: Run, gone: str) -> None:
    """As for one replica."""
    for words in ((), ("--json",), ("--watch",)):
        shown = run(LEADEREXEC, "--status", "--peers", gone, *words)
        assert (shown.returncode, shown.stdout) == (125, "")
        assert "no replica answers" in shown.stderr
        assert "--peers" in shown.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--status", "--peers", "my-workers"), "--peers has 'my-workers' without a port"),
        (("--status", "--watch", "--json"), "can't be combined"),
        (("--json",), "--json is used with --status"),
        (("--status", "--peers", "http://x"), "my-workers or 10.1.0.7:8080,[fd00::7]:8080"),
        (
            ("--election", "off", "--http", "unix:/tmp/x", "--peers", "my-workers", "--", "true"),
            "such as my-workers:8080",
        ),
    ],
)
def test_bad_values_and_combinations_are_reported_with_their_remedy(
    run: Run, words: tuple[str, ...], told: str
) -> None:
    """With exit code 125, the option and the value."""
    result = run(LEADEREXEC, *words)
    assert result.returncode == 125
    assert told in result.stderr


def test_the_stream_shows_a_change_and_the_peers(replica: Replica, elector: RunningElector) -> None:
    """The peers as this replica sees them; the change when it happens."""
    _, other = replica("app-b")
    _, address = replica("app-a", "--peers", other)
    told = events(address)
    while (first := next(told))["peers"] == {}:
        pass
    assert first["status"]["role"] == "standby"
    assert [one["identity"] for one in first["peers"]["replicas"]] == ["app-b"]
    elector.lead("app-a")
    while (message := next(told))["status"]["role"] != "running":
        assert message["status"]["identity"] == "app-a"
    told.close()


def events(address: str) -> Any:
    """Yield the events of the stream."""
    connection = HTTPConnection("127.0.0.1", listen_address(address).port, timeout=60)
    connection.request("GET", "/events")
    answer = connection.getresponse()
    try:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/event-stream"
        while line := answer.readline():
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))
    finally:
        answer.close()
        connection.close()


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("Origin", "http://127.0.0.1:{port}", 200),
        ("Origin", "http://evil.example", 403),
        ("Origin", "null", 403),
        ("Sec-Fetch-Site", "same-origin", 200),
        ("Sec-Fetch-Site", "none", 200),
        ("Sec-Fetch-Site", "cross-site", 403),
        ("X-Nothing", "", 200),
    ],
)
def test_in_a_browser_only_the_page_of_this_server_may_follow_the_stream(
    replica: Replica, name: str, value: str, status: int
) -> None:
    """A web page elsewhere could use up the connections."""
    _, address = replica("app-a")
    port = listen_address(address).port
    headers = {name: value.format(port=port)}
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/events", headers=headers)
    assert connection.getresponse().status == status
    connection.close()


def test_open_streams_do_not_delay_the_stop(replica: Replica, elector: RunningElector) -> None:
    """As many as are allowed, none of which reads."""
    wrapper, address = replica("app-a", "--peers", "127.0.0.1")
    elector.lead("app-a")
    wrapper.output("up")
    port = listen_address(address).port
    followers = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(40)]
    try:
        for one in followers:
            one.sendall(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        for one in followers:
            assert one.recv(12) in (b"HTTP/1.1 200", b"HTTP/1.1 503")
        elector.lead("app-b")
        wrapper.log("command ended", code=21)
        wrapper.log("transition", to="standby")
    finally:
        for one in followers:
            one.close()


def test_the_page_is_not_loaded_before_it_is_requested(run: Run) -> None:
    """Nor is the code for peers, if there are none."""
    code = (
        "import leaderexec.http.service, leaderexec.http.routes, sys;"
        "wanted = 'leaderexec.peers', 'leaderexec.http.page';"
        "print([name for name in sys.modules if name.startswith(wanted)])"
    )
    assert run(sys.executable, "-c", code).stdout == "[]\n"


def test_a_replica_without_http_does_not_load_it(run: Run) -> None:
    """Neither the server nor the peers."""
    words = ("--election", "off", "--", "true")
    result = run(sys.executable, "-X", "importtime", "-m", "leaderexec", *words)
    assert result.returncode == 0
    imported = {line.split("|")[-1].strip() for line in result.stderr.splitlines()}
    assert not {
        name for name in imported if name.startswith(("leaderexec.http", "leaderexec.peers"))
    }


def test_the_table_is_redrawn_while_it_is_watched(
    replica: Replica, environ: dict[str, str]
) -> None:
    """Like the table of one replica."""
    wrapper, address = replica("app-a")
    watching = subprocess.Popen(
        [LEADEREXEC, "--status", "--watch", "--peers", address],
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    over = threading.Timer(60, watching.kill)
    over.start()
    lines = iter(watching.stdout.readline, "")
    assert any("app-a" in line for line in lines)
    wrapper.close()
    assert any("no replica answers" in line for line in lines)
    over.cancel()
    watching.terminate()
    watching.communicate()
