"""The installed program with an advisory lock on a real server: what works, and what fails."""

import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from election.postgres.conftest import SHORT, Replicas
from postgresql import PgBouncer, PostgreSQL, missing
from support import LEADEREXEC, alive, wait_for

Run = Callable[..., subprocess.CompletedProcess[str]]
ROW = "SELECT {} FROM leaderexec WHERE election = '{}'"
needs_postgresql = pytest.mark.skipif(missing() is not None, reason=str(missing()))
needs_pgbouncer = pytest.mark.skipif(
    shutil.which("pgbouncer") is None and not Path("/usr/sbin/pgbouncer").exists(),
    reason="pgbouncer is not installed",
)


def row(server: PostgreSQL, replicas: Replicas, what: str) -> str:
    """Return the election's row."""
    return server.value(ROW.format(what, replicas.election))


def end_sessions(server: PostgreSQL) -> None:
    """End the sessions that have a lock."""
    ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory'"
    assert server.value(ended) != "0"


def test_an_orderly_stop_hands_over_at_once(shared: PostgreSQL, replicas: Replicas) -> None:
    """It is recorded in the row, the others are notified, and the fence is greater."""
    first, before = replicas.lead("a", shared.url)
    second = replicas.stand_by("b", shared.url)
    assert row(shared, replicas, "holder, released") == "a|f"
    first.send(signal.SIGTERM)
    assert first.wait() == 0
    assert first.events("lock released")
    assert replicas.works("b", second) > before
    assert not second.events("waiting for the old command")
    assert row(shared, replicas, "holder, released") == "b|f"
    assert not replicas.overlaps()


def test_after_a_kill_the_old_command_is_waited_for(shared: PostgreSQL, replicas: Replicas) -> None:
    """The lock is free at once, but the command's time to stop is not over."""
    first, before = replicas.lead("a", shared.url)
    pid = first.command_pid()
    second = replicas.stand_by("b", shared.url)
    first.send(signal.SIGKILL)
    first.wait()
    said = second.log("waiting for the old command")
    assert (said["seconds"], said["holder"]) == (2.0, "a")
    assert replicas.works("b", second) > before
    assert not alive(pid)
    assert replicas.gap() > 1.5
    assert not replicas.overlaps()


def test_a_frozen_holder_loses_the_lock_and_its_fence_is_the_smaller_one(
    shared: PostgreSQL, replicas: Replicas
) -> None:
    """The server ends the silent session; the holder stops its command when it wakes."""
    first, before = replicas.lead("a", shared.url)
    second = replicas.stand_by("b", shared.url)
    first.send(signal.SIGSTOP)
    assert replicas.works("b", second) > before
    first.send(signal.SIGCONT)
    first.log("command ended")
    first.log("leader changed", to="b")
    assert not second.events("command ended")


def test_ending_the_session_by_hand_stops_the_command_at_once(
    shared: PostgreSQL, replicas: Replicas
) -> None:
    """No deadline is waited for; what follows is another term with a greater fence."""
    first, before = replicas.lead("a", shared.url, "--renew-deadline", "1h", "--retry-period", "9m")
    end_sessions(shared)
    assert "administrator command" in first.log("postgres trouble", kind="ended")["reason"]
    assert replicas.works("a", first, term=2) > before
    assert not replicas.overlaps()


def test_a_restart_of_the_server_stops_the_command_and_it_starts_again(
    server: PostgreSQL, replicas: Replicas
) -> None:
    """On one of the replicas; one that did not lead before waits."""
    first, before = replicas.lead("a", server.url)
    second = replicas.stand_by("b", server.url)
    server.restart()
    wait_for(lambda: len(first.events("command started") + second.events("command started")) == 2)
    last = [*first.events("command started"), *second.events("command started")][-1]
    assert last["fence"] > before
    for waited in second.events("waiting for the old command"):
        assert waited["seconds"] == 4.0
        assert "was restarted or replaced" in waited["reason"]
    assert not replicas.overlaps()


