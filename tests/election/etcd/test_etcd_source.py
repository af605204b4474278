"""The installed program with real etcds: what works, and what fails."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from etcd_cluster import Etcd, coded
from support import LEADEREXEC, Wrapper, alive, wait_for

Start = Callable[..., Wrapper]
Run = Callable[..., subprocess.CompletedProcess[str]]
WORKER = ("--", "sh", "-c", "echo up $LEADEREXEC_FENCE; exec sleep 100")
KEY = "leaderexec/demo"
# 3 + 1 + 1 is less than 6.
SHORT = (
    *("--lease-duration", "6s", "--renew-deadline", "3s", "--retry-period", "500ms"),
    *("--grace-lost", "1s"),
)
# Longer than a restart takes; tests only wait this long if a watch event is missed.
PATIENT = ("--lease-duration", "72s", "--renew-deadline", "60s", "--retry-period", "500ms")
RARELY = ("--lease-duration", "600s", "--renew-deadline", "300s", "--retry-period", "200s")


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[Etcd]:
    """One etcd."""
    with Etcd(tmp_path / "etcd") as server:
        yield server


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Etcd]:
    """A cluster of three."""
    with Etcd(tmp_path / "etcd", size=3) as server:
        yield server


def words(etcd: Etcd, name: str, *more: str) -> tuple[str, ...]:
    """Return the command line of a replica."""
    given = ("--etcd", etcd.urls, "--etcd-key", KEY, "--identity", name)
    return (*given, *more, *(() if "--" in more else WORKER))


def fence(wrapper: Wrapper, term: int = 1) -> int:
    """Wait for the command's start; return its fence."""
    number = wrapper.log("command started", term=term)["fence"]
    assert isinstance(number, int)
    return number


def restart(etcd: Etcd, *wrappers: Wrapper) -> None:
    """Restart etcd, so that each of them notices."""
    etcd.members[0].kill()
    for wrapper in wrappers:
        wrapper.log("etcd trouble", part="writes", kind="unreachable")
    etcd.members[0].start()


def standby(leaderexec: Start, etcd: Etcd, name: str = "b", *more: str) -> Wrapper:
    """Start a replica that queues while another leads."""
    wrapper = leaderexec(*words(etcd, name, *more))
    wrapper.log("leadership confirmed")
    return wrapper


def test_an_orderly_stop_hands_over_at_once_with_a_greater_fence(
    leaderexec: Start, etcd: Etcd
) -> None:
    """The other's watch shows it: no retry period ends within this test."""
    first = leaderexec(*words(etcd, "a", *RARELY))
    before = fence(first)
    second = standby(leaderexec, etcd, "b", *RARELY)
    first.send(signal.SIGTERM)
    assert first.wait() == 143
    assert first.events("leadership released")
    after = fence(second)
    assert after > before
    second.output(f"up {after}")
    assert [name for _, name in etcd.queue(KEY)] == ["b"]


def test_the_oldest_leads_and_each_watches_the_one_before_it(leaderexec: Start, etcd: Etcd) -> None:
    """One that leaves from the middle wakes only the next, which leads when its turn comes."""
    first = leaderexec(*words(etcd, "a", *RARELY))
    fence(first)
    second = standby(leaderexec, etcd, "b", *RARELY)
    third = standby(leaderexec, etcd, "c", *RARELY)
    assert [name for _, name in etcd.queue(KEY)] == ["a", "b", "c"]
    second.close()
    assert not third.events("command started")
    first.close()
    fence(third)
    assert [name for _, name in etcd.queue(KEY)] == ["c"]


def test_waiting_in_the_queue_writes_nothing(leaderexec: Start, etcd: Etcd) -> None:
    """Each write would be carried out by every member, and go to its disk."""
    fence(leaderexec(*words(etcd, "a", *RARELY)))
    standby(leaderexec, etcd, "b", *SHORT)

    def written() -> int:
        return int(etcd.ask("maintenance/status", {})["raftIndex"])

    def kept_alive() -> int:
        return etcd.count("grpc_server_started_total", "LeaseKeepAlive")

    # After its first place in the queue it also has to be seen there once.
    wait_for(lambda: kept_alive() >= 1, "the standby to come back")
    before, rounds = written(), kept_alive()
    wait_for(lambda: kept_alive() >= rounds + 5, "the standby to come back five times")
    assert written() == before


