"""The consumers are run with the command lines in their headers, until ordered to stop."""

import importlib.util
import os
import shutil
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from examples.json_api import json_api
from examples.reading import ROOT, command_lines
from fakeredis import FakeRedis, TcpFakeServer
from support import BIN, Wrapper, wait_for

CONSUMERS = ROOT / "consumers"
# The header's option is for pods; these replicas have no peers.
ALONE = ("--election", "off", "--takeover-delay", "0s")

Start = Callable[..., Wrapper]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder with copies of the examples, in which their programs are run."""
    shutil.copytree(CONSUMERS, tmp_path, dirs_exist_ok=True)
    shutil.copy(ROOT / "worker.py", tmp_path)
    return tmp_path


@pytest.fixture
def start(leaderexec: Start, environ: dict[str, str], workplace: Path) -> Start:
    """Run a consumer with its header's command line, with some words replaced."""

    def start_it(name: str, *, env: dict[str, str] | None = None, **replaced: str) -> Wrapper:
        (words,) = command_lines(CONSUMERS / name)
        split = words.index("--")
        command = [replaced.get(word.strip("./"), word) for word in words[split + 1 :]]
        path = {"PATH": f"{BIN}{os.pathsep}{environ['PATH']}"}
        return leaderexec(
            *words[1:split], *ALONE, "--", *command, cwd=workplace, env=path | (env or {})
        )

    return start_it


@pytest.fixture
def server() -> Iterator[redis.Redis]:
    """A client of a Redis server in this process, which uses the real protocol over TCP."""
    fake = TcpFakeServer(("127.0.0.1", 0), server_type="redis")
    serving = threading.Thread(target=fake.serve_forever, daemon=True)
    serving.start()
    with redis.Redis(port=fake.server_address[1], decode_responses=True, protocol=2) as client:
        yield client
    fake.shutdown()
    fake.server_close()
    serving.join()


def url_of(client: redis.Redis) -> str:
    """Return the server's URL."""
    return f"redis://127.0.0.1:{client.get_connection_kwargs()['port']}/0"


