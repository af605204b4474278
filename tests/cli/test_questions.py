"""--is-leader, --check, --help and --version answer once, and start nothing."""

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support import LEADEREXEC, Wrapper

from leaderexec import __version__
from leaderexec_elector.running import RunningElector

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Wrapper]


@pytest.fixture
def elector() -> Iterator[RunningElector]:
    """An elector that names app-a."""
    with RunningElector("app-a", "app-b") as running:
        yield running


def ask(run: Run, url: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Query as app-a."""
    return run(LEADEREXEC, "--get-url", url, "--identity", "app-a", "--is-leader", *words)


def test_is_leader_answers_with_its_exit_code_and_prints_the_leader(
    run: Run, elector: RunningElector
) -> None:
    """0 for the leader, 1 for others."""
    result = ask(run, elector.url)
    assert (result.returncode, result.stdout, result.stderr) == (0, "app-a\n", "")
    elector.lead("app-b")
    result = ask(run, elector.url)
    assert (result.returncode, result.stdout) == (1, "app-b\n")


def test_is_leader_quiet_prints_nothing(run: Run, elector: RunningElector) -> None:
    """For probes."""
    result = ask(run, elector.url, "--quiet")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_without_a_known_leader_the_answer_is_unknown(run: Run, elector: RunningElector) -> None:
    """An elector that has held no election yet is queried again; it does not mean no."""
    elector.lead(None)
    result = ask(run, elector.url, "--poll-interval", "2s")
    assert (result.returncode, result.stdout) == (125, "")
    assert "knew no leader" in result.stderr


@pytest.mark.parametrize(
    ("fault", "settings", "told"),
    [
        ("500", {}, "500"),
        ("garbage", {"only": "get"}, "not JSON"),
        ("redirect", {}, "302"),
        ("content-type", {}, "text/html"),
        ("oversized", {"kind": "get"}, "longer"),
        ("refuse", {}, "can't be reached"),
        ("silence", {}, "timed out"),
        ("truncate", {"only": "get"}, "elector"),
    ],
)
def test_a_bad_answer_is_125_and_explained(
    run: Run, elector: RunningElector, fault: str, settings: dict[str, object], told: str
) -> None:
    """It is never a guess."""
    elector.fault(fault, **settings)
    # A request is given up after the poll interval.
    interval = "500ms" if fault == "silence" else "20s"
    result = ask(run, elector.url, "--poll-interval", interval)
    assert (result.returncode, result.stdout) == (125, "")
    assert told in result.stderr


@pytest.mark.parametrize("question", ["--is-leader", "--check"])
def test_an_answer_cannot_control_the_terminal(run: Run, question: str) -> None:
    """And causes no traceback on a terminal that is not UTF-8."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        answer = b"HTTP/1.1 503 \x1b]0;title\x07 \x9b2J\r\nContent-Length: 0\r\n\r\n"
        threading.Thread(target=answer_all, args=(server, answer), daemon=True).start()
        result = run(LEADEREXEC, "--get-url", url, question)
    assert result.returncode == 125
    assert "\\x1b]0;title" in result.stderr
    assert result.stderr.replace("\n", "").isprintable()


def answer_all(server: socket.socket, answer: bytes) -> None:
    """Answer every client, until the server is closed."""
    with suppress(OSError):
        while True:
            caller, _ = server.accept()
            with caller, suppress(OSError):
                caller.recv(8192)
                caller.sendall(answer)


def test_is_leader_with_a_lock_file_reads_who_holds_it(
    run: Run, leaderexec: Start, tmp_path: Path
) -> None:
    """No leader before, the holder while it leads, no leader after."""
    lock = str(tmp_path / "lock")

    def asked(name: str) -> tuple[int, str]:
        result = run(LEADEREXEC, "--lock-file", lock, "--identity", name, "--is-leader")
        return result.returncode, result.stdout

    assert asked("app-a") == (1, "")
    holder = leaderexec("--lock-file", lock, "--identity", "app-a", "--", "sleep", "100")
    holder.log("command started")
    assert asked("app-a") == (0, "app-a\n")
    assert asked("app-b") == (1, "app-a\n")
    holder.close()
    assert asked("app-a") == (1, "")


def test_is_leader_without_election_always_leads(run: Run) -> None:
    """It is a pass-through."""
    assert run(LEADEREXEC, "--election", "off", "--is-leader").returncode == 0


def test_is_leader_with_nothing_configured_is_125(run: Run) -> None:
    """With the three remedies."""
    result = run(LEADEREXEC, "--is-leader")
    assert result.returncode == 125
    assert "--election off" in result.stderr


