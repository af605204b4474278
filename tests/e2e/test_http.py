"""--http, --status and the metrics of the installed program."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support import LEADEREXEC, Wrapper, alive, wait_for

from leaderexec.config.options import Address, listen_address
from leaderexec.console.status_client import ask as ask_status
from leaderexec_elector.running import RunningElector

Start = Callable[..., Wrapper]
Run = Callable[..., subprocess.CompletedProcess[str]]
ME = "app-a"
WORKER = ("sh", "-c", "trap 'exit 21' TERM; echo up; while :; do sleep 0.02; done")


class Served:
    """A wrapper and its address."""

    def __init__(self, wrapper: Wrapper) -> None:
        self.wrapper = wrapper
        # The line has the port that the kernel chose for 0.
        self.address = listen_address(wrapper.log("http listening")["address"])

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body."""
        connection = HTTPConnection("127.0.0.1", self.address.port, timeout=20)
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body

    def status(self) -> dict[str, Any]:
        """Return /status."""
        return dict(json.loads(self.get("/status")[1]))

    def metrics(self) -> dict[tuple[str, ...], float]:
        """Return the samples by name and label values."""
        status, body = self.get("/metrics")
        assert status == 200
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(body)
            for sample in family.samples
        }


@pytest.fixture
def served(leaderexec: Start, elector: RunningElector) -> Served:
    """A replica in contact with its elector."""
    wrapper = leaderexec(
        *("--sse-url", elector.sse_url, "--identity", ME, "--poll-interval", "200ms"),
        *("--http", "127.0.0.1:0", "--", *WORKER),
    )
    wrapper.log("leadership confirmed")
    return Served(wrapper)


def test_a_standby_in_contact_is_live_and_ready_but_not_the_leader(served: Served) -> None:
    """It must be ready, or a rolling update would wait for it forever."""
    assert served.get("/livez") == (200, "the main loop responds\n")
    assert served.get("/readyz") == (200, "in contact with the election\n")
    status, body = served.get("/leader")
    assert status == 503
    assert json.loads(body)["is_leader"] is False
    assert served.get("/nothing")[0] == 404
    assert "/status" in served.get("/")[1]


def test_the_leader_says_so(served: Served, elector: RunningElector) -> None:
    """With 200, and with 503 again after a loss."""
    elector.lead(ME)
    served.wrapper.output("up")
    status, body = served.get("/leader")
    assert status == 200
    said = json.loads(body)
    assert (said["leader"], said["is_leader"], said["term"]) == (ME, True, 1)
    elector.lead("app-b")
    served.wrapper.log("transition", to="standby")
    assert served.get("/leader")[0] == 503


def test_the_command_line_is_shown_if_the_option_asks_for_it(
    leaderexec: Start, elector: RunningElector
) -> None:
    """With all its secrets; the hooks' command lines, too."""
    elector.lead(ME)
    for words, shown in (((), False), (("--show-command",), True)):
        wrapper = leaderexec(
            *("--sse-url", elector.sse_url, "--identity", ME, "--on-stop", "true s3cret", *words),
            *("--http", "127.0.0.1:0", "--", *WORKER),
        )
        wrapper.output("up")
        said = Served(wrapper).status()
        assert (said["command"]["arguments"] == list(WORKER)) is shown
        assert ("s3cret" in said["options"]["on-stop"]) is shown


def test_no_replica_leads_before_the_command_runs(
    leaderexec: Start, elector: RunningElector
) -> None:
    """During the takeover delay nothing could serve the traffic."""
    elector.lead(ME)
    wrapper = leaderexec(
        *("--sse-url", elector.sse_url, "--identity", ME, "--takeover-delay", "1h"),
        *("--http", "127.0.0.1:0", "--", *WORKER),
    )
    wrapper.log("transition", to="takeover")
    served = Served(wrapper)
    status, body = served.get("/leader")
    assert status == 503
    said = json.loads(body)
    assert (said["is_leader"], said["role"]) == (True, "takeover")


def test_no_replica_leads_while_a_hook_runs(leaderexec: Start) -> None:
    """The command's server is not up yet."""
    wrapper = leaderexec(
        *("--election", "off", "--on-start", "sleep 100", "--on-start-timeout", "1h"),
        *("--http", "127.0.0.1:0", "--", *WORKER),
    )
    wrapper.log("transition", to="preparing")
    assert leader_endpoint(Served(wrapper)) == (503, "preparing")


