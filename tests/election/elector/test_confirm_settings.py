"""Which Lease is read, what that buys, and what --check shows of it."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from apiserver import ApiServer
from support import LEADEREXEC

from leaderexec.config.options import UsageError
from leaderexec.config.settings import Config, load, settle, shown, warnings
from leaderexec.election.elector.kind import ElectorKind
from leaderexec.election.lease import cluster
from leaderexec.logs import Log
from leaderexec_elector.running import RunningElector

Run = Callable[..., subprocess.CompletedProcess[str]]
APPLICATION = {"NAIS_APP_NAME": "my-app"}


def words(given: dict[str, str]) -> dict[str, str]:
    """Return options for an elector."""
    return {"sse-url": "http://h/sse"} | {
        name.replace("_", "-"): text for name, text in given.items()
    }


def config(environ: dict[str, str] | None = None, **given: str) -> Config:
    """Return the configuration from these options."""
    return load(words(given), ("true",), environ or {}, "host")


def asked(environ: dict[str, str] | None = None, **given: str) -> tuple[str, str]:
    """Return which Lease is read, and where the setting came from."""
    values = settle(words(given), environ or {}, "host")
    return shown(values)["confirm-lease"], values["confirm-lease"].source


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mount a service account's token."""
    (tmp_path / "token").write_text("t")
    monkeypatch.setattr(cluster, "ACCOUNT", str(tmp_path))


@pytest.mark.usefixtures("token")
def test_auto_is_the_applications_lease_if_there_is_a_token() -> None:
    """The platform's elector names its Lease after the application."""
    assert asked(APPLICATION) == ("my-app", "NAIS_APP_NAME")
    assert asked(APPLICATION, confirm_lease="auto") == ("my-app", "--confirm-lease")
    rule = config(APPLICATION).policy.contact.lease
    assert rule is not None
    assert not rule.stops


@pytest.mark.usefixtures("token")
@pytest.mark.parametrize("environ", [{}, {"NAIS_APP_NAME": ""}, {"NAIS_APP_NAME": "a/../b"}])
def test_auto_reads_no_lease_without_an_applications_name(environ: dict[str, str]) -> None:
    """Or with one that can't be a Lease's name."""
    assert asked(environ) == ("auto", "default")


def test_auto_reads_no_lease_without_a_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Everything is then as if there were no such option."""
    monkeypatch.setattr(cluster, "ACCOUNT", str(tmp_path))
    assert asked(APPLICATION) == ("auto", "default")
    ours = config(APPLICATION)
    assert ours.policy.contact.lease is None
    assert ours.kind.confirming(ours, print, Log("error", "json"), float) is None
    assert list(ours.kind.inspect(ours)) == []
    assert "confirm_lease" not in ours.kind.startup_fields(ours)


def test_off_reads_no_lease() -> None:
    """Whatever is available."""
    assert asked(APPLICATION, confirm_lease="OFF", api_server="http://h") == (
        "off",
        "--confirm-lease",
    )


def test_a_named_lease_may_stop_the_command_and_shorten_the_default_delay() -> None:
    """A delay that was set is kept."""
    rule = config(confirm_lease="team/demo").policy.contact.lease
    assert rule is not None
    assert (rule.stops, rule.hastens) == (True, True)
    rule = config(confirm_lease="team/demo", takeover_delay="11s").policy.contact.lease
    assert rule is not None
    assert not rule.hastens


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"confirm_lease": "My-App"}, "--confirm-lease is 'My-App'; allowed: auto, off, or"),
        (
            {"confirm_lease": "a", "poll_interval": "off"},
            "--confirm-lease is 'a', which is",
        ),
    ],
)
def test_impossible_values_are_refused_with_the_remedy(given: dict[str, str], said: str) -> None:
    """Before anything is started."""
    with pytest.raises(UsageError, match="allowed") as caught:
        config(None, **given)
    assert said in str(caught.value)


def test_a_named_lease_outside_a_pod_needs_an_api_server() -> None:
    """The error names the option that needs it."""
    ours = config(confirm_lease="demo")
    with pytest.raises(UsageError, match=r"--api-server URL \(--confirm-lease\)"):
        ours.kind.confirming(ours, print, Log("error", "json"), float)


def test_an_unused_api_server_is_warned_of() -> None:
    """It is never ignored silently."""
    values = settle(words({"api_server": "http://h"}), {}, "host")
    (said,) = warnings(values, {})
    assert said == "--api-server has no effect without --lease or --confirm-lease or --leader-label"
    values = settle(words({"api_server": "http://h", "confirm_lease": "a"}), {}, "host")
    assert warnings(values, {}) == ()


def test_a_named_lease_bounds_what_is_learnt_late() -> None:
    """A dead elector by the next poll, a pod that is cut off by the contact timeout."""
    overlaps = {one.cause: one.seconds for one in ElectorKind().overlaps(config(confirm_lease="a"))}
    assert overlaps["dead-elector"] == 10 + 10 - 11
    assert overlaps["partition"] == 30 + 10 - 11
    assert {one.cause: one.seconds for one in ElectorKind().overlaps(config())}["partition"] is None


def test_the_cost_of_an_ordinary_move_says_that_it_may_be_less() -> None:
    """If a Lease is read."""
    for ours, less in ((config(confirm_lease="a"), True), (config(), False)):
        assert ("or less if" in str(ours.kind.ordinary_move(ours))) is less


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """An API server with an elector's Lease."""
    with ApiServer() as server:
        server.elect("app-a")
        yield server