def test_a_crash_of_the_server_is_handled_like_a_restart(
    server: PostgreSQL, replicas: Replicas
) -> None:
    """All its sessions break."""
    first, before = replicas.lead("a", server.url)
    server.stop(signal.SIGQUIT)
    first.log("command ended")
    server.start()
    assert replicas.works("a", first, term=2) > before
    assert not replicas.overlaps()


def test_an_edited_row_stops_the_command_and_a_deleted_row_is_rewritten(
    shared: PostgreSQL, replicas: Replicas
) -> None:
    """With the fence of the term, which goes on."""
    first, before = replicas.lead("a", shared.url)
    ours = f"election = '{replicas.election}'"
    shared.value(f"DELETE FROM leaderexec WHERE {ours}")  # noqa: S608 - a test's own
    wait_for(lambda: row(shared, replicas, "fence") == str(before))
    assert not first.events("command ended")
    shared.value(f"UPDATE leaderexec SET life = 'x' WHERE {ours}")  # noqa: S608 - a test's own
    first.log("postgres trouble", kind="row-edited")
    assert replicas.works("a", first, term=2) > before


def test_a_winner_that_exits_while_it_waits_does_not_shorten_the_wait(
    shared: PostgreSQL, replicas: Replicas
) -> None:
    """It records no release: the command that it waits for may still be running."""
    first, _ = replicas.lead("a", shared.url)
    second = replicas.stand_by("b", shared.url, "--grace-lost", "1h")
    first.send(signal.SIGKILL)
    first.wait()
    second.log("waiting for the old command")
    third = replicas.stand_by("c", shared.url)
    second.send(signal.SIGTERM)
    assert second.wait() == 0
    assert third.log("waiting for the old command")["seconds"] == 2.0
    replicas.works("c", third)


def test_the_lock_is_kept_until_the_whole_tree_is_gone(
    shared: PostgreSQL, replicas: Replicas, tmp_path: Path
) -> None:
    """A slow stop is no reason for another command to start."""
    looked = tmp_path / "looked"
    hook = f"sh -c 'sleep 0.3; until [ -e {looked} ]; do sleep 0.02; done'"
    slow = ("--grace", "90s", "--grace-lost", "60s", "--on-stop", hook, "--on-stop-timeout", "50s")
    first, _ = replicas.lead("a", shared.url, *slow)
    second = replicas.stand_by("b", shared.url)
    first.send(signal.SIGTERM)
    first.log("transition", to="stopping")
    assert row(shared, replicas, "released") == "f"
    looked.touch()
    first.wait()
    replicas.works("b", second)
    assert replicas.gap() > 0.25


def test_an_exit_while_the_server_hangs_says_that_the_lock_was_not_released(
    server: PostgreSQL, replicas: Replicas
) -> None:
    """The next leader has to wait, and somebody may look for the reason."""
    first, _ = replicas.lead("a", server.url, "--renew-deadline", "1h", "--retry-period", "9m")
    server.freeze()
    try:
        first.send(signal.SIGTERM)
        first.wait()
    finally:
        server.thaw()
    assert "the next leader waits" in first.log("lock not released")["remedy"]


@needs_pgbouncer
def test_a_holder_that_is_cut_off_has_stopped_before_another_starts(
    shared: PostgreSQL, replicas: Replicas
) -> None:
    """The connection to the server hangs, and neither side notices."""
    with PgBouncer(shared, "session") as between:
        first, before = replicas.lead("a", between.url)
        second = replicas.stand_by("b", shared.url)
        between.freeze()
        assert "no contact" in first.log("transition", to="stopping")["reason"]
        assert replicas.works("b", second) > before
        # The deadline and the old command's time to stop, less the time since the last response.
        assert replicas.gap() > 1.0
        between.thaw()
        assert not replicas.overlaps()