def test_no_replica_leads_between_two_runs(leaderexec: Start) -> None:
    """During the backoff nothing could serve the traffic."""
    wrapper = leaderexec(
        *("--election", "off", "--restart", "always", "--http", "127.0.0.1:0", "--"),
        *("sh", "-c", "exit 3"),
    )
    served = Served(wrapper)
    wait_for(lambda: leader_endpoint(served) == (503, "backoff"), "it to say so")


def test_no_replica_leads_while_the_command_is_being_stopped(leaderexec: Start) -> None:
    """From the first signal on, however long it takes."""
    wrapper = leaderexec(
        *("--election", "off", "--grace", "1h", "--http", "127.0.0.1:0", "--"),
        *(
            "sh",
            "-c",
            "trap 'trap \"exit 0\" TERM; echo told' TERM; echo up; while :; do sleep 0.02; done",
        ),
    )
    wrapper.output("up")
    served = Served(wrapper)
    assert leader_endpoint(served) == (200, "running")
    wrapper.send(signal.SIGTERM)
    wrapper.log("transition", to="stopping")
    wait_for(lambda: leader_endpoint(served) == (503, "stopping"), "it to say so")
    wrapper.output("told")
    wrapper.send(signal.SIGTERM)
    wrapper.log("command ended", code=0)


def leader_endpoint(served: Served) -> tuple[int, str]:
    """Return the status code of /leader, and the role in it."""
    status, body = served.get("/leader")
    return status, str(json.loads(body)["role"])


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:80", 200),
        ("10.1.2.3", 200),
        ("[::1]:8080", 200),
        ("localhost", 200),
        ("LocalHost:1", 200),
        ("my-svc.my-ns", 200),
        ("evil.example", 421),
        ("localhost.evil.example:8080", 421),
        ("1.2.3.4.evil.example", 421),
        ("[evil.example]", 421),
        ("my-svc.my-ns.:8080", 200),
    ],
)
def test_only_known_names_are_answered(leaderexec: Start, host: str, status: int) -> None:
    """A web page whose name was rebound to our address must not read anything."""
    wrapper = leaderexec(
        *("--election", "off", "--http", "127.0.0.1:0", "--http-hosts", "My-svc.my-ns."),
        *("--", "sleep", "100"),
    )
    served = Served(wrapper)
    connection = HTTPConnection("127.0.0.1", served.address.port, timeout=20)
    connection.request("GET", "/livez", headers={"Host": host})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    assert answer.status == status
    assert ("--http-hosts" in body) is (status == 421)
    assert ("a web page" in body) is (status == 421)


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=a.b", "q=;,;=\xff"])
def test_an_odd_accept_header_still_gets_metrics(served: Served, accept: str) -> None:
    """No header may cause an error of ours."""
    connection = HTTPConnection("127.0.0.1", served.address.port, timeout=20)
    connection.request("GET", "/metrics", headers={"Accept": accept})
    answer = connection.getresponse()
    assert answer.status == 200
    assert b"leaderexec_term" in answer.read()
    connection.close()


def test_ready_ends_with_contact(leaderexec: Start, elector: RunningElector) -> None:
    """And starts with it."""
    wrapper = leaderexec(
        *("--sse-url", elector.sse_url, "--identity", ME, "--poll-interval", "100ms"),
        *("--contact-timeout", "400ms", "--http", "127.0.0.1:0", "--", *WORKER),
    )
    wrapper.log("leadership confirmed")
    served = Served(wrapper)
    elector.fault("refuse")
    # On a busy machine contact may have been lost and regained before.
    wait_for(lambda: served.get("/readyz") == (503, "contact lost\n"), "it not to be ready")
    assert served.get("/livez")[0] == 200


def test_a_waiter_for_the_lock_is_ready(leaderexec: Start, tmp_path: Path) -> None:
    """Its election works: another process holds the lock."""
    words = ("--lock-file", str(tmp_path / "lock"), "--http", "127.0.0.1:0", "--", *WORKER)
    leaderexec(*words).output("up")
    second = Served(leaderexec(*words))
    wait_for(lambda: second.get("/readyz")[0] == 200, "it to be ready")
    assert second.get("/leader")[0] == 503


