"""The installed program with real Redis servers: what works, and what fails."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from etcd_cluster import free_ports
from redis_server import Redis
from support import LEADEREXEC, Wrapper, alive, wait_for

Start = Callable[..., Wrapper]
Run = Callable[..., subprocess.CompletedProcess[str]]
WORKER = ("--", "sh", "-c", "echo up $LEADEREXEC_FENCE; exec sleep 100")
KEY = "leaderexec:demo"
# 3 + 1 + 1 is less than 6.
SHORT = (
    *("--lease-duration", "6s", "--renew-deadline", "3s", "--retry-period", "500ms"),
    *("--grace-lost", "1s"),
)
# Longer than a restart takes; tests only wait this long if a release goes unnoticed.
PATIENT = ("--lease-duration", "72s", "--renew-deadline", "60s", "--retry-period", "500ms")
RARELY = ("--lease-duration", "600s", "--renew-deadline", "300s", "--retry-period", "200s")
PASSWORD = "secret-of-a-test"  # noqa: S105 - a test's


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """A persistent server on which no replica leads."""
    with Redis(tmp_path / "redis", keeps=True) as server:
        server.free(KEY)
        yield server


def words(url: str, name: str, *more: str) -> tuple[str, ...]:
    """Return the command line of a replica."""
    given = ("--redis", url, "--redis-key", KEY, "--identity", name)
    return (*given, *more, *(() if "--" in more else WORKER))


def fence(wrapper: Wrapper, term: int = 1) -> int:
    """Wait for the command's start; return its fence."""
    number = wrapper.log("command started", term=term)["fence"]
    assert isinstance(number, int)
    return number


def standby(leaderexec: Start, url: str, name: str = "b", *more: str) -> Wrapper:
    """Start a replica that waits while another leads."""
    wrapper = leaderexec(*words(url, name, *more))
    wrapper.log("leadership confirmed")
    return wrapper


def restart(redis: Redis, *wrappers: Wrapper) -> None:
    """Restart Redis, so that each of them notices."""
    redis.kill()
    for wrapper in wrappers:
        wrapper.log("redis trouble", part="writes", kind="unreachable")
    redis.start()


def test_an_orderly_stop_hands_over_at_once_with_a_greater_fence(
    leaderexec: Start, redis: Redis
) -> None:
    """The other is notified: no retry period ends within this test."""
    first = leaderexec(*words(redis.url, "a", *RARELY))
    before = fence(first)
    second = standby(leaderexec, redis.url, "b", *RARELY)
    wait_for(lambda: redis.ask("PUBSUB", "NUMSUB", KEY).endswith("1"))
    first.send(signal.SIGTERM)
    assert first.wait() == 143
    assert first.events("leadership released")
    after = fence(second)
    assert after > before
    second.output(f"up {after}")


def test_at_the_start_it_says_what_kind_of_lock_it_is(
    leaderexec: Start, run: Run, redis: Redis
) -> None:
    """An efficiency lock; with the worst overlap by cause."""
    wrapper = leaderexec(*words(redis.url, "a"))
    assert "efficiency lock" in wrapper.log("doubtful setting")["reason"]
    overlap = wrapper.log("leaderexec started")["worst_overlap_seconds"]
    assert overlap["redis-failover"] == 20.0
    assert overlap["redis-split"] is None
    checked = run(LEADEREXEC, *words(redis.url, "a", "--")[:-1], "--check", "--", "true").stdout
    assert "efficiency lock" in checked


def test_the_key_is_held_until_the_whole_tree_is_gone(leaderexec: Start, redis: Redis) -> None:
    """It is renewed all that time."""
    stubborn = 'trap "" TERM; echo up; while :; do sleep 0.05; done'
    more = (*SHORT, "--grace", "4s", "--", "sh", "-c", stubborn)
    wrapper = leaderexec(*words(redis.url, "a", *more))
    pid = wrapper.command_pid()
    wrapper.output("up")
    second = standby(leaderexec, redis.url, "b", *SHORT)
    wrapper.send(signal.SIGTERM)
    fence(second)
    assert not alive(pid)
    assert wrapper.wait() == 137


