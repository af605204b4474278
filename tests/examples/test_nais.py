"""The NAIS manifest, by checks of our own.

No package registry has the schema of the platform's CRD, so its fields' names and types are
written down here, as far as the example uses them.
"""

from typing import Any

from examples.reading import Document, configured, documents, environment

from leaderexec.core.run import KILL_PATIENCE

PROBE = {"path": str, "port": int, "periodSeconds": int, "failureThreshold": int, "timeout": int}
SPEC: dict[str, Any] = {
    "image": str,
    "port": int,
    "leaderElection": bool,
    "replicas": {"min": int, "max": int},
    "env": list,
    "terminationGracePeriodSeconds": int,
    "preStopHook": {"exec": {"command": list}},
    "liveness": PROBE,
    "readiness": PROBE,
    "prometheus": {"enabled": bool, "path": str, "port": str},
    "resources": {"requests": {"cpu": str, "memory": str}, "limits": {"memory": str}},
}
LONGEST_GRACE = 180


def app() -> Document:
    """Return the manifest's one document."""
    (document,) = documents("nais/app.yaml")
    return document


def misfits(value: Any, shape: Any, where: str = "spec") -> list[str]:
    """Return the fields that are unknown or have a wrong type."""
    if isinstance(shape, type):
        return [] if type(value) is shape else [where]
    return [
        wrong
        for name, inner in value.items()
        for wrong in (
            misfits(inner, shape[name], f"{where}.{name}") if name in shape else [f"{where}.{name}"]
        )
    ]


def test_it_is_an_application_that_belongs_to_a_team() -> None:
    """With names that Kubernetes accepts."""
    document = app()
    assert (document["apiVersion"], document["kind"]) == ("nais.io/v1alpha1", "Application")
    assert document["metadata"]["labels"]["team"] == document["metadata"]["namespace"]


def test_each_field_is_known_and_has_the_right_type() -> None:
    """`prometheus.port` is text on the platform, the probes' ports are numbers."""
    assert misfits(app()["spec"], SPEC) == []
    assert misfits({"port": "8080", "ports": 1}, SPEC) == ["spec.port", "spec.ports"]


def test_the_platform_is_asked_for_an_elector_and_two_pods() -> None:
    """One to lead, and one to take over."""
    spec = app()["spec"]
    assert spec["leaderElection"] is True
    assert spec["replicas"]["min"] >= 2
    assert spec["replicas"]["max"] >= spec["replicas"]["min"]


def test_the_images_entrypoint_is_kept() -> None:
    """A command here would replace leaderexec."""
    assert "command" not in app()["spec"]


def test_the_graces_fit() -> None:
    """The pod's time covers the hook, the grace, the KILL and a margin; commands never overlap."""
    spec = app()["spec"]
    settings = configured(["leaderexec", "--", "true"], {"ELECTOR_PATH": "x:1"} | environment(spec))
    before = float(spec["preStopHook"]["exec"]["command"][1])
    given = spec["terminationGracePeriodSeconds"]
    assert before + settings.grace + KILL_PATIENCE < given <= LONGEST_GRACE
    assert settings.takeover_delay >= settings.grace_lost + 1


def test_no_probe_depends_on_leadership() -> None:
    """A standby is alive and ready; the ports are leaderexec's."""
    spec = app()["spec"]
    assert spec["liveness"]["path"] == "/livez"
    assert spec["readiness"]["path"] == "/readyz"
    port = environment(spec)["LEADEREXEC_HTTP"].rpartition(":")[2]
    assert {
        str(spec["port"]),
        str(spec["liveness"]["port"]),
        str(spec["readiness"]["port"]),
        spec["prometheus"]["port"],
    } == {port}