def job(workplace: Path, script: str) -> None:
    """Create the job that the cron loop's header names."""
    path = workplace / "report"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def handled(monkeypatch: pytest.MonkeyPatch, client: redis.Redis, count: int) -> list[str]:
    """Consume until this many entries were handled; return their numbers."""
    spec = importlib.util.spec_from_file_location("redis_stream", CONSUMERS / "redis_stream.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    numbers: list[str] = []

    def handle(fields: dict[str, str]) -> None:
        numbers.append(fields["number"])
        if len(numbers) == count:
            example.stop(signal.SIGTERM, None)

    monkeypatch.setattr(example, "handle", handle)
    example.consume(client)
    return numbers


@pytest.fixture
def stream() -> redis.Redis:
    """A client of a Redis in memory, with three entries."""
    client = FakeRedis(decode_responses=True)
    for number in "123":
        client.xadd("orders", {"number": number})
    return client


def test_the_streams_entries_are_handled_in_order(
    monkeypatch: pytest.MonkeyPatch, stream: redis.Redis
) -> None:
    """And acknowledged; ordered to stop, it finishes the current entry, and the next leader
    continues after it."""
    assert handled(monkeypatch, stream, 2) == ["1", "2"]
    assert stream.xpending("orders", "singleton")["pending"] == 0
    assert handled(monkeypatch, stream, 1) == ["3"]


def test_a_new_leader_begins_with_entries_that_the_old_one_left(
    monkeypatch: pytest.MonkeyPatch, stream: redis.Redis
) -> None:
    """Entries that were read but not acknowledged come first, though newer ones wait."""
    stream.xgroup_create("orders", "singleton", id="0", mkstream=True)
    stream.xreadgroup("singleton", "leader", {"orders": ">"}, count=2)
    assert handled(monkeypatch, stream, 3) == ["1", "2", "3"]


def test_celery_beat_sends_its_tasks(start: Start, server: redis.Redis, workplace: Path) -> None:
    """The real beat, to a broker on loopback; ordered to stop, it exits before any KILL."""
    beat = start(
        "celery_beat.py",
        env={"BROKER_URL": url_of(server)},
        **{"tmp/beat": str(workplace / "schedule")},
    )
    wait_for(lambda: server.llen("celery"), "a task to be sent")
    assert "example.heartbeat" in str(server.lindex("celery", 0))
    beat.send(signal.SIGTERM)
    # 1 if TERM arrived in the middle of a send, which can't be seen from outside.
    assert beat.wait() in {0, 1}


def test_the_cron_loop_runs_its_job_repeatedly(start: Start, workplace: Path) -> None:
    """With the job's own arguments; a job that fails is retried at its next turn."""
    job(workplace, 'echo "ran with $*"; exit 3')
    loop = start("cron_loop.sh", **{"3600": "1"})
    loop.output("ran with --all", count=2)
    wait_for(
        lambda: any("failed with 3" in line for line in loop.plain), "the failure to be reported"
    )
    assert loop.process.poll() is None


def test_the_cron_loop_exits_at_once_between_jobs(start: Start, workplace: Path) -> None:
    """It does not finish its sleep of an hour, and leaves nothing behind that has to be stopped."""
    job(workplace, "echo done")
    loop = start("cron_loop.sh")
    loop.output("done")
    loop.send(signal.SIGTERM)
    assert loop.wait() == 0
    assert not loop.events("stopping what the command left behind")


def test_the_cron_loop_finishes_the_current_job(start: Start, workplace: Path) -> None:
    """Ordered to stop during a job, it exits after it."""
    os.mkfifo(workplace / "gate")
    job(workplace, "echo begun; read -r word < gate; echo finished")
    loop = start("cron_loop.sh")
    loop.output("begun")
    loop.send(signal.SIGTERM)
    loop.log("transition", to="stopping")
    (workplace / "gate").write_text("go\n")
    assert loop.wait() == 0
    loop.output("ended")
    assert loop.out == ["begun", "finished", "ended"]


def version(path: Path) -> int:
    """Return the database's version."""
    with closing(sqlite3.connect(path)) as database:
        found: int = database.execute("PRAGMA user_version").fetchone()[0]
        return found


def test_the_migrations_run_before_the_worker(start: Start, workplace: Path) -> None:
    """The worker keeps the migration's pid, and so gets the signals; a second run does nothing."""
    log = {"WORKER_LOG": str(workplace / "log")}
    first = start("migrate.py", env=log)
    first.output("migrations applied: [1, 2, 3]")
    wait_for((workplace / "log").exists, "the worker to start")
    assert version(workplace / "app.db") == 3
    first.send(signal.SIGTERM)
    assert first.wait() == 0
    assert str(first.command_pid()) in (workplace / "log").read_text().split()
    start("migrate.py", env=log).output("migrations applied: none")


def test_a_failed_migration_is_reported_and_not_repeated(start: Start, workplace: Path) -> None:
    """The container's own restarts, with growing delays, are where users look."""
    with closing(sqlite3.connect(workplace / "app.db")) as database:
        database.execute("CREATE TABLE orders (foreign_to_us TEXT)")
        database.commit()
    migration = start("migrate.py")
    assert migration.wait() == 1
    assert version(workplace / "app.db") == 0
    assert len(migration.events("command started")) == 1


def test_concurrent_migrations_are_each_applied_once(
    workplace: Path, environ: dict[str, str]
) -> None:
    """Leadership does not ensure this; the transaction does."""
    running = [
        subprocess.Popen(
            [BIN / "python", "migrate.py"],
            cwd=workplace,
            env=environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    said = "".join(process.communicate(timeout=30)[0] for process in running)
    assert [process.returncode for process in running] == [0, 0, 0]
    assert sorted(digit for digit in said if digit.isdigit()) == ["1", "2", "3"]


def test_with_once_the_replicas_wait_for_the_migration_and_continue(
    leaderexec: Start, workplace: Path
) -> None:
    """As in a Deployment's init containers: one replica runs it, all exit with 0."""
    words = ("--lock-file", str(workplace / "lock"), "--once", "--once-key", "v1", "--")
    replicas = [
        leaderexec(*words, str(BIN / "python"), "migrate.py", cwd=workplace) for _ in range(3)
    ]
    assert [replica.wait() for replica in replicas] == [0, 0, 0]
    assert version(workplace / "app.db") == 3
    started = [replica.events("command started") for replica in replicas]
    assert sorted(map(len, started)) == [0, 0, 1]


@pytest.mark.parametrize("path", sorted(CONSUMERS.glob("*.sh")), ids=lambda path: path.name)
def test_the_shell_accepts_it(path: Path, run: Run) -> None:
    """By `sh -n`, and without words that only some shells know."""
    assert run("sh", "-n", str(path)).returncode == 0


@pytest.mark.parametrize("path", sorted(CONSUMERS.glob("*.py")), ids=lambda path: path.name)
def test_it_compiles(path: Path) -> None:
    """On each Python that leaderexec supports."""
    compile(path.read_bytes(), path, "exec")


@pytest.fixture
def replica(leaderexec: Start, environ: dict[str, str], workplace: Path) -> Start:
    """Start one of several replicas of a consumer by its header's command line."""

    def start_it(program: str, name: str, *more: str, **variables: str) -> Wrapper:
        (words,) = command_lines(CONSUMERS / program)
        split = words.index("--")
        alive = str(workplace / name)
        own = [alive if word.endswith("/alive") else word for word in words]
        return leaderexec(
            *own[1:split],
            *("--lock-file", str(workplace / "lock"), "--identity", name, "--hold-off", "1h"),
            *(*more, "--", *own[split + 1 :]),
            cwd=workplace,
            env={"PATH": f"{BIN}{os.pathsep}{environ['PATH']}"} | variables,
        )

    return start_it


QUICK = ("--health-interval", "1s", "--health-threshold", "3", "--grace-lost", "1s")


def test_a_consumer_that_hangs_leads_no_more(replica: Start, workplace: Path) -> None:
    """Another replica goes on with the next job; the one that it hung on is left aside."""
    queue = workplace / "queue"
    queue.mkdir()
    first = replica("hanging.py", "a", *QUICK)
    first.log("command healthy")
    second = replica("hanging.py", "b", *QUICK)
    for job, what in (("1", "hang"), ("2", "go on")):
        # Complete at once: it may be taken as soon as it is there.
        (queue / f"{job}.new").write_text(what)
        (queue / f"{job}.new").rename(queue / f"{job}.job")
    second.output("done: 2")
    assert first.log("abdicating")["reason"] == "command unhealthy"
    assert (queue / "1.taken").exists()


# A broker of one partition, in a folder: `records` has a line for each, `committed` says how far
# its consumer has come, and who finds `silent.NAME` waits.
KAFKA = """
import os, time
from pathlib import Path
from typing import Any

class Record:
    def __init__(self, offset, value):
        self.offset, self.value = offset, value

class KafkaConsumer:
    def __init__(self, topic, bootstrap_servers, group_id, enable_auto_commit, auto_offset_reset):
        assert (enable_auto_commit, auto_offset_reset) == (False, "earliest")
        self.folder = Path(bootstrap_servers[0])
        kept = self.folder / "committed"
        self.next = int(kept.read_text()) if kept.exists() else 0

    def poll(self, timeout_ms, max_records):
        while (self.folder / f"silent.{os.environ['LEADEREXEC_REPLICA']}").exists():
            time.sleep(0.02)
        lines = (self.folder / "records").read_bytes().splitlines()[self.next:][:max_records]
        found = [Record(self.next + number, line) for number, line in enumerate(lines)]
        self.next += len(found)
        time.sleep(0 if found else 0.05)
        return {"orders-0": found} if found else {}

    def commit(self):
        (self.folder / "committed").write_text(str(self.next))

    def close(self, autocommit):
        assert not autocommit
"""


def test_a_kafka_consumer_whose_broker_is_silent_leads_no_more(
    replica: Start, workplace: Path
) -> None:
    """The next leader goes on behind what was committed; ordered to stop, it ends in between."""
    (workplace / "kafka.py").write_text(KAFKA)
    broker = workplace / "broker"
    broker.mkdir()
    (broker / "records").write_text("1\n2\n")
    variables = {"KAFKA_BROKERS": str(broker)}
    first = replica("kafka_consumer.py", "a", *QUICK, **variables)
    first.output("handled 2")
    first.log("command healthy")
    second = replica("kafka_consumer.py", "b", *QUICK, **variables)
    (broker / "silent.a").touch()
    second.log("command started")
    with (broker / "records").open("a") as records:
        records.write("3\n")
    second.output("handled 3")
    assert first.log("abdicating")["reason"] == "command unhealthy"
    wait_for(lambda: (broker / "committed").read_text() == "3")
    second.send(signal.SIGTERM)
    assert second.wait() == 0
    assert second.out == ["handled 3", "ended, all committed"]


class Telegram:
    """The Bot API's two methods, as far as the bot sees them. An update's id is its place."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.answers: list[str] = []
        self.confirmed = 0

    def updates(self, offset: int) -> list[dict[str, object]]:
        """Confirm what came before this offset; return the rest."""
        self.confirmed = max(self.confirmed, offset - 1)
        return [
            {"update_id": at, "message": {"chat": {"id": 7}, "text": text}}
            for at, text in enumerate(self.said, 1)
            if at > self.confirmed
        ]


@pytest.fixture
def telegram() -> Iterator[tuple[Telegram, str]]:
    """A stand-in for the Bot API, and its URL."""
    api = Telegram()

    def answer(path: str, asked: Any) -> object:
        bot, method = path.strip("/").split("/")
        assert bot == "botSECRET"
        result: object = {}
        if method == "getUpdates":
            result = api.updates(asked["offset"])
        else:
            api.answers.append(asked["text"])
        return {"ok": True, "result": result}

    with json_api(answer) as url:
        yield api, url


def test_the_bot_answers_each_message_once_whichever_replica_leads(
    replica: Start, telegram: tuple[Telegram, str]
) -> None:
    """Ordered to stop, it confirms what it has answered, and the next leader begins behind that."""
    api, url = telegram
    own = {"TELEGRAM_API": url, "TELEGRAM_TOKEN": "SECRET"}
    for number, name in enumerate("abc"):
        leader = replica("telegram_bot.py", name, "--takeover-delay", "0s", **own)
        api.said.append(f"{number}")
        wait_for(lambda: len(api.answers) > number)  # noqa: B023 - waits here
        leader.send(signal.SIGTERM)
        assert leader.wait() == 0
        leader.output("ended, all confirmed")
        assert api.confirmed == number + 1
    assert api.answers == ["You said: 0", "You said: 1", "You said: 2"]


def test_partitioned_consumers_share_the_work_and_leave_none_of_it(
    leaderexec: Start, environ: dict[str, str], workplace: Path
) -> None:
    """Each customer's files are processed in one slot; also after a replica was replaced."""
    queue = workplace / "queue"
    queue.mkdir()
    (words,) = command_lines(CONSUMERS / "partitioned.py")
    split = words.index("--")
    lock = ["--lock-file", str(workplace / "lock")]

    def replica(name: str) -> Wrapper:
        return leaderexec(
            *(*lock, *words[3:split], "--identity", name, "--", *words[split + 1 :]),
            cwd=workplace,
            env={"PATH": f"{BIN}{os.pathsep}{environ['PATH']}"},
        )

    def work(number: int, replicas: list[Wrapper]) -> dict[str, str]:
        """Return which customer was served in which slot."""
        jobs = [queue / f"customer{one}.{number}.job" for one in range(20)]
        for job in jobs:
            job.touch()
        wait_for(lambda: not list(queue.glob("*.job")), "all jobs to be done")

        def done() -> list[list[str]]:
            lines = [line.split() for one in replicas for line in one.out]
            return [line for line in lines if line[-1:] and f".{number}" in line[1]]

        wait_for(lambda: len(done()) == len(jobs))
        return {line[1].partition(".")[0]: line[4] for line in done()}

    replicas = [replica(name) for name in "abcd"]
    wait_for(lambda: sum(bool(one.out) for one in replicas) == 3, "three to lead")
    before = work(1, replicas)
    assert len(set(before.values())) == 3
    leader = next(one for one in replicas if one.out)
    leader.send(signal.SIGKILL)
    leader.wait()
    wait_for(lambda: all(one.out for one in replicas), "the fourth to lead")
    assert work(2, replicas) == before