def test_after_a_kill_the_key_expires(leaderexec: Start, redis: Redis) -> None:
    """The kernel ends the command; no replica leads before the expiry."""
    first = leaderexec(*words(redis.url, "a", *SHORT))
    before = fence(first)
    pid = first.command_pid()
    second = standby(leaderexec, redis.url, "b", *SHORT)
    first.send(signal.SIGKILL)
    first.wait()
    assert fence(second) > before
    assert not alive(pid)
    assert not second.events("leadership unconfirmed")


def test_a_frozen_leader_is_replaced_and_no_longer_leads_when_it_wakes(
    leaderexec: Start, redis: Redis
) -> None:
    """It stops its command before anything else."""
    first = leaderexec(*words(redis.url, "a", *SHORT))
    before = fence(first)
    second = standby(leaderexec, redis.url, "b", *SHORT)
    first.send(signal.SIGSTOP)
    assert fence(second) > before
    first.send(signal.SIGCONT)
    first.log("command ended")
    assert not second.events("command ended")


def test_while_redis_hangs_the_command_is_stopped_and_afterwards_it_restarts(
    leaderexec: Start, redis: Redis
) -> None:
    """At the renew deadline; what follows is another term with a greater fence."""
    wrapper = leaderexec(*words(redis.url, "a", *SHORT))
    before = fence(wrapper)
    redis.freeze()
    reason = wrapper.log("transition", to="stopping")["reason"]
    assert "no contact with the election for 3." in reason
    wrapper.log("command ended")
    redis.thaw()
    assert fence(wrapper, term=2) > before
    assert wrapper.events("redis trouble", kind="timeout")
    wrapper.log("redis recovered")


def test_a_restart_that_keeps_the_key_is_survived(leaderexec: Start, redis: Redis) -> None:
    """The command keeps running, in the same term."""
    first = leaderexec(*words(redis.url, "a", *PATIENT))
    fence(first)
    second = standby(leaderexec, redis.url, "b", *PATIENT)
    restart(redis, first, second)
    first.log("redis recovered", part="writes")
    second.log("redis recovered", part="writes")
    assert not first.events("command ended")
    assert not second.events("command started")


@pytest.mark.parametrize("remembers", ["nothing", "that no replica led", "that the standby led"])
def test_after_a_restart_that_loses_the_key_no_other_replica_leads_at_once(
    leaderexec: Start, tmp_path: Path, remembers: str
) -> None:
    """The former leader takes it again, as a new term with a greater fence; the other waits, and
    logs it. The same happens when an older state comes back from disk."""
    with Redis(tmp_path / "redis") as redis:
        redis.free(KEY)
        if remembers == "that no replica led":
            redis.ask("SAVE")
        if remembers == "that the standby led":
            second = leaderexec(*words(redis.url, "b", *PATIENT))
            fence(second)
            redis.ask("SAVE")
            first = standby(leaderexec, redis.url, "a", *PATIENT)
            step_down = (*words(redis.url, "b", "--")[:-1], "--step-down", "--hold-off", "3s")
            subprocess.run([LEADEREXEC, *step_down], check=True, env=second.environ)
        else:
            first = leaderexec(*words(redis.url, "a", *PATIENT))
        before = fence(first)
        if remembers != "that the standby led":
            second = standby(leaderexec, redis.url, "b", *PATIENT)
        terms = len(second.events("command started"))
        wait_for(lambda: redis.ask("GET", KEY).endswith(" a"))
        first.send(signal.SIGSTOP)
        restart(redis, second)
        assert "has just started" in second.log("waiting to take over")["reason"]
        first.send(signal.SIGCONT)
        if remembers == "that the standby led":
            first.log("command ended")
        else:
            assert fence(first, term=2) > before
        assert len(second.events("command started")) == terms