def test_liveness_ends_when_the_main_loop_is_stuck(leaderexec: Start) -> None:
    """It is certainly stuck: the loop is made to wait inside an action."""
    code = (
        "import sys, time, leaderexec.supervisor as s;"
        "s.Supervisor._forward = lambda *_: time.sleep(600);"
        "from leaderexec.__main__ import main; sys.exit(main())"
    )
    wrapper = leaderexec(
        *("--election", "off", "--http", "127.0.0.1:0", "--", "sleep", "600"),
        program=(sys.executable, "-c", code),
    )
    pid = wrapper.command_pid()
    served = Served(wrapper)
    assert served.get("/livez")[0] == 200
    wrapper.send(signal.SIGHUP)
    wait_for(lambda: served.get("/livez")[0] == 503, "the probe to fail")
    assert served.get("/readyz")[0] == 200
    wrapper.process.kill()
    wait_for(lambda: not alive(pid), "the command to get the death signal")


def test_the_status_shows_everything(served: Served, elector: RunningElector) -> None:
    """The leader, contact, the command with its tree, recent transitions, and the options."""
    elector.lead(ME)
    served.wrapper.output("up")
    wait_for(lambda: served.status()["tree"], "the tree to be seen")
    said = served.status()
    assert said["role"] == "running"
    assert said["leader"] == said["identity"] == ME
    assert said["contact"]["stream_open"] is True
    assert said["contact"]["age_seconds"] < 20
    assert said["command"]["pid"] == served.wrapper.command_pid()
    assert said["command"]["arguments"] == ["sh"]
    assert said["tree"][0]["command"] == "[sh]"
    assert "trap" not in str(said)
    assert not any("trap" in str(line) for line in served.wrapper.lines)
    assert said["tree"][0]["pid"] == said["command"]["pid"]
    assert said["tree"][0]["resident_memory_bytes"] > 100_000
    assert [told["to"] for told in said["transitions"]] == ["running"]
    assert said["options"]["grace-lost"] == "10s"


def test_the_last_ten_transitions_are_remembered(served: Served, elector: RunningElector) -> None:
    """The oldest are dropped."""
    for term in range(1, 6):
        elector.lead(ME)
        served.wrapper.log("command started", term=term)
        elector.lead("app-b")
        served.wrapper.log("transition", count=term, to="standby")
    told = served.status()["transitions"]
    assert len(told) == 10
    assert told[-1]["to"] == "standby"
    assert told[-1]["term"] == 5


def test_the_metrics_count_what_happened(served: Served, elector: RunningElector) -> None:
    """By cause, by exit code, as histograms; and the tree's memory and CPU time."""
    before = served.metrics()
    assert before["leaderexec_is_leader",] == 0
    assert before["leaderexec_leadership_confirmed",] == 1
    assert before["leaderexec_role", "standby"] == 1
    assert before["leaderexec_tree_processes",] == 0
    elector.lead(ME)
    served.wrapper.output("up")
    during = served.metrics()
    assert during["leaderexec_is_leader",] == 1
    assert during["leaderexec_term",] == 1
    assert during["leaderexec_command_starts_total",] == 1
    assert during["leaderexec_transitions_total", "won", "running"] == 1
    assert during["leaderexec_tree_processes",] >= 1
    assert during["leaderexec_command_resident_memory_bytes",] > 100_000
    assert "leaderexec_command_cpu_seconds_total" in {name for name, *_ in during}
    assert during["leaderexec_takeover_duration_seconds_count",] == 1
    elector.lead("app-b")
    served.wrapper.log("transition", to="standby")
    after = served.metrics()
    assert after["leaderexec_command_exits_total", "21", ""] == 1
    assert after["leaderexec_transitions_total", "moved", "stopping"] == 1
    assert after["leaderexec_transitions_total", "stopped", "standby"] == 1
    assert after["leaderexec_stop_duration_seconds_count",] == 1
    assert after["leaderexec_elector_connects_total",] == 1
    assert after["leaderexec_contact_age_seconds",] < 20


def test_failures_of_the_elector_are_counted_by_kind(
    served: Served, elector: RunningElector
) -> None:
    """Each one is counted, though each kind is logged only once."""
    elector.fault("refuse")
    failures = ("leaderexec_election_failures_total", "unreachable", "poll")
    wait_for(lambda: served.metrics().get(failures, 0) >= 2, "polls to fail")