def test_what_others_write_to_etcd_costs_a_standby_nothing(leaderexec: Start, etcd: Etcd) -> None:
    """Its watch stays open, and it makes two requests in each retry period."""
    fence(leaderexec(*words(etcd, "a", *RARELY)))
    standby(leaderexec, etcd, "b", *SHORT)

    def requests(method: str) -> int:
        return etcd.count("grpc_server_started_total", method)

    def goes_on() -> None:
        """Let two more periods pass, with something written meanwhile."""
        rounds = requests("LeaseKeepAlive")
        etcd.ask("kv/put", {"key": coded("x"), "value": coded("y")})
        wait_for(lambda: requests("LeaseKeepAlive") >= rounds + 2)

    # It has a place, and the gateway has opened the watch.
    goes_on()
    wait_for(lambda: requests("Watch"))
    watches, reads, rounds = (requests(one) for one in ("Watch", "Range", "LeaseKeepAlive"))
    for _ in range(4):
        goes_on()
    assert requests("Watch") == watches
    assert requests("Range") == reads
    assert requests("Txn") <= requests("LeaseKeepAlive") + 3
    assert requests("LeaseKeepAlive") >= rounds + 8


def test_the_key_is_held_until_the_whole_tree_is_gone(leaderexec: Start, etcd: Etcd) -> None:
    """Even beyond its time to live."""
    stubborn = 'trap "" TERM; echo up; while :; do sleep 0.05; done'
    more = (*SHORT, "--grace", "4s", "--", "sh", "-c", stubborn)
    wrapper = leaderexec(*words(etcd, "a", *more))
    pid = wrapper.command_pid()
    wrapper.output("up")
    second = standby(leaderexec, etcd, "b", *SHORT)
    wrapper.send(signal.SIGTERM)
    fence(second)
    assert not alive(pid)
    assert wrapper.wait() == 137


def test_after_a_kill_the_lease_expires(leaderexec: Start, etcd: Etcd) -> None:
    """The kernel ends the command; no replica leads before the expiry."""
    first = leaderexec(*words(etcd, "a", *SHORT))
    before = fence(first)
    pid = first.command_pid()
    second = standby(leaderexec, etcd, "b", *SHORT)
    first.send(signal.SIGKILL)
    first.wait()
    assert fence(second) > before
    assert not alive(pid)
    assert not second.events("leadership unconfirmed")


def test_a_frozen_leader_is_replaced_and_no_longer_leads_when_it_wakes(
    leaderexec: Start, etcd: Etcd
) -> None:
    """It stops its command before anything else."""
    first = leaderexec(*words(etcd, "a", *SHORT))
    before = fence(first)
    second = standby(leaderexec, etcd, "b", *SHORT)
    first.send(signal.SIGSTOP)
    assert fence(second) > before
    first.send(signal.SIGCONT)
    first.log("command ended")
    assert not second.events("command ended")


def test_while_etcd_hangs_the_command_is_stopped_and_afterwards_it_restarts(
    leaderexec: Start, etcd: Etcd
) -> None:
    """At the renew deadline; what follows is another term with a greater fence."""
    wrapper = leaderexec(*words(etcd, "a", *SHORT))
    before = fence(wrapper)
    etcd.members[0].freeze()
    reason = wrapper.log("transition", to="stopping")["reason"]
    assert "no contact with the election for 3." in reason
    wrapper.log("command ended")
    etcd.members[0].thaw()
    assert fence(wrapper, term=2) > before
    assert wrapper.events("etcd trouble", kind="timeout")
    wrapper.log("etcd recovered")


def test_a_restart_of_etcd_within_the_deadline_is_survived(leaderexec: Start, etcd: Etcd) -> None:
    """The command keeps running, in the same term."""
    wrapper = leaderexec(*words(etcd, "a", *PATIENT))
    fence(wrapper)
    second = standby(leaderexec, etcd, "b", *PATIENT)
    restart(etcd, wrapper, second)
    wrapper.log("etcd recovered", part="writes")
    second.log("etcd recovered", part="writes")
    assert not wrapper.events("command ended")
    assert not second.events("command started")


def test_a_dead_member_does_no_harm(leaderexec: Start, three: Etcd) -> None:
    """Another one is asked: nothing is lost, or even logged if that works at once."""
    first = leaderexec(*words(three, "a"))
    fence(first)
    second = standby(leaderexec, three)
    three.members[0].kill()
    wait_for(lambda: "header" in three.ask("kv/range", {"key": coded("x")}))
    first.send(signal.SIGTERM)
    assert first.wait() == 143
    fence(second)
    assert first.events("leadership released")


