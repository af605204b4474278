"""A source whose thread dies: it is noticed, logged, and restarted."""

import os
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest
from support import Wrapper, wait_for, waits_in_flock

from leaderexec.core.events import Announced, Event, Failed, Polled, StreamOpened
from leaderexec.election import lockfile
from leaderexec.inbox import BATCH, Inbox
from leaderexec.logs import Log
from leaderexec.process import syscalls
from leaderexec_elector.running import RunningElector

Start = Callable[..., Wrapper]
BREAKS = """
import sys
from leaderexec.election.elector import client as elector
get = elector.fetch
def fetch(*arguments):
    import os
    if os.path.exists(os.environ["BREAK"]):
        raise ZeroDivisionError("a bug")
    return get(*arguments)
elector.fetch = fetch
from leaderexec.__main__ import main
sys.exit(main())
"""


def test_a_source_thread_that_dies_stops_the_command_and_is_restarted(
    leaderexec: Start, elector: RunningElector, tmp_path: Path
) -> None:
    """Until the source reports again, nothing is known; readiness says so."""
    broken = tmp_path / "break"
    wrapper = leaderexec(
        *("--sse-url", elector.sse_url, "--identity", "app-a", "--poll-interval", "50ms"),
        *("--http", "127.0.0.1:0", "--metrics", "off", "--", "sh", "-c", "echo up; exec sleep 100"),
        program=(sys.executable, "-c", BREAKS),
        env={"BREAK": str(broken)},
    )
    elector.lead("app-a")
    wrapper.output("up")
    broken.touch()
    failed = wrapper.log("election source failed")
    assert "ZeroDivisionError: a bug" in failed["reason"]
    assert "restarted" in failed["remedy"]
    assert "a bug" in wrapper.log("transition", to="stopping")["reason"]
    address = wrapper.log("http listening")["address"]
    said = wait_for(lambda: unready(address), "readiness to be withdrawn")
    assert said is not None
    assert "the election's poll thread failed: ZeroDivisionError: a bug" in said
    broken.unlink()
    wrapper.output("up", count=2)
    # The command may be faster than the publication of the state that it was started in.
    wait_for(lambda: unready(address) is None, "readiness to come back")


def unready(address: str) -> str | None:
    """Return the reason in /readyz; None if it is ready."""
    with closing(HTTPConnection(address, timeout=20)) as connection:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        assert response.status in (200, 503)
        return response.read().decode() if response.status == 503 else None


class Ending(lockfile.LockFile):
    """A source whose thread can be ended from a method it calls; otherwise it never ends."""

    def _compete(self) -> None:
        with suppress(SystemExit):
            super()._compete()


def test_a_lock_is_not_trusted_without_watching_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While its thread was down the file may have been replaced, and another may lead."""
    path = tmp_path / "lock"
    heard: list[Event] = []

    def put(event: Event) -> None:
        heard.append(event)
        if len(heard) == 4:
            raise SystemExit

    watch = syscalls.watch_file
    rival: list[int] = []

    def breaks(name: str) -> int | None:
        monkeypatch.setattr(syscalls, "watch_file", watch)
        path.unlink()
        rival.append(lockfile.open_file(name))
        assert lockfile.try_lock(name, rival[0])
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(syscalls, "watch_file", breaks)
    source = Ending("a", str(path), 10, put, Log("error", "json"), time.monotonic)
    source.start(0)
    wait_for(lambda: len(heard) >= 3, "it to be restarted")
    said = [type(one).__name__ if isinstance(one, Failed) else one.leader for one in heard]  # type: ignore[union-attr]
    assert said == ["a", "Failed", None]
    os.close(rival[0])
    wait_for(lambda: len(heard) >= 4, "the lock that is free now")
    assert heard[3].leader == "a"  # type: ignore[union-attr]
    os.close(source.inherited()[0])


@pytest.mark.parametrize("content", ['{"name":"x","pid":1e999}', "[" * 3000, '{"pid":[]}'])
def test_no_content_of_a_lock_file_ends_the_waiting(
    leaderexec: Start, tmp_path: Path, content: str
) -> None:
    """Whoever wrote it, the waiter leads next, and overwrites none of it."""
    lock = tmp_path / "lock"
    holder = leaderexec("--lock-file", str(lock), "--identity", "a", "--", "sleep", "100")
    holder.log("command started")
    waiter = leaderexec("--lock-file", str(lock), "--identity", "b", "--", "sleep", "100")
    wait_for(lambda: waits_in_flock(waiter.pid), "the waiter to wait")
    lock.write_text(content)
    holder.close()
    waiter.log("lock holder not written")
    assert "fence" not in waiter.log("command started")
    assert lock.read_text() == content


def test_a_flood_of_announcements_fills_nothing_and_hides_no_loss() -> None:
    """The last two stay: the last decides, and the one before it shows what came in between."""
    inbox = Inbox()
    inbox.put(StreamOpened(0.0))
    for at in range(1001):
        inbox.put(Announced("ab"[at % 2], float(at)))
    taken = inbox.take()
    assert taken == [StreamOpened(0.0), Announced("b", 999.0), Announced("a", 1000.0)]
    for at in range(1000):
        inbox.put(Announced("a", float(at)))
    inbox.put(Polled("a", 1.0))
    inbox.put(Announced("a", 2000.0))
    assert inbox.take() == [Announced("a", 999.0), Polled("a", 1.0), Announced("a", 2000.0)]


def test_a_flood_hides_no_term_that_only_its_fence_tells_apart() -> None:
    """Under one name leadership may have been lost and won again."""
    inbox = Inbox()
    for fence in (7, 8, 8, None, None):
        inbox.put(Announced("a", 1.0, fence))
    assert inbox.take() == [Announced("a", 1.0, 8), Announced("a", 1.0)]


def test_events_are_taken_in_batches() -> None:
    """So signals and deadlines get their turn."""
    inbox = Inbox()
    for at in range(BATCH + 1):
        inbox.put(Polled("a", float(at)))
    assert len(inbox.take()) == BATCH
    assert inbox.take() == [Polled("a", float(BATCH))]
    assert inbox.take() == []


def test_a_flood_of_announcements_does_not_delay_term(leaderexec: Start) -> None:
    """The elector announces without end, as fast as it can be read."""
    import socket
    import threading

    server = socket.create_server(("127.0.0.1", 0))
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    flood = b"".join(b'data: {"name":"%s"}\n\n' % name for name in (b"app-b", b"app-c")) * 500
    sent = threading.Event()

    def serve() -> None:
        client, _ = server.accept()
        with client, suppress(OSError):
            client.sendall(head)
            for at in range(10**6):
                client.sendall(flood)
                if at > 20:
                    sent.set()

    with server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/sse"
        wrapper = leaderexec(
            *("--sse-url", url, "--poll-interval", "off", "--log-level", "error", "--", "true")
        )
        wait_for(sent.is_set, "the flood to be sent", 50)
        wrapper.process.terminate()
        assert wrapper.wait() == 0
    wait_for(lambda: not thread.is_alive())
