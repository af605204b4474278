"""What the command reports by sd_notify(3): how it is parsed, and with real programs."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from e2e.test_health import get
from hypothesis import given
from hypothesis import strategies as st
from support import Wrapper, wait_for

from leaderexec.config.options import listen_address
from leaderexec.config.settings import load
from leaderexec.core.actions import Job
from leaderexec.core.events import Event, Health, Ready
from leaderexec.core.record import replace
from leaderexec.core.run import Run
from leaderexec.health.notify import BATCH, MOST_BYTES, WINDOW, Notifications, fields
from leaderexec.logs import Log
from leaderexec.process.syscalls import open_notify_socket

Start = Callable[..., Wrapper]
RUN = Run(Job.COMMAND, 100.0)
# Sends its arguments, one message each, before it waits for its next line.
SAYS = """
import os, socket, sys
telling = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
telling.connect(os.environ["NOTIFY_SOCKET"].replace("@", chr(0)))
print("up", flush=True)
for line in sys.stdin:
    telling.send(line.strip().replace("|", chr(10)).encode())
"""


class Heard:
    """A socket, with this test's process as the command."""

    def __init__(self, *options: str) -> None:
        given = dict(zip(options[::2], options[1::2], strict=True))
        config = load({"election": "off", **given}, ["true"], {}, "app-a")
        offered = open_notify_socket()
        self.notifications = Notifications(offered.descriptor, config, Log("error", "json"))
        self.notifications.follow(RUN)
        self.telling = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.telling.connect(offered.name.replace("@", "\0"))
        self.telling.setblocking(False)

    def hear(self, *messages: bytes, now: float = 101.0, pid: int | None = None) -> list[Event]:
        """Send these messages, and return the resulting events."""
        for message in messages:
            self.telling.send(message)
        return list(self.notifications.receive(pid or os.getpid(), frozenset(), now))

    def close(self) -> None:
        """Close both ends."""
        self.telling.close()
        self.notifications._socket.close()


@pytest.fixture
def heard(request: pytest.FixtureRequest) -> Iterator[Heard]:
    """A socket; a parameter has its options."""
    made = Heard(*getattr(request, "param", ()))
    yield made
    made.close()


watchdog = pytest.mark.parametrize("heard", [("health-watchdog", "10s")], indirect=True)


def test_a_message_is_names_and_values() -> None:
    """One per line; anything else is ignored."""
    said = fields(b"READY=1\nSTATUS=a = b\nnothing\n\nX=")
    assert said == {"READY": "1", "STATUS": "a = b", "X": ""}


@pytest.mark.parametrize("one", "\x0b\x0c\x1c\x85\u2028")
def test_a_status_ends_only_with_its_line(one: str) -> None:
    """What follows another kind of separator is not said by the command, but shown by it."""
    said = fields(f"STATUS=line{one}READY=1\r\nX=1".encode())
    assert said == {"STATUS": f"line{one}READY=1", "X": "1"}


@given(st.binary())
def test_no_message_breaks_anything(message: bytes) -> None:
    """Whatever is sent has a meaning, or none."""
    assert isinstance(fields(message), dict)


def test_ready_and_stopping_are_reported(heard: Heard) -> None:
    """In the order in which they arrive."""
    assert heard.hear(b"READY=1", b"STOPPING=1\nSTATUS=bye") == [Ready(True), Ready(False)]
    assert heard.notifications.status == "bye"


def test_the_status_is_short_printable_and_from_this_run(heard: Heard) -> None:
    """It is shown on terminals."""
    heard.hear(b"STATUS=\x1b[31m" + b"x" * 1000)
    assert heard.notifications.status.startswith("\\x1b[31mxxx")
    assert len(heard.notifications.status) == 256
    heard.notifications.follow(Run(Job.COMMAND, 200.0))
    assert heard.notifications.status == ""


def test_messages_from_other_processes_are_ignored(heard: Heard) -> None:
    """Only messages from the command's own processes count, its children included."""
    assert heard.hear(b"READY=1", pid=1) == []
    name = "\0" + heard.telling.getpeername().decode()[1:]
    script = (
        "import socket, sys; socket.socket(1, 2).sendto(b'READY=1', sys.argv[1]); sys.stdin.read()"
    )
    script = f"name = chr(0) + {name[1:]!r}; " + script.replace("sys.argv[1]", "name")
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as child:
        found = wait_for(lambda: heard.hear(pid=1))
        assert child.stdin is not None
        child.stdin.close()
    assert found == [Ready(True)]


def test_garbage_huge_messages_and_descriptors_leave_nothing_behind(heard: Heard) -> None:
    """Attached descriptors are closed, which is also how BARRIER=1 works."""
    before = os.listdir("/proc/self/fd")
    reading, writing = os.pipe()
    socket.send_fds(heard.telling, [b"BARRIER=1"], [writing] * 100)
    os.close(writing)
    assert heard.hear(b"\xff\xfe", b"", b"READY=1\n" + b"x" * MOST_BYTES) == []
    assert os.read(reading, 1) == b""
    os.close(reading)
    assert os.listdir("/proc/self/fd") == before


def test_a_flood_of_messages_is_read_at_a_limited_rate(heard: Heard) -> None:
    """Its senders wait, and the main thread does not."""
    flood = 0
    for now in (101.0, 101.01, 101.02):
        while True:
            try:
                heard.telling.send(b"READY=1")
            except BlockingIOError:
                break
            if (flood := flood + 1) > 10 * BATCH:
                break
        heard.hear(now=now)
    assert heard.notifications._read == BATCH
    assert heard.notifications.rests(101.02)
    assert heard.notifications.deadline(101.02) == 101.0 + WINDOW
    assert not heard.notifications.rests(101.2)
    assert heard.hear(now=101.2) != []