def test_the_metrics_follow_prometheuss_rules(served: Served, elector: RunningElector) -> None:
    """Each family has a help text and a type; names end with the base unit, those of counters with
    _total; no label repeats its metric's name."""
    elector.lead(ME)
    served.wrapper.output("up")
    _, body = served.get("/metrics")
    families = [
        family
        for family in text_string_to_metric_families(body)
        if family.name.startswith("leaderexec_")
    ]
    assert len(families) > 20
    for family in families:
        assert family.documentation.endswith("."), family.name
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", family.name), family.name
        assert not re.search(r"_(milli|micro|kilo|mega|minutes|hours|percent)", family.name)
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)
        for word in ("age", "duration", "backoff", "cpu"):
            if f"_{word}" in family.name:
                assert family.name.endswith("_seconds"), family.name
        if "memory" in family.name:
            assert family.name.endswith("_bytes")
        for sample in family.samples:
            in_name = set(sample.labels) & set(family.name.split("_"))
            assert not in_name - {"role"}, family.name


def test_clients_that_ask_for_openmetrics_get_it(served: Served) -> None:
    """As Prometheus does."""
    connection = HTTPConnection("127.0.0.1", served.address.port, timeout=20)
    connection.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text"})
    answer = connection.getresponse()
    assert "openmetrics-text" in answer.headers["Content-Type"]
    assert answer.read().endswith(b"# EOF\n")
    connection.close()


def test_metrics_off_needs_no_prometheus_client(leaderexec: Start) -> None:
    """Everything else is served."""
    served = Served(
        leaderexec(
            *("--election", "off", "--http", "127.0.0.1:0", "--metrics", "off", "--", *WORKER)
        )
    )
    assert served.get("/metrics")[0] == 404
    assert served.get("/livez")[0] == 200


def test_a_missing_prometheus_client_is_reported_at_the_start(run: Run, leaderexec: Start) -> None:
    """Not at the first scrape; and with both remedies."""
    code = (
        "import sys; sys.modules['prometheus_client'] = None;"
        "import importlib.util as u; find = u.find_spec;"
        "u.find_spec = lambda name, *a: None if name == 'prometheus_client' else find(name, *a);"
        "from leaderexec.__main__ import main; sys.exit(main())"
    )
    words = ("--election", "off", "--http", ":0", "--", "true")
    result = run(sys.executable, "-c", code, "--metrics", "on", *words)
    assert result.returncode == 125
    assert "leaderexec[metrics]" in result.stderr
    assert "--metrics auto" in result.stderr
    wrapper = leaderexec(*words[:-1], "sleep", "100", program=(sys.executable, "-c", code))
    assert "leaderexec[metrics]" in wrapper.log("no metrics")["remedy"]


def test_a_port_in_use_is_reported_with_the_process_that_has_it(run: Run) -> None:
    """Before anything is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run(
            LEADEREXEC, "--election", "off", "--http", f"127.0.0.1:{port}", "--", "echo", "ran"
        )
    assert result.returncode == 125
    assert f"port {port} is in use by pid {os.getpid()}" in result.stderr
    assert "ran" not in result.stdout


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("8080", ":8080, 127.0.0.1:8080, [::]:8080 or unix:/path"),
        ("unix:run/x", "absolute path"),
        ("unix:/no/such/folder/x", "nothing can listen there"),
        ("no.such.host.invalid:80", "no such address"),
        ("192.0.2.1:80", "no such address"),
    ],
)
def test_a_bad_address_is_reported_with_its_remedy(run: Run, address: str, why: str) -> None:
    """With exit code 125, the option, the value, and what is allowed."""
    result = run(LEADEREXEC, "--election", "off", "--http", address, "--", "echo", "ran")
    assert result.returncode == 125
    assert f"--http is '{address}'" in result.stderr
    assert why in result.stderr
    assert "ran" not in result.stdout


def test_it_can_listen_on_every_kind_of_address(leaderexec: Start) -> None:
    """IPv4, and IPv6 if the machine has it."""
    served = Served(leaderexec("--election", "off", "--http", ":0", "--", *WORKER))
    assert served.get("/livez")[0] == 200
    assert ask_status(served.address)["role"] == "running"


def test_a_unix_socket_is_created_and_removed(leaderexec: Start, tmp_path: Path, run: Run) -> None:
    """A killed wrapper's socket is replaced; one that is in use is not."""
    path = tmp_path / "socket"
    words = ("--election", "off", "--http", f"unix:{path}", "--", *WORKER)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    wrapper = leaderexec(*words)
    wrapper.log("http listening")
    assert ask_status(Address("", 0, str(path)))["role"] == "running"
    second = run(LEADEREXEC, *words)
    assert second.returncode == 125
    assert f"{path} already exists" in second.stderr
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 21
    assert not path.exists()