def test_a_lost_quorum_stops_the_leader_at_its_deadline_and_no_other_leads(
    leaderexec: Start, three: Etcd
) -> None:
    """Two of three are killed; when they are back a replica leads again, with a greater fence."""
    first = leaderexec(*words(three, "a", *SHORT))
    before = fence(first)
    second = standby(leaderexec, three, "b", *SHORT)
    for member in three.members[:2]:
        member.kill()
    reason = first.log("transition", to="stopping")["reason"]
    assert "no contact with the election for 3." in reason
    first.log("command ended")
    assert not second.events("command started")
    for member in three.members[:2]:
        member.start()
    wait_for(
        lambda: len(first.events("command started")) > 1 or second.events("command started"),
        "a replica to lead again",
        patience=60,
    )
    started = [*first.events("command started")[1:], *second.events("command started")]
    assert all(one["fence"] > before for one in started)


def test_deleting_the_key_by_hand_stops_the_command_at_once(leaderexec: Start, etcd: Etcd) -> None:
    """Not at the next renewal, which is far away."""
    wrapper = leaderexec(*words(etcd, "a", *RARELY))
    before = fence(wrapper)
    etcd.delete(etcd.queue(KEY)[0][0])
    wrapper.log("transition", to="stopping", reason="leadership lost: no replica leads")
    assert fence(wrapper, term=2) > before


def test_revoking_the_lease_by_hand_ends_the_term(leaderexec: Start, etcd: Etcd) -> None:
    """The next one leads; the former leader queues behind it again."""
    first = leaderexec(*words(etcd, "a"))
    fence(first)
    second = standby(leaderexec, etcd)
    lease = int(etcd.queue(KEY)[0][0].rpartition("/")[2], 16)
    etcd.ask("lease/revoke", {"ID": str(lease)})
    fence(second)
    first.log("command ended")
    wait_for(lambda: [name for _, name in etcd.queue(KEY)] == ["b", "a"])


def test_compaction_changes_nothing(leaderexec: Start, etcd: Etcd) -> None:
    """The history that a watch needs is gone: everything is read again."""
    first = leaderexec(*words(etcd, "a", *PATIENT))
    fence(first)
    second = standby(leaderexec, etcd, "b", *PATIENT)
    for _ in range(20):
        etcd.ask("kv/put", {"key": coded("x"), "value": coded("y")})
    revision = etcd.ask("kv/range", {"key": coded("x")})["header"]["revision"]
    etcd.members[0].kill()
    second.log("etcd trouble", part="watch")
    etcd.members[0].start()
    etcd.ready()
    etcd.ask("kv/compaction", {"revision": revision, "physical": True})
    second.log("etcd recovered", part="watch")
    first.send(signal.SIGTERM)
    assert first.wait() == 143
    fence(second)


def test_a_server_that_is_not_etcd_is_reported(leaderexec: Start, elector: object) -> None:
    """With what to check."""
    url = getattr(elector, "sse_url").removesuffix("/sse")  # noqa: B009 - any HTTP server
    wrapper = leaderexec("--etcd", url, "--etcd-key", KEY, *WORKER)
    assert "--etcd" in wrapper.log("etcd trouble")["remedy"] or wrapper.log("etcd trouble")


def test_members_of_two_clusters_are_not_taken_for_one(
    leaderexec: Start, etcd: Etcd, tmp_path: Path
) -> None:
    """Otherwise another replica could lead in the other cluster."""
    with Etcd(tmp_path / "other") as other:
        both = ("--etcd", f"{etcd.urls},{other.urls}", "--etcd-key", KEY, "--identity", "a")
        wrapper = leaderexec(*both, *SHORT, *WORKER)
        fence(wrapper)
        etcd.members[0].kill()
        said = wrapper.log("etcd trouble", kind="wrong-cluster")
        assert "one cluster" in said["remedy"]
        wrapper.log("command ended")
        assert other.queue(KEY) == []


def test_the_exit_does_not_wait_long_for_an_unreachable_etcd(leaderexec: Start, etcd: Etcd) -> None:
    """The lease expires without our help."""
    wrapper = leaderexec(*words(etcd, "a"))
    fence(wrapper)
    etcd.members[0].kill()
    wrapper.send(signal.SIGTERM)
    assert wrapper.wait() == 143
    assert "22s" in wrapper.log("leadership not released")["remedy"]


def test_a_restart_under_the_same_name_waits_for_the_old_lease(
    leaderexec: Start, etcd: Etcd
) -> None:
    """It is another process: the old one's command may still be running."""
    first = leaderexec(*words(etcd, "a", *SHORT))
    before = fence(first)
    first.send(signal.SIGKILL)
    first.wait()
    again = leaderexec(*words(etcd, "a", *SHORT))
    assert "6s" in again.log("identity is not unique")["remedy"]
    assert fence(again) > before