@watchdog
def test_a_command_that_misses_its_watchdog_is_unhealthy(heard: Heard) -> None:
    """The first message proves that it is healthy; from then on each has a deadline."""
    assert heard.hear(b"WATCHDOG=1", now=101.0) == [Health(True, 100.0, 101.0)]
    assert heard.hear(b"WATCHDOG=1", now=110.0) == []
    assert heard.notifications.deadline(110.0) == 120.0
    assert heard.notifications.due(119.9) is None
    reason = "--health-watchdog: WATCHDOG=1 was sent none for 10.0s"
    assert heard.notifications.due(120.0) == Health(False, 100.0, 110.0, reason)
    assert heard.notifications.due(130.0) is None


@watchdog
def test_the_first_watchdog_message_has_the_start_period(heard: Heard) -> None:
    """Programs take time to start."""
    assert heard.notifications.deadline(100.0) == 130.0
    assert heard.notifications.due(129.9) is None
    unhealthy = heard.notifications.due(130.0)
    assert isinstance(unhealthy, Health)
    assert "never sent" in unhealthy.reason


@watchdog
def test_a_trigger_is_unhealthy_at_once_and_stopping_has_the_grace(heard: Heard) -> None:
    """A program that is stopping may have no time for its watchdog."""
    heard.hear(b"WATCHDOG=1", b"STOPPING=1", now=101.0)
    assert heard.notifications.deadline(101.0) == 126.0
    (unhealthy,) = heard.hear(b"WATCHDOG=trigger", now=102.0)
    assert isinstance(unhealthy, Health)
    assert not unhealthy.healthy


@watchdog
def test_a_warm_commands_messages_count_while_it_waits_and_its_watchdog_once_it_leads(
    heard: Heard,
) -> None:
    """It is the same process then, and its reported status stays."""
    warm = replace(RUN, job=Job.WARM)
    heard.notifications.follow(None)
    heard.notifications.follow(warm)
    assert heard.hear(b"READY=1\nSTATUS=loaded", b"WATCHDOG=1") == [Ready(True)]
    assert heard.notifications.deadline(101.0) is None
    heard.notifications.follow(replace(warm, job=Job.COMMAND, started_at=500.0))
    assert heard.notifications.status == "loaded"
    assert heard.notifications.deadline(500.0) == 530.0


def test_leader_and_readyz_wait_for_ready(leaderexec: Start) -> None:
    """With --notify required, and --readyz healthy; its STATUS is shown."""
    wrapper = leaderexec(
        *("--election", "off", "--notify", "required", "--readyz", "healthy"),
        *("--http", "127.0.0.1:0", "--", sys.executable, "-c", SAYS),
        stdin=subprocess.PIPE,
    )
    port = listen_address(wrapper.log("http listening")["address"]).port
    wrapper.output("up")
    assert get(port, "/leader")[0] == 503
    assert get(port, "/readyz") == (503, "this replica leads, and its command is not healthy\n")
    assert wrapper.process.stdin is not None
    wrapper.process.stdin.write("READY=1|STATUS=all is well\n")
    wrapper.process.stdin.flush()
    wrapper.log("command ready")
    assert get(port, "/leader")[0] == get(port, "/readyz")[0] == 200
    assert '"said": "all is well"' in get(port, "/status")[1]
    assert "leaderexec_command_healthy 1.0" in get(port, "/metrics")[1]
    wrapper.process.stdin.write("STOPPING=1\n")
    wrapper.process.stdin.flush()
    wrapper.log("command stopping by itself")
    assert get(port, "/leader")[0] == 503


def test_a_command_that_misses_its_watchdog_is_restarted(leaderexec: Start) -> None:
    """Without a thread, and without any other probe."""
    wrapper = leaderexec(
        *("--election", "off", "--health-watchdog", "100ms", "--health-start-period", "60s"),
        *("--", sys.executable, "-c", SAYS),
        stdin=subprocess.PIPE,
    )
    assert wrapper.process.stdin is not None
    wrapper.process.stdin.write("WATCHDOG=1\n")
    wrapper.process.stdin.flush()
    wrapper.log("command healthy")
    assert "--health-watchdog" in wrapper.log("transition", to="stopping")["reason"]
    wrapper.log("command started", count=2)


def test_a_service_manager_gets_our_messages_and_not_the_commands(
    leaderexec: Start, environ: dict[str, str]
) -> None:
    """A unit of Type=notify is ready on standby, too."""
    path = f"{environ['XDG_RUNTIME_DIR']}/manager"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(20)
        given = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}
        script = 'echo "$NOTIFY_SOCKET ${WATCHDOG_USEC-no} ${WATCHDOG_PID-no}"'
        wrapper = leaderexec("--election", "off", "--", "sh", "-c", script, env=given)
        assert manager.recv(100) == b"READY=1"
        wrapper.wait()
        wrapper.join()
        (said,) = wrapper.out
        assert said.startswith("@")
        assert said.endswith(" no no")


def test_off_offers_no_socket(leaderexec: Start) -> None:
    """Some programs behave differently if there is a socket."""
    script = 'echo "<$NOTIFY_SOCKET>"'
    wrapper = leaderexec("--election", "off", "--notify", "off", "--", "sh", "-c", script)
    wrapper.output("<>")
