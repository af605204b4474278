"""--once: one replica runs the command, and after its success no replica runs it again."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from apiserver import ApiServer
from support import Wrapper, wait_for

from leaderexec.core import events
from leaderexec.election import lockfile

Start = Callable[..., Wrapper]
ONCE = ("--once", "--once-key", "v1")
TRUE = ("--", "true")
# Runs until the file appears.
WAITS = 'echo up; while [ ! -e "$GO" ]; do sleep 0.02; done; '

# leaderexec with one change.
CHANGED = """
import errno, os, signal, sys
from leaderexec.__main__ import main
{}
sys.argv = ["leaderexec", *sys.argv[1:]]
main()
"""
DISK_IS_FULL = """
written = os.pwrite
def full(descriptor, data, at):
    if b'"done"' in data and (not {again} or full.times > 0):
        full.times -= 1
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return written(descriptor, data, at)
full.times = 2
os.pwrite = full
from leaderexec.core import lifecycle
lifecycle.KEEP_WITHIN = {within}
"""
DIES_BEFORE_THE_RECORD = """
from leaderexec.election.lockfile import LockFile
LockFile.keep_success = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
"""


def changed(leaderexec: Start, change: str, *words: str) -> Wrapper:
    """Start leaderexec with one change."""
    program = (sys.executable, "-c", CHANGED.format(change))
    return leaderexec(*words, program=program)


def reason(wrapper: Wrapper) -> str:
    """Return the reason it gave for its end."""
    return str(wrapper.log("transition", to="ended")["reason"])


@pytest.fixture
def lock(tmp_path: Path) -> str:
    """A path for the lock file."""
    return str(tmp_path / "lock")


def said(lock: str) -> dict[str, object]:
    """Return a lock file's content."""
    content: dict[str, object] = json.loads(Path(lock).read_text())
    return content


# With a lock file.


def test_one_of_many_replicas_runs_the_command_and_all_exit_with_0(
    leaderexec: Start, lock: str, tmp_path: Path
) -> None:
    """This includes a replica that starts later; with another key it runs again."""
    journal = tmp_path / "journal"
    job = ("--", "sh", "-c", f"echo ran >> {journal}; sleep 0.1")
    replicas = [leaderexec("--lock-file", lock, *ONCE, *job) for _ in range(4)]
    assert [replica.wait() for replica in replicas] == [0] * 4
    assert journal.read_text() == "ran\n"
    later = leaderexec("--lock-file", lock, *ONCE, *job)
    assert later.wait() == 0
    assert reason(later) == "already done for this --once-key"
    assert not later.events("command started")
    again = leaderexec("--lock-file", lock, "--once", "--once-key", "v2", *job)
    assert again.wait() == 0
    assert reason(again) == "done for this --once-key"
    assert journal.read_text() == "ran\n" * 2
    assert said(lock)["done"] == "v1 v2"


def test_the_old_release_is_done_while_the_new_one_is_at_work(
    leaderexec: Start, lock: str, tmp_path: Path
) -> None:
    """It waits for no other replica."""
    assert leaderexec("--lock-file", lock, *ONCE, *TRUE).wait() == 0
    go = tmp_path / "go"
    new = leaderexec(
        *("--lock-file", lock, "--once", "--once-key", "v2", "--", "sh", "-c", WAITS),
        env={"GO": str(go)},
    )
    new.output("up")
    assert leaderexec("--lock-file", lock, *ONCE, *TRUE).wait() == 0
    go.touch()
    assert new.wait() == 0


def test_after_a_failure_the_next_replica_tries(
    leaderexec: Start, lock: str, tmp_path: Path
) -> None:
    """The one that failed exits with the command's code."""
    go = tmp_path / "go"
    first = leaderexec(
        *("--lock-file", lock, *ONCE, "--", "sh", "-c", f"{WAITS} exit 3"), env={"GO": str(go)}
    )
    first.output("up")
    second = leaderexec("--lock-file", lock, *ONCE, *TRUE)
    second.log("leaderexec started")
    go.touch()
    assert first.wait() == 3
    assert second.wait() == 0
    assert second.events("command started")
    assert said(lock)["done"] == "v1"


def test_an_exit_code_that_counts_as_success_is_one(leaderexec: Start, lock: str) -> None:
    """And all replicas exit with 0."""
    words = ("--success-exit-status", "3", "--", "sh", "-c", "exit 3")
    one = leaderexec("--lock-file", lock, *ONCE, *words)
    assert one.wait() == 0
    assert not one.events("doubtful setting")
    assert said(lock)["done"] == "v1"


def test_a_command_that_was_ordered_to_stop_has_not_succeeded(leaderexec: Start, lock: str) -> None:
    """The command exits with 0, but leaderexec does not: that would mean done."""
    script = "trap 'exit 0' TERM; echo up; while :; do sleep 0.02; done"
    first = leaderexec("--lock-file", lock, *ONCE, "--", "sh", "-c", script)
    first.output("up")
    first.send(signal.SIGTERM)
    assert first.wait() == 143
    assert "done" not in said(lock)