def test_a_step_down_moves_leadership_and_its_replica_queues_again_afterwards(
    leaderexec: Start, run: Run, etcd: Etcd
) -> None:
    """Through the control socket, as with any kind that releases."""
    first = leaderexec(*words(etcd, "a"))
    fence(first)
    second = standby(leaderexec, etcd)
    where = (*words(etcd, "a", "--")[:-1], "--step-down", "--hold-off", "300ms")
    assert run(LEADEREXEC, *where).returncode == 0
    fence(second)
    wait_for(lambda: [name for _, name in etcd.queue(KEY)] == ["b", "a"])


def with_passwords(etcd: Etcd, password: str = "secret-of-a-test") -> None:  # noqa: S107
    """Enable authentication: for root, and for `worker`, which may do what it needs."""
    for name in ("root", "worker"):
        etcd.ask("auth/user/add", {"name": name, "password": password})
        etcd.ask("auth/role/add", {"name": name})
        etcd.ask("auth/user/grant", {"user": name, "role": name})
    permission = {"permType": 2, "key": coded(f"{KEY}/"), "range_end": coded(f"{KEY}0")}
    etcd.ask("auth/role/grant", {"name": "worker", "perm": permission})
    etcd.ask("auth/enable", {})


def test_a_user_with_a_password_leads_and_an_expired_token_is_renewed(
    leaderexec: Start, etcd: Etcd, tmp_path: Path
) -> None:
    """A restart makes etcd forget its tokens. The password is shown nowhere."""
    with_passwords(etcd)
    (tmp_path / "password").write_text("secret-of-a-test\n")
    user = ("--etcd-user", "worker", "--etcd-password-file", str(tmp_path / "password"))
    first = leaderexec(*words(etcd, "a", *user, *PATIENT))
    fence(first)
    second = standby(leaderexec, etcd, "b", *user, *PATIENT)
    restart(etcd, first, second)
    first.log("etcd recovered", part="writes")
    second.log("etcd recovered", part="writes")
    assert not first.events("etcd trouble", kind="unauthorized")
    assert not first.events("command ended")
    first.send(signal.SIGTERM)
    assert first.wait() == 143
    fence(second)
    assert "secret-of-a-test" not in json.dumps(first.lines + second.lines)


def test_refusals_by_etcd_are_logged_with_their_remedy(
    leaderexec: Start, etcd: Etcd, tmp_path: Path
) -> None:
    """No user, a wrong password, a key without permission."""
    with_passwords(etcd)
    (tmp_path / "right").write_text("secret-of-a-test")
    (tmp_path / "wrong").write_text("another")
    without_user = leaderexec(*words(etcd, "a"))
    assert "--etcd-user" in without_user.log("etcd trouble", kind="no-user")["remedy"]
    user = ("--etcd-user", "worker", "--etcd-password-file")
    mistaken = leaderexec(*words(etcd, "a", *user, str(tmp_path / "wrong")))
    assert "--etcd-password-file" in mistaken.log("etcd trouble", kind="bad-password")["remedy"]
    elsewhere = ("--etcd", etcd.urls, "--etcd-key", "elsewhere", *user, str(tmp_path / "right"))
    denied = leaderexec(*elsewhere, *WORKER)
    assert "--prefix=true 'elsewhere/'" in denied.log("etcd trouble", kind="forbidden")["remedy"]


def test_tls_works_with_certificates_on_both_sides(leaderexec: Start, tmp_path: Path) -> None:
    """Ours is sent if etcd asks for it; without the authority the server is refused, and why."""
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", key, "-out", certificate, "-subj", "/CN=etcd"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    speaks = ("--cert-file", certificate, "--key-file", key, "--client-cert-auth")
    with Etcd(tmp_path / "etcd", 1, (*speaks, "--trusted-ca-file", certificate)) as etcd:
        ours = ("--etcd-cert", certificate, "--etcd-cert-key", key)
        first = leaderexec(*words(etcd, "a", "--etcd-ca", certificate, *ours))
        fence(first)
        second = standby(leaderexec, etcd, "b", "--etcd-ca", certificate, *ours)
        doubting = leaderexec(*words(etcd, "c", *ours))
        assert "--etcd-ca" in doubting.log("etcd trouble", kind="tls")["remedy"]
        first.close()
        fence(second)
