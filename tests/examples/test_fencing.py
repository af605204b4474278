"""The recipes in docs/fencing.md refuse the older leader, each in its real store."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from postgresql import PostgreSQL, missing
from support import Wrapper, alive, is_held, wait_for

Start = Callable[..., Wrapper]
RECIPES = Path(__file__).parents[2] / "examples" / "fencing"
# The next one is longer: compared as text it would be smaller.
OLDER, NEWER = "9007199254740993", "10000000000000000"


@pytest.fixture
def postgresql() -> Iterator[Callable[[str], subprocess.CompletedProcess[str]]]:
    """A server; the fixture is a function that runs SQL on it."""
    if (why := missing()) is not None:
        pytest.skip(why)
    with PostgreSQL() as server:
        yield server.psql


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """A server on a Unix socket; the fixture is a function that runs redis-cli."""
    if shutil.which("redis-server") is None or shutil.which("redis-cli") is None:
        pytest.skip("Redis is not installed")
    path = f"/tmp/leaderexec-redis-{os.getpid()}.sock"  # noqa: S108 - sun_path is short
    options = ("--port", "0", "--unixsocket", path, "--save", "", "--dir", str(tmp_path))
    server = subprocess.Popen(("redis-server", *options), stdout=subprocess.DEVNULL)

    def run(*words: str) -> str:
        command = ("redis-cli", "-s", path, *words)
        return subprocess.run(command, text=True, capture_output=True, check=False).stdout.strip()

    try:
        wait_for(lambda: run("PING") == "PONG", "Redis to answer")
        yield run
    finally:
        server.terminate()
        server.wait()


def test_postgresql_rolls_back_an_older_leaders_transaction(
    postgresql: Callable[[str], subprocess.CompletedProcess[str]],
) -> None:
    """Nor does the older leader delay the newer one, or the same one twice."""
    created = postgresql((RECIPES / "postgresql.sql").read_text() + "CREATE TABLE work (by text);")
    assert created.returncode == 0, created.stderr

    def work(fence: str) -> str:
        transaction = "BEGIN; SELECT fence('w', #); INSERT INTO work VALUES ('#'); COMMIT;"
        return postgresql(transaction.replace("#", fence)).stderr

    assert [work(OLDER), work(NEWER), work(NEWER)] == ["", "", ""]
    assert "fenced" in work(OLDER)
    assert postgresql("SELECT by FROM work").stdout.split() == [OLDER, NEWER, NEWER]


def test_redis_refuses_an_older_leader(redis: Callable[..., str]) -> None:
    """Also if its fence is no smaller as text, and beyond the precision of a double."""

    def write(fence: str, value: str) -> str:
        return redis("--eval", str(RECIPES / "redis.lua"), "key", ",", fence, value)

    assert [write(OLDER, "a"), write(NEWER, "b"), write(NEWER, "c")] == ["OK", "OK", "OK"]
    assert write(OLDER, "late").startswith(("FENCED", "(error) FENCED"))
    assert redis("GET", "key") == "c"


def test_when_a_frozen_leader_wakes_its_write_is_refused(leaderexec: Start, tmp_path: Path) -> None:
    """Wrapper and worker are frozen, the lock file is removed by hand, another replica leads and
    writes; then only the worker wakes, with its write still to come."""
    lock, store, asleep = (str(tmp_path / name) for name in ("lock", "store", "asleep"))
    write = f"{sys.executable} {RECIPES / 'file_store.py'} {store}"
    words = ("--lock-file", lock, "--poll-interval", "200ms", "--identity")
    old_work = f"{write} old; echo wrote; read go < {asleep}; {write} late; echo ended with $?"
    os.mkfifo(asleep)
    old = leaderexec(*words, "old", "--", "sh", "-c", old_work)
    old.output("wrote")
    worker = old.command_pid()
    old.send(signal.SIGSTOP)
    # A thread that still ran would notice that the file is gone, and lock the next one.
    wait_for(lambda: is_held(old.pid))
    Path(lock).unlink()
    new = leaderexec(*words, "new", "--", "sh", "-c", f"{write} new && echo done; sleep 100")
    new.output("done")
    Path(asleep).write_text("go\n")
    old.output("ended with 1")
    assert Path(store).read_text() == "new"
    # Otherwise it is stopped for the loss, and the wrapper stays as a standby.
    wait_for(lambda: not alive(worker))
    old.send(signal.SIGCONT)
    assert old.wait() == 0


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("call", ["write", "pwrite64", "fsync", "rename"])
def test_a_writer_that_is_killed_lets_no_older_leader_in(tmp_path: Path, call: str) -> None:
    """At whichever change of the files."""
    write = (sys.executable, str(RECIPES / "file_store.py"), str(tmp_path / "store"))

    def fenced(fence: str, *prefix: str) -> bool:
        environ = {**os.environ, "LEADEREXEC_FENCE": fence}
        words = (*prefix, *write, "text")
        done = subprocess.run(words, env=environ, check=False, capture_output=True, text=True)
        return "another replica leads" in done.stderr

    assert not fenced("7")
    fenced("10", "strace", "-f", "-o", "/dev/null", "-e", f"inject={call}:signal=KILL:when=1")
    assert fenced("6")