def test_check_prints_each_value_with_its_source_and_the_worst_overlap(
    run: Run, elector: RunningElector, environ: dict[str, str]
) -> None:
    """What is in effect, and why."""
    environ |= {"ELECTOR_PATH": ":".join(map(str, elector.address)), "LEADEREXEC_GRACE": "40s"}
    result = run(
        LEADEREXEC, "--takeover-delay=4s", "--rewrite", "HUP=USR1,WINCH=", "--check", "--", "true"
    )
    assert result.returncode == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert f"sse-url {elector.sse_url} (ELECTOR_PATH)" in lines
    assert "election elector (ELECTOR_PATH)" in lines
    assert "grace 40s (LEADEREXEC_GRACE)" in lines
    assert "takeover-delay 4s (--takeover-delay)" in lines
    assert "contact-timeout 30s (default)" in lines
    assert "stop-signal TERM (default)" in lines
    assert "rewrite HUP=USR1,WINCH= (--rewrite)" in lines
    assert f"identity {socket.gethostname()} (hostname)" in lines
    assert any(line.startswith("leadership moves") and ": 6s" in line for line in lines)
    assert any(line.startswith("an ordinary move costs 4s") for line in lines)
    assert "election: app-a leads (another replica)" in lines


def test_check_fails_if_the_elector_or_the_command_does(run: Run, elector: RunningElector) -> None:
    """125, after printing the configuration."""
    elector.fault("refuse")
    result = run(LEADEREXEC, "--get-url", elector.url, "--check")
    assert result.returncode == 125
    assert "grace-lost" in result.stdout
    assert "can't be reached" in result.stderr
    result = run(LEADEREXEC, "--election", "off", "--check", "--", "/no/such")
    assert result.returncode == 125
    assert "not found" in result.stderr


def test_the_version_comes_from_one_place(run: Run) -> None:
    """Also with python -m."""
    assert run(LEADEREXEC, "--version").stdout == f"leaderexec {__version__}\n"
    assert run(sys.executable, "-m", "leaderexec", "-V").stdout == f"leaderexec {__version__}\n"


def test_the_help_equals_its_file(run: Run) -> None:
    """Byte for byte, so that a change shows up in review."""
    expected = (Path(__file__).parent / "help.txt").read_text()
    assert run(LEADEREXEC, "--help").stdout == expected
    assert max(map(len, expected.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "forbidden"),
    [
        (["--help"], {"requests", "structlog", "_ssl", "http.client"}),
        (["--version"], {"requests", "structlog", "_ssl", "http.client"}),
        (["--election", "off", "--is-leader"], {"requests", "structlog", "_ssl"}),
    ],
)
def test_a_query_does_not_pay_for_what_it_does_not_use(
    run: Run, words: list[str], forbidden: set[str]
) -> None:
    """Only what the query needs is imported."""
    result = run(sys.executable, "-X", "importtime", "-m", "leaderexec", *words)
    assert result.returncode == 0
    imported = {line.split("|")[-1].strip() for line in result.stderr.splitlines()}
    assert not imported & forbidden


def test_a_pass_through_loads_neither_an_http_client_nor_json(
    run: Run, environ: dict[str, str]
) -> None:
    """--election off costs only Python and its own imports."""
    start = (sys.executable, "-X", "importtime", "-m", "leaderexec", "--election", "off")
    result = run(*start, "--", "true", env=_without_coverage(environ))
    imported = {line.split("|")[-1].strip() for line in result.stderr.splitlines()}
    assert not imported & {
        *("requests", "urllib3", "http.client", "sseclient", "json", "socket", "_socket"),
        "typing",
        *("leaderexec.health", "leaderexec.health.notify", "leaderexec.process.warm"),
    }


def test_following_an_elector_needs_neither_requests_nor_openssl(
    run: Run, environ: dict[str, str]
) -> None:
    """A standby has the memory footprint of http.client all its life, a third of requests'."""
    run_by_itself = (
        "import leaderexec.election.elector.client, leaderexec.election.elector.stream, sys;"
        "print(sorted({'requests', 'urllib3', '_ssl', '_hashlib', 'typing'} & sys.modules.keys()))"
    )
    result = run(sys.executable, "-c", run_by_itself, env=_without_coverage(environ))
    assert result.stdout == "[]\n"


def _without_coverage(environ: dict[str, str]) -> dict[str, str]:
    """Remove the variables that make a Python load coverage first, and modules with it."""
    return {name: text for name, text in environ.items() if not name.startswith("COVERAGE_")}


def test_a_query_can_be_interrupted(environ: dict[str, str]) -> None:
    """By Ctrl-C or TERM, while it waits for an elector that hangs."""
    with socket.create_server(("127.0.0.1", 0)) as hung:
        url = f"http://127.0.0.1:{hung.getsockname()[1]}/"
        for number in (signal.SIGINT, signal.SIGTERM):
            asking = subprocess.Popen(
                [LEADEREXEC, "--get-url", url, "--poll-interval", "5s", "--is-leader"],
                env=environ,
                stderr=subprocess.PIPE,
            )
            caller, _ = hung.accept()
            asking.send_signal(number)
            _, told = asking.communicate(timeout=20)
            caller.close()
            assert asking.returncode == -number
            assert told == b""