@needs_pgbouncer
@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_pooler_that_shares_sessions_is_refused_with_the_remedy(
    shared: PostgreSQL, replicas: Replicas, run: Run, mode: str
) -> None:
    """Nothing starts, and --check reports it, too."""
    with PgBouncer(shared, mode) as between:
        wrapper = replicas.start("a", between.url)
        said = wrapper.log("postgres trouble", kind="pooled")
        assert "--postgres-lock row" in said["remedy"]
        other = replicas.start("b", between.url)
        other.log("postgres trouble", kind="pooled")
        words = ("--postgres", between.url, "--postgres-name", "x", "--check")
        checked = run(LEADEREXEC, *words)
        assert checked.returncode == 125
        assert "--postgres-lock row" in checked.stderr
        assert not wrapper.events("command started") + other.events("command started")


def test_a_standby_server_is_refused_and_after_its_promotion_there_is_a_wait(
    server: PostgreSQL, replicas: Replicas
) -> None:
    """What it knows of the last holder may be outdated; the fence is still greater."""
    first, before = replicas.lead("a", server.url)
    with PostgreSQL(primary=server) as replica:
        second = replicas.start("b", replica.url)
        assert "host=a,b" in second.log("postgres trouble", kind="read-only")["remedy"]
        # The holder's machine learns nothing of it.
        server.stop(signal.SIGKILL)
        assert replica.value("SELECT pg_promote()") == "t"
        assert second.log("waiting for the old command")["seconds"] == 4.0
        first.log("command ended")
        assert replicas.works("b", second) > before
        assert not replicas.overlaps()


def test_two_servers_can_be_given_and_the_writable_one_is_used(
    server: PostgreSQL, replicas: Replicas
) -> None:
    """As in libpq."""
    with PostgreSQL(primary=server) as replica:
        both = f"user=postgres dbname=postgres host={replica.folder},{server.folder}"
        wrapper, _ = replicas.lead("a", both)
        assert row(server, replicas, "holder") == "a"
        assert not wrapper.events("postgres trouble")


def test_without_the_right_to_create_the_table_the_log_has_the_sql(
    server: PostgreSQL, replicas: Replicas
) -> None:
    """Run unchanged it is enough, and leaderexec continues without a restart."""
    server.value("CREATE ROLE app LOGIN")
    wrapper = replicas.start("a", server.url.replace("postgres@", "app@"))
    remedy = wrapper.log("postgres trouble", kind="no-permission")["remedy"]
    sql = remedy[remedy.index("CREATE TABLE") :].replace("TO USER", "TO app")
    server.value(sql)
    replicas.works("a", wrapper)


def test_another_programs_table_is_not_touched(server: PostgreSQL, replicas: Replicas) -> None:
    """If it has the same name."""
    server.value("CREATE TABLE leaderexec (x int)")
    wrapper = replicas.start("a", server.url)
    wrapper.log("postgres trouble", kind="other-table")
    assert not wrapper.events("command started")


def test_a_wrong_password_has_its_own_message_and_is_shown_nowhere(
    server: PostgreSQL, replicas: Replicas, run: Run
) -> None:
    """Neither the wrong password nor, later, the right one."""
    server.value("CREATE ROLE app LOGIN PASSWORD 'correct'; GRANT ALL ON SCHEMA public TO app")
    server.allow("local all postgres trust", "local all app scram-sha-256")
    url = server.url.replace("postgres@", "app:{}@")
    wrong = replicas.start("a", url.format("s3cr3t"))
    said = wrong.log("postgres trouble", kind="wrong-password")
    assert "password authentication failed" in said["reason"]
    words = ("--postgres", url.format("s3cr3t"), "--postgres-name", "x", "--check")
    checked = run(LEADEREXEC, *words)
    assert "s3cr3t" not in f"{wrong.lines}{checked.stdout}{checked.stderr}"
    assert "app:***@" in checked.stdout
    right, _ = replicas.lead("b", url.format("correct"))
    assert "correct" not in str(right.lines)
    assert not wrong.events("command started")