def test_a_disk_that_is_full_for_a_while_is_waited_for(leaderexec: Start, lock: str) -> None:
    """It is logged, once."""
    change = DISK_IS_FULL.format(again=True, within=60)
    one = changed(leaderexec, change, "--lock-file", lock, *ONCE, *TRUE)
    assert one.wait() == 0
    assert one.events("transition", to="recording")
    (trouble,) = one.events("success not written")
    assert "its file system is full" in trouble["reason"]
    assert said(lock)["done"] == "v1"


def test_if_the_disk_stays_full_nothing_is_kept_and_that_is_logged(
    leaderexec: Start, lock: str
) -> None:
    """It exits with 125; the next replica runs the command again."""
    change = DISK_IS_FULL.format(again=False, within=0.1)
    one = changed(leaderexec, change, "--lock-file", lock, *ONCE, *TRUE)
    assert one.wait() == 125
    assert "tried for 0.1s" in one.log("success not kept")["reason"]
    assert "done" not in said(lock)
    second = leaderexec("--lock-file", lock, *ONCE, *TRUE)
    assert second.wait() == 0
    assert second.events("command started")


def test_an_order_to_stop_bounds_the_record_by_its_grace(leaderexec: Start, lock: str) -> None:
    """However long the record could take by itself."""
    change = DISK_IS_FULL.format(again=False, within=10_000)
    one = changed(leaderexec, change, "--lock-file", lock, *ONCE, "--grace", "0.1s", *TRUE)
    one.log("success not written")
    one.send(signal.SIGTERM)
    assert one.wait() == 125
    assert "the grace period is over" in one.log("success not kept")["reason"]


def test_after_a_kill_between_success_and_record_it_runs_again(
    leaderexec: Start, lock: str
) -> None:
    """It runs at least once."""
    words = ("--lock-file", lock, *ONCE, *TRUE)
    assert changed(leaderexec, DIES_BEFORE_THE_RECORD, *words).wait() == 137
    second = leaderexec(*words)
    assert second.wait() == 0
    assert second.events("command started")


def refuse(*_: object) -> int:
    """Be a full disk."""
    raise lockfile.CannotLock("its file system is full")


class Quiet:
    """A log that drops everything."""

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *_args, **_fields: None


