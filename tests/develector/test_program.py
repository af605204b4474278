"""The program as installed."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from develector.wire_client import Client, request

from leaderexec_elector.faults import FAULTS

PROGRAM = str(Path(sys.executable).with_name("leaderexec-elector"))
FREE = "--listen=127.0.0.1:0"


@contextmanager
def _started(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    process = subprocess.Popen(
        [PROGRAM, FREE, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        try:
            yield process, _url(process)
        finally:
            process.terminate()


def _url(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().decode()
    found = re.fullmatch(
        r"leaderexec-elector listening on (http://127\.0\.0\.1:\d+/) \(sse \1sse\)\n", line
    )
    assert found, line
    return found[1]


def _failed(*arguments: str) -> str:
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, check=False, timeout=30)
    assert done.returncode == 2
    assert done.stdout == b""
    return done.stderr.decode()


def test_the_first_candidate_leads() -> None:
    """One line on stdout says where it listens."""
    with _started("app-a", "app-b") as (_, url):
        assert b'"app-a"' in request(url)[1]


def test_a_named_candidate_leads() -> None:
    """--leader names another one."""
    with _started("--leader", "app-b", "app-a", "app-b") as (_, url):
        assert b'"app-b"' in request(url)[1]


def test_without_candidates_no_replica_leads() -> None:
    """No leader is known."""
    with _started() as (_, url):
        assert request(url) == (200, b"{}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_at_once(number: signal.Signals) -> None:
    """A stream just stops, without its final chunk, and nothing more is printed."""
    with _started("app-a") as (process, url), Client(url) as client:
        client.ask("/sse")
        client.head()
        client.event()
        process.send_signal(number)
        assert client.rest() == b""
        out, error = process.communicate(timeout=30)
        assert (process.returncode, out, error) == (0, b"", b"")


def test_faults_can_be_armed_from_the_start() -> None:
    """--fault arms one; it may be repeated."""
    with _started("--fault", "slow:delay=0s,only=sse", "--fault", "500:status=503") as (_, url):
        assert request(url)[0] == 503
        assert b'"slow"' in request(url, "/dev/state")[1]


def test_the_control_address_responds_while_connections_are_refused() -> None:
    """A second address serves only /dev/, even under `refuse`."""
    arguments = ("--control", "127.0.0.1:0", "--fault", "refuse", "app-a")
    with _started(*arguments) as (process, url):
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        found = re.fullmatch(
            r"leaderexec-elector control on (http://127\.0\.0\.1:\d+/)dev/\n", line
        )
        assert found, line
        with pytest.raises(ConnectionRefusedError):
            Client(url)
        assert request(found[1])[0] == 404
        assert request(found[1], "/sse")[0] == 404
        assert request(found[1], "/dev/fault/refuse", "DELETE")[0] == 200
        assert request(url)[0] == 200


def test_refuse_needs_an_end() -> None:
    """Without a control address nothing could end it, so `for` is required."""
    assert "for=DURATION" in _failed(FREE, "--fault", "refuse")
    with _started("app-a") as (_, url):
        status, body = request(url, "/dev/fault/refuse", "POST")
        assert (status, b"for=DURATION" in body) == (400, True)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--listen", "x"], "--listen: 'x': write HOST:PORT"),
        (["--listen", "127.0.0.1:99999"], "0 to 65535"),
        (["--control", "y:z"], "--control: 'y:z': write HOST:PORT"),
        (["--listen", "192.0.2.1:0"], "choose another --listen"),
        (["--leader", "c", "a", "b"], "'c' is not a candidate: allowed: a, b"),
        (["--leader", "c"], "give some candidates"),
        (["a", "a"], "only once"),
        (["x" * 254], "1 to 253"),
        (["--fault", "bad"], "half-open"),
        (["--fault", "slow:x"], "write key=value"),
        (["--fault", "slow:delay=x"], "500ms"),
    ],
)
def test_the_error_for_a_bad_option_says_what_is_allowed(
    arguments: list[str], expected: str
) -> None:
    """It exits with 2 and a line with the option, the value and the remedy."""
    assert expected in _failed(*arguments)


def test_a_port_in_use_is_reported() -> None:
    """A port that another process listens on is an error of the option."""
    with _started() as (_, url):
        address = url.removeprefix("http://").rstrip("/")
        assert "already in use" in _failed("--listen", address)
        assert "already in use" in _failed(FREE, "--control", address)


def test_the_help_lists_every_fault() -> None:
    """--help shows options, keys, control requests and faults."""
    done = subprocess.run([PROGRAM, "--help"], capture_output=True, check=True, timeout=30)
    text = done.stdout.decode()
    assert all(f"\n  {name}: " in text for name in FAULTS)
    assert "POST   /dev/leader/NAME" in text
    assert "1..9" in text
    assert "--control ADDR" in text


def test_the_package_can_be_run_as_a_module() -> None:
    """With python -m."""
    command = [sys.executable, "-m", "leaderexec_elector", "--help"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=30)
    assert done.stdout.startswith(b"usage: leaderexec-elector")
