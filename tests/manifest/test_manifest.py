"""--manifest prints objects that match the options and each other."""

import json
import subprocess
from collections.abc import Callable

import pytest
import yaml
from examples.reading import Document, documents, environment, faults, schema
from hypothesis import given, settings
from hypothesis import strategies as st
from support import LEADEREXEC

from leaderexec.config.settings import load
from leaderexec.core.run import KILL_PATIENCE
from leaderexec.election.campaigner import RELEASE_WITHIN
from leaderexec.manifest.objects import probed_port, termination_grace, unexpanded

Run = Callable[..., subprocess.CompletedProcess[str]]
VERSIONS = ("1.29", "1.34")
WORKER = ("--", "python", "worker.py")


def manifest(run: Run, kind: str, *words: str) -> list[Document]:
    """Return the printed objects."""
    result = run(LEADEREXEC, "--manifest", kind, *words)
    assert result.returncode == 0, result.stderr
    return list(yaml.safe_load_all(result.stdout))


def of(objects: list[Document], kind: str) -> Document:
    """Return the one of this kind."""
    (found,) = (one for one in objects if one["kind"] == kind)
    return found


def container(objects: list[Document]) -> Document:
    """Return the command's container."""
    found: Document = of(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    return found


def refusal(run: Run, *words: str) -> str:
    """Return the error; nothing is printed."""
    result = run(LEADEREXEC, *words)
    assert (result.returncode, result.stdout) == (125, "")
    return result.stderr


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    """An environment without our variables."""
    del environ["LEADEREXEC_TAKEOVER_DELAY"]
    return environ


def test_the_example_of_a_lease_equals_the_output(run: Run) -> None:
    """Except for its comments: neither can drift from the other."""
    printed = manifest(run, "lease", "--lease", "worker", "--http", ":8080", *WORKER)
    assert printed == documents("kubernetes/lease.yaml")


def test_with_slots_there_is_a_lease_for_each_and_one_pod_more(run: Run) -> None:
    """The Role allows all of them."""
    printed = manifest(run, "lease", "--lease", "worker", "--slots", "2", *WORKER)
    leases = [one["metadata"]["name"] for one in printed if one["kind"] == "Lease"]
    assert leases == ["worker", "worker-0", "worker-1"]
    assert of(printed, "Role")["rules"][0]["resourceNames"] == leases
    assert of(printed, "Deployment")["spec"]["replicas"] == 3
    variables = {one["name"]: one["value"] for one in container(printed)["env"]}
    assert variables["LEADEREXEC_SLOTS"] == "2"


def test_the_examples_of_an_elector_equal_the_output(run: Run) -> None:
    """Except that there several elections share one account."""
    words = ("--lease", "worker", "--http", ":8080", "--takeover-delay", "11s")
    printed = manifest(run, "elector", *words, *WORKER)
    worker = documents("kubernetes/worker.yaml")
    spec = of(worker, "Deployment")["spec"]["template"]["spec"]
    spec["serviceAccountName"] = "worker"
    (variables,) = (one["env"] for one in spec["containers"])
    variables.sort(key=lambda one: list(environment(container(printed))).index(one["name"]))
    assert [of(printed, one["kind"]) for one in worker] == worker
    account = documents("kubernetes/rbac.yaml")
    assert of(printed, "Role")["rules"] == of(account, "Role")["rules"]
    assert sorted(one["kind"] for one in printed) == sorted(one["kind"] for one in worker + account)


def test_the_example_of_a_leader_label_equals_the_output(run: Run) -> None:
    """Except for its Service, whose port only its user knows; it selects the label."""
    words = ("--lease", "ledger", "--http", ":8080", "--leader-label", "role=leader", "--")
    server = ("python", "-m", "http.server", "8000", "--directory", "/srv")
    service, *rest = documents("kubernetes/leader-label.yaml")
    assert manifest(run, "lease", *words, *server) == rest
    template = of(rest, "Deployment")["spec"]["template"]
    labels = template["metadata"]["labels"]
    assert service["spec"]["selector"] == {**labels, "role": "leader"}
    assert service["spec"]["ports"][0]["targetPort"] == int(server[3])
    assert template["spec"]["containers"][0]["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_a_label_adds_its_rights_and_the_token(run: Run) -> None:
    """To the command's container, too, if there is an elector next to it."""
    words = ("--lease", "w", "--leader-label", "role=leader", *WORKER)
    for kind in ("lease", "elector"):
        objects = manifest(run, kind, *words)
        rules = of(objects, "Role")["rules"]
        assert {
            "apiGroups": [""],
            "resources": ["pods"],
            "verbs": ["get", "list", "patch"],
        } in rules
    assert "elector-token" in json.dumps(container(objects))


def test_confirming_the_lease_needs_the_token(run: Run) -> None:
    """The rights belong to the elector's own account."""
    words = ("--lease", "w", "--confirm-lease", "w", *WORKER)
    objects = manifest(run, "elector", *words)
    assert environment(container(objects))["LEADEREXEC_CONFIRM_LEASE"] == "w"
    assert "elector-token" in json.dumps(container(objects))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["lease", "elector"])
def test_every_object_is_valid(run: Run, kind: str, version: str) -> None:
    """By the API server's own schemas, unknown fields refused."""
    for http in ((), ("--http", ":9"), ("--http", ":9", "--peers", "ws")):
        for document in manifest(run, kind, "--lease", "team/w-1", *http, *WORKER):
            kubernetes = schema(f"kubernetes-{version}")
            root = kubernetes.pop("kinds")[f"{document['apiVersion']}/{document['kind']}"]
            assert faults(document, {**kubernetes, "$ref": root}) == []
            assert document["metadata"]["namespace"] == "team"


def test_the_pod_waits_for_the_whole_stop() -> None:
    """Grace, the KILL's own time, the release, and seconds to spare; in steps of 5."""

    def waits(kind: dict[str, str], grace: str) -> int:
        return termination_grace(load({**kind, "grace": grace}, ("true",), {}, "host"))

    lease, elector = {"lease": "demo"}, {"get-url": "http://localhost:1/"}
    assert (waits(lease, "25s"), waits(elector, "25s")) == (40, 40)
    assert (waits(lease, "0"), waits(lease, "90s"), waits(lease, "28500ms")) == (15, 105, 45)
    for seconds in range(60):
        assert waits(lease, f"{seconds}s") >= seconds + KILL_PATIENCE + RELEASE_WITHIN + 1


def test_given_options_are_in_the_manifest(run: Run, environ: dict[str, str]) -> None:
    """As options or variables, in the user's own words; another kind's settings are left out."""
    environ |= {"LEADEREXEC_RESTART": "always", "LEADEREXEC_LEASE": "team/x", "HOME": "/h"}
    more = ("--grace=40s", "--on-start", "echo '$(A) $HOME'", "--image", "r.example:1/w@sha256:0a")
    objects = manifest(run, "lease", *more, "--", "echo", "$(A)", "$$", "yes", "a\nb: c")
    assert environment(container(objects)) == {
        "LEADEREXEC_LEASE": "x",
        "LEADEREXEC_GRACE": "40s",
        "LEADEREXEC_GRACE_LOST": "10s",
        "LEADEREXEC_RESTART": "always",
        "LEADEREXEC_ON_START": "echo '$$(A) $HOME'",
    }
    assert container(objects)["args"] == ["echo", "$$(A)", "$$$", "yes", "a\nb: c"]
    assert container(objects)["image"] == "r.example:1/w@sha256:0a"
    assert (
        of(objects, "Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 55
    )


def expanded(text: str) -> str:
    """Return a word as the kubelet expands it: ``$$`` to ``$``, and ``$(A)`` to a value."""
    out, rest = "", text
    while rest:
        if rest.startswith("$$"):
            out, rest = out + "$", rest[2:]
        elif rest.startswith("$(") and ")" in rest:
            out, rest = out + "VALUE", rest.partition(")")[2]
        else:
            out, rest = out + rest[0], rest[1:]
    return out


@settings(deadline=None, max_examples=60)
@given(st.text("$()ab"))
def test_no_word_is_expanded_by_the_kubelet(text: str) -> None:
    """It reaches the command as it was typed."""
    assert expanded(unexpanded(text)) == text


def test_there_are_probes_if_the_kubelet_can_reach_them(run: Run) -> None:
    """Not on loopback or a socket; that is reported."""
    given = {"lease": "demo"}
    for address, port in ((":8080", 8080), ("0.0.0.0:9", 9), ("[::]:80", 80)):
        assert probed_port(load({**given, "http": address}, ("x",), {}, "h")) == port
    for address in ("127.0.0.1:80", "[::1]:80", "localhost:80", "unix:/run/x", ":0"):
        assert probed_port(load({**given, "http": address}, ("x",), {}, "h")) is None
    result = run(LEADEREXEC, "--manifest", "lease", "--lease", "w", *WORKER)
    assert "no probes" in result.stderr
    assert "replace REGISTRY/w:TAG, or give --image" in result.stderr
    assert "Probe" not in result.stdout


def test_refusals_say_why(run: Run) -> None:
    """With the remedy."""
    base = ("--manifest", "lease", "--lease", "w")
    assert "--manifest is 'file'; allowed: lease or elector" in refusal(run, "--manifest", "file")
    assert "after --" in refusal(run, *base)
    assert "needs --lease" in refusal(run, "--manifest", "elector", *WORKER)
    assert "63" in refusal(run, "--manifest", "lease", "--lease", "a.b", *WORKER)
    assert "leave it out" in refusal(run, *base, "--identity", "a", *WORKER)
    assert "leave it out" in refusal(run, *base, "--api-server", "http://h:1", *WORKER)
    assert "leave it out" in refusal(run, *base, "--election", "file", *WORKER)
    assert "--image is 'a b'" in refusal(run, *base, "--image", "a b", *WORKER)
    assert "--image is used with --manifest" in refusal(run, "--image", "a", *WORKER)
    assert "combined" in refusal(run, *base, "--check", *WORKER)
    own = ("--leader-label", "app.kubernetes.io/name=w")
    assert "role=leader" in refusal(run, *base, *own, *WORKER)
    assert "init container" in refusal(run, *base, "--once", "--once-key", "v1", *WORKER)
    assert "23s" in refusal(run, *base, "--grace-lost", "12s", *WORKER)
    assert "UTF-8" in refusal(run, *base, "--", "echo", "\udcff")


def test_options_without_effect_are_reported_and_left_out(run: Run) -> None:
    """As when it is run."""
    words = ("--manifest", "lease", "--lease", "w", "--poll-interval", "5s", *WORKER)
    result = run(LEADEREXEC, *words)
    assert "warning: --poll-interval has no effect" in result.stderr
    assert "POLL" not in result.stdout


def test_the_name_of_all_replicas_brings_its_service(run: Run) -> None:
    """The example is what is printed, but for its comments."""
    words = ("--lease", "worker", "--http", ":8080")
    for name in ("workers", "workers:8080"):
        objects = manifest(run, "lease", *words, "--peers", name, *WORKER)
        assert of(objects, "Service") == documents("kubernetes/peers.yaml")[0]
        assert environment(container(objects))["LEADEREXEC_PEERS"] == name
    objects = manifest(run, "lease", "--lease", "team/w", *words[2:], "--peers", "ws", *WORKER)
    assert of(objects, "Service")["metadata"] == {"name": "ws", "namespace": "team"}


@pytest.mark.parametrize("peers", ["a.team.svc", "a,b", "a:9", "10.1.0.7", "Workers"])
def test_peers_that_no_service_of_ours_can_be_are_told(run: Run, peers: str) -> None:
    """Another one has it, or none can."""
    words = ("--manifest", "lease", "--lease", "w", "--http", ":8080", "--peers", peers, *WORKER)
    result = run(LEADEREXEC, *words)
    assert result.returncode == 0
    assert f"--peers is '{peers}', for which there is no Service here" in result.stderr
    assert "kind: Service\n" not in result.stdout


def test_the_elector_alone_gets_the_token(run: Run) -> None:
    """Whoever breaks into the command finds no credentials."""
    objects = manifest(run, "elector", "--lease", "w", "--elector-image", "e:1", *WORKER)
    pod = of(objects, "Deployment")["spec"]["template"]["spec"]
    assert pod["initContainers"][0]["image"] == "e:1"
    assert pod["automountServiceAccountToken"] is False
    assert "elector-token" not in json.dumps(pod["containers"])