def test_deleting_the_key_by_hand_ends_the_term(leaderexec: Start, redis: Redis) -> None:
    """At the next renewal; the fence is greater even if its counter was deleted, too."""
    wrapper = leaderexec(*words(redis.url, "a"))
    before = fence(wrapper)
    redis.ask("FLUSHALL")
    assert fence(wrapper, term=2) > before
    assert wrapper.events("transition", reason="leadership lost: no replica leads")


def test_another_holder_stops_the_command_and_its_key_is_not_released(
    leaderexec: Start, redis: Redis
) -> None:
    """Whoever wrote it, and whatever it is."""
    wrapper = leaderexec(*words(redis.url, "a"))
    fence(wrapper)
    redis.ask("SET", KEY, "somebody")
    wrapper.log("command ended")
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 0
    assert redis.ask("GET", KEY) == "somebody"


def test_a_step_down_moves_leadership(leaderexec: Start, run: Run, redis: Redis) -> None:
    """The replica that stepped down competes again afterwards."""
    first = leaderexec(*words(redis.url, "a"))
    before = fence(first)
    second = standby(leaderexec, redis.url)
    where = (*words(redis.url, "a", "--")[:-1], "--step-down", "--hold-off", "300ms")
    assert run(LEADEREXEC, *where).returncode == 0
    assert fence(second) > before
    second.close()
    assert fence(first, term=2) > before


def test_the_leader_of_another_election_on_this_host_does_not_answer_for_this_one(
    leaderexec: Start, run: Run, redis: Redis
) -> None:
    """A control socket belongs to one election, not to one Redis."""
    fence(leaderexec(*words(redis.url, "a")))
    other = ("--redis", redis.url, "--redis-key", "another", "--is-leader")
    assert run(LEADEREXEC, *words(redis.url, "a", "--")[:-1], "--is-leader").returncode == 0
    assert run(LEADEREXEC, *other).returncode == 1


def test_the_exit_does_not_wait_long_for_an_unreachable_redis(
    leaderexec: Start, redis: Redis
) -> None:
    """The key expires without our help."""
    wrapper = leaderexec(*words(redis.url, "a"))
    fence(wrapper)
    redis.kill()
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 143
    assert "22s" in wrapper.log("leadership not released")["remedy"]


def with_password(redis: Redis) -> str:
    """Create a user with only the rights it needs; return the URL with its password."""
    commands = "+eval +evalsha +script|load +get +set +pexpire +pttl +del +incr +time +info"
    rights = (f"~{KEY}*", f"&{KEY}*", *commands.split(), "+publish", "+subscribe")
    redis.ask("ACL", "SETUSER", "worker", "on", f">{PASSWORD}", *rights)
    redis.ask("ACL", "SETUSER", "poor", "on", f">{PASSWORD}", "~*", "&*", "+get")
    return redis.url.replace("//", f"//worker:{PASSWORD}@")


def test_a_user_with_a_password_leads_and_the_password_is_shown_nowhere(
    leaderexec: Start, run: Run, redis: Redis
) -> None:
    """Not in the log, an answer or --check; nor when it is refused."""
    url = with_password(redis)
    wrapper = leaderexec(*words(url, "a", "--http", "127.0.0.1:0"))
    fence(wrapper)
    address = wrapper.log("http listening")["address"]
    own = words(url, "a", "--")[:-1]
    said = [
        run(LEADEREXEC, *own, "--check", "--", "true"),
        run(LEADEREXEC, *own, "--is-leader"),
        run(LEADEREXEC, "--status", "--http", str(address)),
        run(LEADEREXEC, *words(url.replace("redis:", "rediz:"), "a")),
        run(LEADEREXEC, *words(f"{url}?socket_timeout=x", "a")),
        run(LEADEREXEC, *words(url.replace("worker:", "worker:x"), "b", "--")[:-1], "--is-leader"),
    ]
    assert [one.returncode for one in said[:3]] == [0, 0, 0]
    assert [one.returncode for one in said[3:]] == [125, 125, 125]
    wrong = leaderexec(*words(url.replace(PASSWORD, f"{PASSWORD}-wrong"), "b"))
    assert wrong.log("redis trouble", kind="bad-password")["remedy"]
    poor = leaderexec(*words(url.replace("worker", "poor"), "c"))
    assert f"ACL SETUSER USER ~{KEY}*" in poor.log("redis trouble", kind="forbidden")["remedy"]
    lines = [*wrapper.lines, *wrong.lines, *poor.lines]
    plain = [*wrapper.plain, *wrong.plain, *poor.plain]
    assert PASSWORD not in json.dumps([lines, plain, [one.stdout + one.stderr for one in said]])


