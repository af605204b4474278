"""The compose file with Redis is valid, and only one of its beats at a time sends tasks."""

from collections.abc import Callable
from pathlib import Path

from examples.reading import ROOT, Document, configured, documents, faults, schema
from redis_server import Redis
from support import BIN, Wrapper, wait_for

from leaderexec.config.options import duration
from leaderexec.core.run import KILL_PATIENCE

FILE = "compose-redis/compose.yaml"


def beat() -> Document:
    """Return the service."""
    (document,) = documents(FILE)
    service = document["services"]["beat"]
    assert isinstance(service, dict)
    return service


def test_it_is_valid() -> None:
    """By the compose specification's own schema."""
    (document,) = documents(FILE)
    assert faults(document, schema("compose")) == []


def test_compose_waits_longer_than_leaderexec() -> None:
    """The grace and the KILL's own time fit, and the election uses Redis."""
    settings = configured(["leaderexec", "--", "true"], beat()["environment"])
    assert settings.election == "redis"
    assert duration(beat()["stop_grace_period"]) > settings.grace + KILL_PATIENCE


def test_redis_evicts_nothing_and_is_persistent() -> None:
    """So the key is only lost by a failover."""
    (document,) = documents(FILE)
    words = document["services"]["redis"]["command"]
    assert "--appendonly yes" in words
    assert "--maxmemory-policy noeviction" in words


def test_another_beat_takes_over_when_the_leader_is_ordered_to_stop(
    leaderexec: Callable[..., Wrapper], tmp_path: Path
) -> None:
    """As many replicas as the file has, with its variables and command; the server is ours."""
    with Redis(tmp_path / "redis", "--requirepass", "secret") as server:
        server.free("leaderexec:beat")
        url = server.url.replace("//", "//:secret@")
        variables = {**beat()["environment"], "LEADEREXEC_REDIS": url, "BROKER_URL": f"{url}/0"}
        # Replicas in containers have a port each.
        del variables["LEADEREXEC_HTTP"]
        program, *more = beat()["command"]
        replicas = [
            leaderexec(
                *("--identity", f"beat-{number}", "--", str(BIN / program), *more[:-1]),
                str(tmp_path / f"beat-{number}"),
                env=variables,
                cwd=ROOT / "consumers",
            )
            for number in range(beat()["deploy"]["replicas"])
        ]

        def leading() -> list[Wrapper]:
            return [one for one in replicas if one.events("command started")]

        def sent() -> int:
            return int(server.ask("LLEN", "celery") or 0)

        wait_for(lambda: len(leading()) == 1 and sent(), "a task to be sent")
        for one in replicas:
            one.log("leadership confirmed")
        (first,) = leading()
        first.process.terminate()
        wait_for(lambda: len(leading()) == 2, "a second leader, once the first one has ended")
        before = sent()
        wait_for(lambda: sent() > before, "the second one to send")
