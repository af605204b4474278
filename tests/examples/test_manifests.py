"""The manifests are what Kubernetes, compose and systemd accept, and their times fit together."""

import configparser
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from leaderexec import config, options

Run = Callable[..., subprocess.CompletedProcess[str]]
EXAMPLES = Path(__file__).parents[2] / "examples"
KUBERNETES = sorted((EXAMPLES / "kubernetes").glob("*.yaml"))
VARIABLES = {option.variable: option for option in config.OPTIONS}
UNIT = EXAMPLES / "systemd" / "worker@.service"


def objects() -> list[dict[str, Any]]:
    """Return every Kubernetes object."""
    return [one for path in KUBERNETES for one in yaml.safe_load_all(path.read_text())]


def deployments() -> list[dict[str, Any]]:
    """Return the Deployments."""
    return [one for one in objects() if one["kind"] == "Deployment"]


def environment(entries: list[dict[str, Any]]) -> dict[str, str]:
    """Return the variables of a container that have values."""
    return {entry["name"]: entry["value"] for entry in entries if "value" in entry}


def nais() -> dict[str, Any]:
    """Return the application's spec."""
    manifest: dict[str, Any] = yaml.safe_load((EXAMPLES / "nais" / "app.yaml").read_text())
    assert manifest["apiVersion"] == "nais.io/v1alpha1"
    assert manifest["kind"] == "Application"
    spec: dict[str, Any] = manifest["spec"]
    return spec


def environments() -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield each example's variables, and the seconds after which its platform kills."""
    for one in deployments():
        pod = one["spec"]["template"]["spec"]
        (worker,) = pod["containers"]
        name = one["metadata"]["name"]
        yield name, environment(worker["env"]), pod["terminationGracePeriodSeconds"]
    spec = nais()
    platform = {"ELECTOR_PATH": "localhost:4040"}
    variables = environment(spec["env"]) | platform
    yield "nais", variables, spec["terminationGracePeriodSeconds"]
    service = yaml.safe_load((EXAMPLES / "compose" / "compose.yaml").read_text())["services"][
        "worker"
    ]
    yield "compose", service["environment"], options.duration(service["stop_grace_period"])
    unit = systemd()["Service"]
    name, _, value = unit["Environment"].partition("=")
    variables = {name: value, "LEADEREXEC_LOCK_FILE": "/run/worker/lock"}
    yield "systemd", variables, options.duration(unit["TimeoutStopSec"])


def systemd() -> configparser.ConfigParser:
    """Return the unit."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser


@pytest.mark.parametrize(
    "one", [pytest.param(one, id=f"{one['kind']} {one['metadata']['name']}") for one in objects()]
)
def test_kubernetes_accepts_it(one: dict[str, Any]) -> None:
    """By the OpenAPI schema of a version with native sidecars, strictly."""
    kubernetes_validate.validate(one, "1.34", strict=True)


def test_compose_accepts_it() -> None:
    """By the specification's JSON schema."""
    schema = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    manifest = yaml.safe_load((EXAMPLES / "compose" / "compose.yaml").read_text())
    jsonschema.validate(manifest, json.loads(schema.read_text()))


def test_the_platform_s_manifest_asks_for_the_election() -> None:
    """Its schema is published with the platform only; these are the fields that matter here."""
    spec = nais()
    assert spec["leaderElection"] is True
    assert spec["replicas"]["min"] >= 2
    assert spec["liveness"]["path"] == "/livez"
    assert spec["readiness"]["path"] == "/readyz"
    assert f":{spec['port']}" == environment(spec["env"])["LEADEREXEC_HTTP"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_accepts_it(run: Run, tmp_path: Path) -> None:
    """With programs that are on this machine, which is what it looks for."""
    text = UNIT.read_text().replace("/usr/bin/leaderexec", "/bin/true")
    unit = tmp_path / "worker@a.service"
    unit.write_text(text.replace("/usr/bin/python3", "/bin/true"))
    result = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit))
    assert "worker@a.service" not in result.stderr


@pytest.mark.parametrize(
    ("variables", "kill_after"),
    [pytest.param(variables, after, id=name) for name, variables, after in environments()],
)
def test_every_variable_is_an_option_and_the_times_fit(
    variables: dict[str, str], kill_after: float
) -> None:
    """The platform's KILL comes after ours, and never-overlap means longer than --grace-lost."""
    for name in variables:
        assert name in VARIABLES or name.startswith("ELECTOR_")
    loaded = config.load({}, ["true"], variables, "app-a")
    assert kill_after >= loaded.grace + 5
    if loaded.takeover_delay:
        assert loaded.takeover_delay > loaded.grace_lost


@pytest.mark.parametrize("one", deployments(), ids=lambda one: one["metadata"]["name"])
def test_a_worker_needs_no_rights_and_no_credentials(one: dict[str, Any]) -> None:
    """Read-only, no capabilities, not root; the probes ask what they should."""
    pod = one["spec"]["template"]["spec"]
    (worker,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert worker["securityContext"]["readOnlyRootFilesystem"]
    assert worker["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "volumeMounts" not in worker
    assert worker["livenessProbe"]["httpGet"]["path"] == "/livez"
    ports = {port["name"]: port["containerPort"] for port in worker["ports"]}
    port = ports[worker["livenessProbe"]["httpGet"]["port"]]
    assert environment(worker["env"])["LEADEREXEC_HTTP"] == f":{port}"


def test_the_elector_is_a_native_sidecar_with_the_only_credentials() -> None:
    """It starts before the worker and ends after it."""
    pod = next(one for one in deployments() if one["metadata"]["name"] == "myapp")["spec"]
    spec = pod["template"]["spec"]
    (elector,) = spec["initContainers"]
    assert elector["restartPolicy"] == "Always"
    assert spec["automountServiceAccountToken"] is False
    (mount,) = elector["volumeMounts"]
    assert mount["name"] == "credentials"
    address = re.search(r"--http=(\S+)", " ".join(elector["args"]))
    assert address is not None
    assert f"http://{address[1]}/sse" in environment(spec["containers"][0]["env"]).values()


def test_the_unit_s_command_line_is_accepted() -> None:
    """With an identity for each instance."""
    words = systemd()["Service"]["ExecStart"].split()[1:]
    at = words.index("--")
    given = options.parse(words[:at], config.OPTIONS)
    loaded = config.load(given, words[at + 1 :], {}, "host")
    assert loaded.election == "file"
    assert "%i" in loaded.identity


def test_every_example_is_in_the_table() -> None:
    """So that it is found."""
    table = (EXAMPLES / "README.md").read_text()
    for path in EXAMPLES.rglob("*"):
        if path.is_file() and path.suffix in (".yaml", ".py", ".sh", ".service"):
            inside = path.relative_to(EXAMPLES)
            assert f"({inside})" in table or f"({inside.parts[0]})" in table, inside