def test_a_success_is_not_kept_once_the_file_is_removed(
    lock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another replica may have locked a new one."""
    monkeypatch.setattr(lockfile, "write_done", refuse)
    heard: list[object] = []
    log: Any = Quiet()
    election = lockfile.LockFile("a", lock, 1000.0, heard.append, log, float, once_key="v1")
    election.start(0.0)
    election.keep_success(election._fence)
    wait_for(lambda: election.troubles().get(("lock", "success-not-written")))
    Path(lock).unlink()
    (told,) = wait_for(lambda: [one for one in list(heard) if isinstance(one, events.NotKept)])
    assert "removed" in told.reason
    election.release()


@pytest.mark.parametrize("disk", ["works", "is full"])
def test_a_success_from_before_the_file_was_removed_is_not_kept_in_the_next_term(
    lock: str, monkeypatch: pytest.MonkeyPatch, disk: str
) -> None:
    """Another replica may have locked the new one, and have run, before this one did; whether the
    terms have fences, or the disk was full for either."""
    if disk == "is full":
        monkeypatch.setattr(lockfile, "write_holder", refuse)
    written: list[object] = []
    monkeypatch.setattr(lockfile, "write_done", lambda *about: written.append(about))
    heard: list[object] = []
    log: Any = Quiet()
    election = lockfile.LockFile("a", lock, 0.01, heard.append, log, float, once_key="v1")
    election.start(0.0)

    def terms() -> list[events.Announced]:
        seen = [one for one in list(heard) if isinstance(one, events.Announced)]
        return [one for one in seen if one.leader == "a"]

    wait_for(terms)
    Path(lock).unlink()
    wait_for(lambda: len(terms()) > 1)
    election.keep_success(terms()[0].fence)
    wait_for(lambda: any(isinstance(one, events.NotKept) for one in list(heard)))
    assert not written
    election.release()


def test_a_success_is_given_up_at_once_while_another_replica_holds_the_new_file(lock: str) -> None:
    """Not only when that has ended."""
    heard: list[object] = []
    log: Any = Quiet()
    election = lockfile.LockFile("a", lock, 0.01, heard.append, log, float, once_key="v1")
    other = Path(f"{lock}.other")
    descriptor = lockfile.open_file(str(other))
    assert lockfile.try_lock(str(other), descriptor)
    other.rename(lock)
    election.start(0.0)
    wait_for(lambda: any(one == events.Announced(None, 0.0) for one in list(heard)))
    election.keep_success(1)
    assert any(isinstance(one, events.NotKept) for one in heard)
    os.close(descriptor)


def test_a_success_is_not_written_after_the_file_was_unlocked(
    lock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By then another replica may have written that it leads."""
    written: list[object] = []
    looked: list[object] = []
    is_current = lockfile.is_current

    def full(*about: object) -> None:
        written.append(about)
        raise lockfile.CannotLock("its file system is full")

    def look(path: str, descriptor: int) -> bool:
        looked.append(path)
        return is_current(path, descriptor)

    monkeypatch.setattr(lockfile, "write_done", full)
    monkeypatch.setattr(lockfile, "is_current", look)
    monkeypatch.setattr(lockfile, "_KEEP_AGAIN", 0.01)
    log: Any = Quiet()
    election = lockfile.LockFile("a", lock, 0.01, lambda _: None, log, float, once_key="v1")
    election.start(0.0)
    election.keep_success(election._fence)
    wait_for(lambda: len(written) > 1)
    election.release()
    tried, before = len(written), len(looked)
    wait_for(lambda: len(looked) > before + 2)
    assert len(written) == tried


# With a Lease.


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """An API server with a Lease that no replica holds."""
    with ApiServer() as server:
        server.add("demo")
        yield server


def on(api: ApiServer, name: str, *words: str) -> tuple[str, ...]:
    """Return the command line of a replica."""
    given = ("--lease", "demo", "--api-server", api.url, "--identity", name)
    return (*given, *ONCE, *words)


def notes(api: ApiServer) -> dict[str, str]:
    """Return the Lease's annotations."""
    found: dict[str, str] = api.leases.get("demo")["metadata"].get("annotations", {})
    return found


def annotate(api: ApiServer, **added: str) -> None:
    """Add annotations, as another client would."""
    with api.leases.turn:
        found = json.loads(json.dumps(api.leases.get("demo")))
        found["metadata"].setdefault("annotations", {}).update(added)
        api.leases.update("demo", found)


def test_standbys_exit_with_0_as_soon_as_it_is_done(
    leaderexec: Start, api: ApiServer, tmp_path: Path
) -> None:
    """The Lease keeps it, along with everything else in it; later replicas don't acquire it."""
    annotate(api, other="kept")
    go = tmp_path / "go"
    first = leaderexec(*on(api, "a", "--", "sh", "-c", WAITS), env={"GO": str(go)})
    first.output("up")
    second = leaderexec(*on(api, "b", *TRUE))
    second.log("leadership confirmed")
    go.touch()
    assert (first.wait(), second.wait()) == (0, 0)
    assert reason(first) == "done for this --once-key"
    assert reason(second) == "already done for this --once-key"
    assert not second.events("command started")
    assert (notes(api)["leaderexec/done"], notes(api)["other"]) == ("v1", "kept")
    wait_for(lambda: api.holder() == "")
    taken = api.spec()["leaseTransitions"]
    later = leaderexec(*on(api, "c", *TRUE))
    assert later.wait() == 0
    assert not later.events("command started")
    assert api.spec()["leaseTransitions"] == taken


def test_a_job_that_becomes_done_during_the_takeover_delay_is_not_run(
    leaderexec: Start, api: ApiServer
) -> None:
    """Whoever wrote it."""
    one = leaderexec(*on(api, "a", "--takeover-delay", "1h", *TRUE))
    one.log("transition", to="takeover")
    annotate(api, **{"leaderexec/done": "v1"})
    assert one.wait() == 0
    assert not one.events("command started")


def test_a_record_that_fails_at_first_is_retried(
    leaderexec: Start, api: ApiServer, tmp_path: Path
) -> None:
    """As for renewals: after a lost response the Lease is read first."""
    go = tmp_path / "go"
    for status, times, after in ((503, 3, False), (409, 3, False), (0, 1, True)):
        go.unlink(missing_ok=True)
        annotate(api, **{"leaderexec/done": ""})
        one = leaderexec(*on(api, "a", "--", "sh", "-c", WAITS), env={"GO": str(go)})
        one.output("up")
        api.fail(status, "PUT", times=times, after=after)
        go.touch()
        assert one.wait() == 0
        api.recover()
        assert notes(api)["leaderexec/done"] == "v1"


def test_a_success_is_not_kept_if_another_replica_has_taken_over(
    leaderexec: Start, api: ApiServer, tmp_path: Path
) -> None:
    """If that happens before the success is recorded it exits with 125, and the Lease stays."""
    go = tmp_path / "go"
    hook = "sh -c 'echo hook; while [ ! -e \"$GO\" ]; do sleep 0.02; done'"
    one = leaderexec(
        *on(api, "a", "--on-stop", hook, "--on-stop-timeout", "9s", *TRUE), env={"GO": str(go)}
    )
    one.output("hook")
    api.edit(holderIdentity="x", leaseDurationSeconds=60)
    one.log("leader changed", to="x")
    go.touch()
    assert one.wait() == 125
    assert "the Lease is held by x now" in one.log("success not kept")["reason"]
    assert "leaderexec/done" not in notes(api)
    assert api.holder() == "x"