def test_a_file_that_is_no_socket_is_never_removed(tmp_path: Path, run: Run) -> None:
    """A wrong path must not cost data."""
    path = tmp_path / "precious"
    path.write_text("data")
    result = run(LEADEREXEC, "--election", "off", "--http", f"unix:{path}", "--", "true")
    assert result.returncode == 125
    assert path.read_text() == "data"


def test_a_flood_of_requests_does_not_delay_the_stop(
    served: Served, elector: RunningElector
) -> None:
    """With idle connections and a stream of requests, leadership still moves."""
    elector.lead(ME)
    served.wrapper.output("up")
    over = threading.Event()

    def flood() -> None:
        while not over.is_set():
            served.get("/status")

    idle = [
        socket.create_connection(("127.0.0.1", served.address.port), timeout=20) for _ in range(300)
    ]
    threads = [threading.Thread(target=flood) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        elector.lead("app-b")
        served.wrapper.log("command ended", code=21)
        served.wrapper.log("transition", to="standby")
    finally:
        over.set()
        for thread in threads:
            thread.join()
        for caller in idle:
            caller.close()


def test_status_shows_the_running_wrapper(
    served: Served, elector: RunningElector, run: Run, environ: dict[str, str]
) -> None:
    """By the same option or variable; without a terminal, as plain text."""
    elector.lead(ME)
    served.wrapper.output("up")
    shown = run(LEADEREXEC, "--status", env={**environ, "LEADEREXEC_HTTP": str(served.address)})
    assert shown.returncode == 0
    assert "app-a (this replica)" in shown.stdout
    assert "running" in shown.stdout
    assert f"pid {served.wrapper.command_pid()}" in shown.stdout
    assert "\x1b" not in shown.stdout


def test_watch_draws_again_until_ctrl_c(served: Served, environ: dict[str, str]) -> None:
    """It uses the terminal's other screen and colours, and leaves the terminal as it was."""
    primary, secondary = pty.openpty()
    watching = subprocess.Popen(
        [LEADEREXEC, "--http", str(served.address), "--status", "--watch"],
        env={**environ, "TERM": "xterm"},
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
    )
    os.close(secondary)
    drawn = b""
    while drawn.count(b"app-a") < 2:
        drawn += os.read(primary, 65536)
    watching.send_signal(signal.SIGINT)
    with suppress(OSError):
        while part := os.read(primary, 65536):
            drawn += part
    os.close(primary)
    assert watching.wait(20) == 0
    assert drawn.startswith(b"\x1b[?1049h")
    assert b"\x1b[32mconfirmed" in drawn
    assert drawn.endswith(b"\x1b[?25h\x1b[?1049l")
    assert b"Traceback" not in drawn


def test_watch_goes_on_when_the_wrapper_ends(served: Served, environ: dict[str, str]) -> None:
    """It says so instead of showing the status."""
    watching = subprocess.Popen(
        [LEADEREXEC, "--http", str(served.address), "--status", "--watch"],
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    assert "app-a" in watching.stdout.readline()
    served.wrapper.send(signal.SIGTERM)
    while "no leaderexec responds" not in watching.stdout.readline():
        assert watching.poll() is None
    watching.send_signal(signal.SIGINT)
    watching.communicate()
    assert watching.returncode == 0


def test_status_without_an_address_or_an_answer_says_what_to_do(run: Run, tmp_path: Path) -> None:
    """It exits with 125, as for every question that can't be answered."""
    result = run(LEADEREXEC, "--status")
    assert result.returncode == 125
    assert "set --http or LEADEREXEC_HTTP" in result.stderr
    result = run(LEADEREXEC, "--http", f"unix:{tmp_path}/gone", "--status", "--watch")
    assert result.returncode == 125
    assert "is it running" in result.stderr


def test_the_status_shows_what_is_to_be_done_once(leaderexec: Start, tmp_path: Path) -> None:
    """With its key, and whether it is done."""
    words = ("--lock-file", str(tmp_path / "lock"), "--http", "127.0.0.1:0")
    once = ("--once", "--once-key", "v1")
    at_work = Served(leaderexec(*words, *once, "--", *WORKER))
    at_work.wrapper.output("up")
    assert at_work.status()["once"] == {"key": "v1", "done": False}
    at_work.wrapper.close()
    ever = Served(leaderexec(*words, "--", *WORKER))
    ever.wrapper.output("up")
    assert ever.status()["once"] is None