def test_a_redis_replica_is_refused(leaderexec: Start, redis: Redis, tmp_path: Path) -> None:
    """It is logged, and no replica leads."""
    with Redis(tmp_path / "replica", "--replicaof", f"127.0.0.1 {redis.port}") as replica:
        wait_for(lambda: "master_link_status:up" in replica.ask("INFO", "replication"))
        wrapper = leaderexec(*words(replica.url, "a", *SHORT))
        assert "master" in wrapper.log("redis trouble", kind="read-only")["remedy"]


@contextmanager
def monitored(folder: Path) -> Iterator[tuple[Redis, Redis, Redis, str]]:
    """Run a master, its replica and a Sentinel; yield them, and the URL. After a failover the
    former master goes on as if it still were: it can't be told that it is a replica."""
    no_replica = ("--rename-command", "REPLICAOF", "", "--rename-command", "SLAVEOF", "")
    with (
        Redis(folder / "first", *no_replica) as master,
        Redis(folder / "second", "--replicaof", f"127.0.0.1 {master.port}") as replica,
    ):
        master.free(KEY)
        wait_for(lambda: "master_link_status:up" in replica.ask("INFO", "replication"))
        with Redis(folder / "sentinel").as_sentinel("127.0.0.1", master) as sentinel:
            # It has to know the replica first.
            wait_for(lambda: str(replica.port) in sentinel.ask("SENTINEL", "replicas", "demo"))
            yield master, replica, sentinel, f"redis+sentinel://127.0.0.1:{sentinel.port}/demo"


def test_sentinels_lead_to_the_new_master(leaderexec: Start, tmp_path: Path) -> None:
    """After a failover a replica leads there, with a greater fence."""
    with monitored(tmp_path) as (master, replica, _, url):
        first = leaderexec(*words(url, "a", *SHORT))
        before = fence(first)
        second = standby(leaderexec, url, "b", *SHORT)
        master.kill()

        def later() -> list[int]:
            started = [*first.events("command started"), *second.events("command started")]
            moved = "role:master" in replica.ask("INFO", "replication")
            held = replica.ask("GET", KEY)
            return [one["fence"] for one in started] if moved and held else []

        wait_for(later, "a replica to hold the key on the new master", patience=50)
        assert all(number >= before for number in later())
        assert first.events("redis trouble")


def fail_over(sentinel: Redis, master: Redis) -> None:
    """Have the Sentinel promote this one, while the former master goes on."""
    sentinel.ask("SENTINEL", "FAILOVER", "demo")
    named = ("SENTINEL", "get-master-addr-by-name", "demo")
    wait_for(lambda: str(master.port) in sentinel.ask(*named), "the promotion")


def wait_for_scripts(master: Redis, count: int) -> None:
    """Wait for so many attempts to take the key, or renewals."""

    def run() -> int:
        said = master.ask("INFO", "commandstats").partition("cmdstat_evalsha:calls=")[2]
        return int(said.partition(",")[0] or 0)

    before = run()
    wait_for(lambda: run() >= before + count, "the replicas to use the new master")


def test_on_a_former_master_that_goes_on_nobody_takes_the_key(
    leaderexec: Start, tmp_path: Path
) -> None:
    """Not a standby that is still connected to it, though the key is free there."""
    with monitored(tmp_path) as (former, master, sentinel, url):
        fence(leaderexec(*words(url, "a", *PATIENT)))
        second = standby(leaderexec, url, "b", *PATIENT)
        fail_over(sentinel, master)
        former.free(KEY)
        wait_for_scripts(master, 12)
        assert not second.events("command started")


