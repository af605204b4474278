"""The compose file with PostgreSQL is valid, and its replicas elect one on a real server."""

from collections.abc import Callable, Iterator

import pytest
from examples.reading import ROOT, Document, configured, documents, faults, schema
from postgresql import PostgreSQL, missing
from support import BIN, Wrapper, wait_for

from leaderexec.config.options import duration
from leaderexec.core.run import KILL_PATIENCE

FILE = "compose-postgres/compose.yaml"


@pytest.fixture
def server() -> Iterator[PostgreSQL]:
    """A server in place of the file's."""
    if (why := missing()) is not None:
        pytest.skip(why)
    with PostgreSQL() as running:
        yield running


def worker() -> Document:
    """Return the service."""
    (document,) = documents(FILE)
    service = document["services"]["worker"]
    assert isinstance(service, dict)
    return service


def test_it_is_valid() -> None:
    """By the compose specification's own schema."""
    (document,) = documents(FILE)
    assert faults(document, schema("compose")) == []


def test_compose_waits_longer_than_leaderexec() -> None:
    """The grace and the KILL's own time fit, and the election uses the database."""
    settings = configured(["leaderexec", "--", "true"], worker()["environment"])
    assert settings.election == "postgres"
    assert duration(worker()["stop_grace_period"]) > settings.grace + KILL_PATIENCE


def test_the_password_is_nowhere_in_the_file() -> None:
    """Nor in the URL, which is shown."""
    text = (ROOT / FILE).read_text()
    assert text.count("PASSWORD: ${POSTGRES_PASSWORD:?set one}") == 2
    assert "@" in worker()["environment"]["LEADEREXEC_POSTGRES"]
    assert ":" not in worker()["environment"]["LEADEREXEC_POSTGRES"].partition("//")[2]


def test_another_replica_takes_over_when_the_leader_is_ordered_to_stop(
    leaderexec: Callable[..., Wrapper], server: PostgreSQL
) -> None:
    """As many replicas as the file has, with its variables and command; the server is ours."""
    variables = dict(worker()["environment"])
    variables["LEADEREXEC_POSTGRES"] = server.url
    # Replicas in containers have a port each.
    del variables["LEADEREXEC_HTTP"]
    command = [str(BIN / "python"), str(ROOT / "worker.py")]
    replicas = [
        leaderexec("--identity", f"worker-{number}", "--", *command, env=variables)
        for number in range(worker()["deploy"]["replicas"])
    ]

    def leading() -> list[Wrapper]:
        return [one for one in replicas if one.events("command started")]

    wait_for(lambda: len(leading()) == 1, "one leader")
    (first,) = leading()
    for one in replicas:
        one.log("leader changed", to=first.events("command started")[0]["leader"])
    first.process.terminate()
    wait_for(lambda: len(leading()) == 2, "a second leader, once the first one has ended")
    assert not any(one.events("waiting for the old command") for one in replicas)
