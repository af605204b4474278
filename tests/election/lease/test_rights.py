"""--check lists the account's rights on the Lease, and prints the Role if they are too few."""

import subprocess
from collections.abc import Callable, Iterator

import pytest
import yaml
from apiserver import ApiServer
from support import LEADEREXEC

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """An API server that allows everything."""
    with ApiServer() as server:
        yield server


def check(run: Run, api: ApiServer, *more: str) -> tuple[int, list[str]]:
    """Return the exit code, and the lines about rights."""
    result = run(LEADEREXEC, "--lease", "demo", "--api-server", api.url, *more, "--check")
    lines = [line for line in result.stdout.splitlines() if line.startswith(("right", "the Role"))]
    return result.returncode, lines


def test_each_right_has_one_line(run: Run, api: ApiServer) -> None:
    """It writes nothing."""
    code, said = check(run, api)
    verbs = ("get", "update", "create", "watch")
    assert said == [f"right to {verb} the lease default/demo: yes" for verb in verbs]
    assert code == 0
    assert api.requests == ["REVIEW"] * 4 + ["GET"]


@pytest.mark.parametrize("verb", ["get", "update"])
def test_a_missing_right_that_leading_needs_fails_and_prints_the_role(
    run: Run, api: ApiServer, verb: str
) -> None:
    """Ready to be applied."""
    api.denied.add(verb)
    code, said = check(run, api)
    assert f"right to {verb} the lease default/demo: no: this replica can't lead" in said
    assert code == 125
    role = yaml.safe_load(said[-1].partition("kubectl apply -f -: ")[2])
    assert role["kind"] == "Role"
    assert {"get", "update", "watch", "create"} == {
        verb for rule in role["rules"] for verb in rule["verbs"]
    }


def test_the_right_to_create_is_needed_if_there_is_no_lease(run: Run, api: ApiServer) -> None:
    """Otherwise the manifest has created it."""
    api.denied.add("create")
    code, said = check(run, api)
    assert (code, said[2].rpartition(": ")[2]) == (125, "no replica can lead")
    api.add()
    code, said = check(run, api)
    assert code == 0
    assert "not needed" in said[2]


def test_without_the_right_to_watch_it_polls(run: Run, api: ApiServer) -> None:
    """That is not an error."""
    api.denied.add("watch")
    code, said = check(run, api)
    assert code == 0
    assert "--retry-period" in said[3]


@pytest.mark.parametrize("status", [403, 404, 500, 0])
def test_a_refused_review_is_reported_and_the_lease_is_still_read(
    run: Run, api: ApiServer, status: int
) -> None:
    """Rights that can't be reviewed may still exist."""
    api.add(holder="other")
    api.fail(status, "REVIEW")
    result = run(LEADEREXEC, "--lease", "demo", "--api-server", api.url, "--check")
    assert "rights for the lease default/demo: unknown" in result.stdout
    assert "election: other leads (another replica)" in result.stdout
    assert result.returncode == 0


@pytest.mark.parametrize("answer", [{}, {"status": {"allowed": "yes"}}, {"status": []}, []])
def test_a_malformed_review_is_not_a_yes(
    run: Run, api: ApiServer, monkeypatch: pytest.MonkeyPatch, answer: object
) -> None:
    """And not a no either."""
    monkeypatch.setattr(api, "reviewed", lambda _: answer)
    code, said = check(run, api)
    assert code == 0
    assert len(said) == 1
    assert "not a review" in said[0]