def test_a_leader_renews_on_the_new_master_though_the_former_one_goes_on(
    leaderexec: Start, tmp_path: Path
) -> None:
    """Its command keeps running: the key is there, too, and has not expired."""
    with monitored(tmp_path) as (_, master, sentinel, url):
        first = leaderexec(*words(url, "a", *PATIENT))
        fence(first)
        fail_over(sentinel, master)
        wait_for_scripts(master, 3)
        assert not first.events("command ended")


def test_connections_to_a_sentinel_are_closed_with_what_they_were_for(
    leaderexec: Start, tmp_path: Path
) -> None:
    """Each subscription asks it for the master."""
    with monitored(tmp_path) as (master, _, sentinel, url):
        fence(leaderexec(*words(url, "a")))
        standby(leaderexec, url)

        def subscription() -> str:
            clients = master.ask("CLIENT", "LIST", "TYPE", "pubsub").splitlines()
            ours = [line.split()[0] for line in clients if "name=sentinel" not in line]
            return ours[0].removeprefix("id=") if ours else ""

        def connections() -> int:
            return len(sentinel.ask("CLIENT", "LIST").splitlines())

        number = wait_for(subscription, "the standby to subscribe")
        before = connections()
        for _ in range(5):
            master.ask("CLIENT", "KILL", "ID", number)
            number = wait_for(
                lambda ended=number: (now := subscription()) != ended and now,  # type: ignore[misc]
                "the standby to subscribe again",
            )
        assert connections() <= before + 1


@pytest.mark.parametrize(
    ("server", "kind"), [((), "unreachable"), (("--requirepass", "x"), "bad-password")]
)
def test_a_sentinel_that_can_not_be_asked_is_not_said_to_know_no_master(
    leaderexec: Start, tmp_path: Path, server: tuple[str, ...], kind: str
) -> None:
    """The reason names each of them, and what went wrong."""
    with Redis(tmp_path / "sentinel", *server) as sentinel:
        if not server:
            sentinel.kill()
        wrapper = leaderexec(*words(f"redis+sentinel://127.0.0.1:{sentinel.port}/demo", "a"))
        found = wrapper.log("redis trouble", part="writes")
        assert found["kind"] == kind
        assert f"127.0.0.1:{sentinel.port} could not be asked: " in found["reason"]
        assert "entinel" in found["remedy"]


def test_if_one_sentinel_can_not_be_asked_the_others_count(
    leaderexec: Start, tmp_path: Path
) -> None:
    """They know no master of this name, and the reason has both."""
    (away,) = free_ports(1)
    with monitored(tmp_path) as (*_, url):
        wrong = url.replace("/demo", f",127.0.0.1:{away}/other")
        found = leaderexec(*words(wrong, "a")).log("redis trouble", part="writes")
    assert found["kind"] == "no-master"
    assert "the service's name" in found["remedy"]
    assert f"for 'other'; 127.0.0.1:{away} could not be asked: " in found["reason"]


def test_tls_is_verified(leaderexec: Start, tmp_path: Path) -> None:
    """With the authority in the URL; without one, the error says so."""
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", key, "-out", certificate, "-subj", "/CN=redis"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    port = free_ports(1)[0]
    speaks = ("--tls-port", str(port), "--tls-cert-file", certificate, "--tls-key-file", key)
    more = ("--tls-auth-clients", "no", "--tls-ca-cert-file", certificate)
    with Redis(tmp_path / "redis", *speaks, *more) as redis:
        redis.free(KEY)
        url = f"rediss://127.0.0.1:{port}"
        first = leaderexec(*words(f"{url}?ssl_ca_certs={certificate}", "a"))
        before = fence(first)
        second = standby(leaderexec, f"{url}?ssl_ca_certs={certificate}")
        doubting = leaderexec(*words(url, "c"))
        assert "ssl_ca_certs" in doubting.log("redis trouble", kind="tls")["remedy"]
        first.close()
        assert fence(second) > before