def check(run: Run, api: ApiServer, *more: str, lease: str = "demo") -> tuple[int, list[str]]:
    """Return the exit code, and the lines about the Lease."""
    with RunningElector("app-a") as elector:
        result = run(
            *(LEADEREXEC, "--sse-url", elector.sse_url, "--confirm-lease", lease, "--check"),
            *("--api-server", api.url, *more),
        )
    lines = result.stdout.splitlines()
    return result.returncode, [one for one in lines if one.startswith(("right", "the Role", "le"))]


def test_check_says_whether_the_lease_can_be_read_and_who_holds_it(
    run: Run, api: ApiServer
) -> None:
    """It writes nothing."""
    code, said = check(run, api)
    fence = api.leases.get("demo")["metadata"]["resourceVersion"]
    assert said[-3:] == [
        "right to get the lease default/demo: yes",
        "right to get pods in default: yes",
        f"lease default/demo: app-a holds it, with fence {fence}",
    ]
    assert code == 0
    assert api.requests == ["REVIEW", "REVIEW", "GET"]


@pytest.mark.parametrize(("denied", "code"), [("get", 125), ("get pods", 0)])
def test_check_prints_the_role_that_is_missing(
    run: Run, api: ApiServer, denied: str, code: int
) -> None:
    """A named Lease has to be readable; the Pod only makes some moves quicker."""
    api.denied.add(denied)
    found, said = check(run, api)
    assert found == code
    (line,) = (one for one in said if one.startswith("the Role"))
    role = yaml.safe_load(line.partition("kubectl apply -f -: ")[2])
    assert [rule["resources"] for rule in role["rules"]] == [["leases"], ["pods"]]
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"get"}


def test_check_detects_a_wrong_name(run: Run, api: ApiServer) -> None:
    """No replica would ever lead."""
    code, said = check(run, api, lease="other")
    assert code == 125
    assert "there is none; check its name" in said[-1]


def test_check_tries_to_read_if_the_review_fails(run: Run, api: ApiServer) -> None:
    """And reports each right."""
    api.fail(403, "REVIEW")
    code, said = check(run, api)
    assert code == 0
    assert "right to get pods in default: unknown" in said[-2]
    api.fail(403, "GET")
    assert check(run, api)[0] == 125


def test_check_never_fails_because_of_an_unnamed_lease(run: Run, environ: dict[str, str]) -> None:
    """It is only advice."""
    with RunningElector("app-a") as elector, ApiServer() as api:
        api.fail(403)
        result = run(
            *(LEADEREXEC, "--sse-url", elector.sse_url, "--api-server", api.url, "--check"),
            env=environ | APPLICATION,
        )
    assert result.returncode == 0
    assert "lease default/my-app: the API server responded with 403" in result.stdout


def test_check_says_if_no_api_server_is_known(run: Run) -> None:
    """With the options to set."""
    with RunningElector("app-a") as elector:
        result = run(LEADEREXEC, "--sse-url", elector.sse_url, "--confirm-lease", "demo", "--check")
    assert result.returncode == 125
    assert "the lease demo: no API server is known" in result.stdout