def test_a_full_server_has_its_own_message(server: PostgreSQL, replicas: Replicas) -> None:
    """And it is retried."""
    server.value("CREATE ROLE app LOGIN CONNECTION LIMIT 0; GRANT ALL ON SCHEMA public TO app")
    wrapper = replicas.start("a", server.url.replace("postgres@", "app@"))
    wrapper.log("postgres trouble", kind="too-many-connections")
    server.value("ALTER ROLE app CONNECTION LIMIT 5")
    replicas.works("a", wrapper)


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ("&sslmode=require&host=localhost&port=1", "unreachable"),
        ("&host=name.invalid", "unresolved"),
        ("&colour=red", "bad-address"),
    ],
)
def test_failures_to_connect_are_logged(replicas: Replicas, more: str, kind: str) -> None:
    """With a message of its own."""
    wrapper = replicas.start("a", f"postgresql://postgres@/postgres?connect_timeout=2{more}")
    said = wrapper.log("postgres trouble", kind=kind)
    assert said["remedy"]


@needs_postgresql
def test_tls_follows_sslmode(replicas: Replicas) -> None:
    """A server without it is refused if it is required, and accepted if it is preferred."""
    port = free_port()
    with PostgreSQL(port=port):
        where = f"user=postgres dbname=postgres host=127.0.0.1 port={port}"
        strict = replicas.start("a", f"{where} sslmode=require")
        assert "sslmode" in strict.log("postgres trouble", kind="tls")["remedy"]
        replicas.lead("b", where)
        assert not strict.events("command started")


@needs_postgresql
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_a_certificate_is_verified_if_sslmode_requires_it(
    replicas: Replicas, tmp_path: Path
) -> None:
    """By the given authority only."""
    port, root = free_port(), tmp_path / "root.crt"
    server = PostgreSQL(port=port)
    root.write_bytes(Path(server.certify()).read_bytes())
    with server:
        where = f"user=postgres dbname=postgres host=localhost hostaddr=127.0.0.1 port={port}"
        strict = f"{where} sslmode=verify-full"
        unknown = replicas.start("a", f"{strict} sslrootcert=system")
        unknown.log("postgres trouble", kind="tls")
        replicas.lead("b", f"{strict} sslrootcert={root}")
        encrypted = "SELECT count(*) FROM pg_stat_ssl WHERE ssl"
        assert server.value(encrypted) == "1"
        assert not unknown.events("command started")


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_service_and_libpqs_variables_provide_the_address(
    shared: PostgreSQL, replicas: Replicas, tmp_path: Path, run: Run, environ: dict[str, str]
) -> None:
    """PG* alone chooses nothing."""
    services = tmp_path / "services"
    services.write_text(f"[mine]\nhost={shared.folder}\nuser=postgres\ndbname=postgres\n")
    words = ("--postgres-name", replicas.election, "--check")
    env = {**environ, "PGSERVICEFILE": str(services)}
    assert run(LEADEREXEC, "--postgres", "mine", *words, env=env).returncode == 0
    unknown = run(LEADEREXEC, "--postgres", "other", *words, env=env)
    assert "service" in unknown.stderr
    alone = run(LEADEREXEC, "--check", env={**environ, "PGHOST": shared.folder})
    assert "no kind of election is set" in alone.stderr


def test_a_step_down_lets_another_lead_and_its_hold_off_passes(
    shared: PostgreSQL, replicas: Replicas, run: Run, environ: dict[str, str]
) -> None:
    """The session stays open."""
    first, before = replicas.lead("a", shared.url)
    second = replicas.stand_by("b", shared.url)
    asked = (LEADEREXEC, "--postgres", shared.url, "--postgres-name", replicas.election)
    stepped = run(*asked, "--identity", "a", *SHORT, "--step-down", "--until-taken", env=environ)
    assert stepped.returncode == 0, stepped.stderr
    assert replicas.works("b", second) > before
    assert not first.events("postgres trouble")
    assert not replicas.overlaps()


def test_two_replicas_of_one_name_do_not_mistake_each_other_for_themselves(
    shared: PostgreSQL, replicas: Replicas
) -> None:
    """The second stands by, and says why."""
    replicas.lead("a", shared.url)
    second = replicas.start("a", shared.url)
    assert "--identity" in second.log("identity is not unique")["remedy"]
    assert not second.events("command started")
