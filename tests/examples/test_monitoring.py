"""The alerts and the dashboard only use what /metrics has."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import yaml
from apiserver import ApiServer
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client.parser import text_string_to_metric_families
from support import Wrapper

from leaderexec.config.options import listen_address
from leaderexec_elector.running import RunningElector

FOLDER = Path(__file__).parents[2] / "examples" / "monitoring"
# In PromQL, text in quotation marks or braces is labels.
_NAME = re.compile(r"\bleaderexec_[a-z_]+")


def rules() -> list[dict[str, Any]]:
    """Return the alert rules."""
    manifest = yaml.safe_load((FOLDER / "prometheus-rules.yaml").read_text())
    assert manifest["kind"] == "PrometheusRule"
    return [rule for group in manifest["spec"]["groups"] for rule in group["rules"]]


def board() -> dict[str, Any]:
    """Return the dashboard."""
    dashboard: dict[str, Any] = json.loads((FOLDER / "grafana-dashboard.json").read_text())
    return dashboard


def panels() -> list[dict[str, Any]]:
    """Return the dashboard's panels."""
    return list(board()["panels"])


def expressions() -> list[str]:
    """Return every PromQL expression in the examples."""
    shown = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [*shown, *(rule["expr"] for rule in rules())]


def scraped(port: int) -> dict[str, set[str]]:
    """Return the names that /metrics has, with the labels in use."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/metrics")
    body = connection.getresponse().read().decode()
    connection.close()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(body):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def all_metrics(leaderexec: Callable[..., Wrapper], elector: RunningElector) -> dict[str, set[str]]:
    """Let everything happen that is counted; return the names and their labels."""
    wrapper = leaderexec(
        *("--sse-url", elector.sse_url, "--identity", "app-a", "--poll-interval", "100ms"),
        *("--on-start", "false", "--http", "127.0.0.1:0", "--", "sleep", "600"),
    )
    port = listen_address(wrapper.log("http listening")["address"]).port
    elector.lead("app-a")
    wrapper.log("command started")
    running = scraped(port)
    warm = leaderexec(
        *("--election", "off", "--warm", "--on-change", "true"),
        *("--http", "127.0.0.1:0", "--", "sleep", "600"),
    )
    running |= scraped(listen_address(warm.log("http listening")["address"]).port)
    elector.lead("app-b")
    wrapper.log("command ended")
    elector.fault("refuse")
    wrapper.log("elector trouble")
    return running | scraped(port)


def metrics_of_slots(leaderexec: Callable[..., Wrapper], lock: Path) -> dict[str, set[str]]:
    """Return the same of a replica that holds a slot."""
    wrapper = leaderexec(
        *("--lock-file", str(lock), "--slots", "2", "--http", "127.0.0.1:0", "--", "sleep", "600")
    )
    wrapper.log("command started")
    return scraped(listen_address(wrapper.log("http listening")["address"]).port)


def test_every_metric_of_the_examples_exists(
    leaderexec: Callable[..., Wrapper], elector: RunningElector, tmp_path: Path
) -> None:
    """With the labels that they select and group by."""
    there = all_metrics(leaderexec, elector) | metrics_of_slots(leaderexec, tmp_path / "lock")
    for expression in expressions():
        names = _NAME.findall(expression)
        assert set(names) <= set(there), expression
        labels = {"job", "instance", "le"}.union(*(there[name] for name in names))
        grouped = [
            label.strip()
            for group in re.findall(r"(?:by|on) \(([^)]*)\)", expression)
            for label in group.split(",")
        ]
        selected = re.findall(r"[{,](\w+)=", expression)
        assert set(grouped + selected) <= labels, expression


def test_every_cause_and_role_of_the_examples_exists() -> None:
    """A label's value that never occurs is an alert that never fires."""
    from leaderexec.core.actions import Cause, Role

    for expression in expressions():
        for cause in re.findall(r'reason="([^"]+)"', expression):
            assert Cause(cause)
        for role in re.findall(r'(?:to|role)="([^"]+)"', expression):
            assert Role(role)


def test_every_alert_says_what_it_means_and_what_to_do() -> None:
    """It is read at 3 a.m."""
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]


def no_leader(at: str, samples: dict[str, str], *told: dict[str, str]) -> dict[str, Any]:
    """Return one of promtool's tests: the alerts at a moment, with one sample a minute."""
    (rule,) = (rule for rule in rules() if rule["alert"] == "LeaderexecNoLeader")
    expected = []
    for labels in told:
        texts = {
            name: text.replace("{{ $labels.job }}", labels.get("job", ""))
            for name, text in rule["annotations"].items()
        }
        expected.append({"exp_labels": rule["labels"] | labels, "exp_annotations": texts})
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in samples.items()],
        "alert_rule_test": [
            {"eval_time": at, "alertname": rule["alert"], "exp_alerts": expected},
        ],
    }


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed here")
def test_a_missing_leader_raises_an_alert_even_if_nothing_is_scraped(tmp_path: Path) -> None:
    """By Prometheus itself: once, for the job that is gone while others are fine."""
    first, second = (f'leaderexec_is_leader{{job="a",instance="{name}"}}' for name in "12")
    other = 'leaderexec_is_leader{job="b",instance="1"}'
    tests = [
        no_leader("10m", {first: "1x20", second: "0x20"}),
        no_leader("10m", {first: "0x20", second: "0x20"}, {"job": "a"}),
        no_leader("20m", {first: "1x5 stale", other: "1x60"}, {"job": "a"}),
        no_leader("20m", {first: "1x5 stale"}, {"job": "a"}),
        no_leader("25h", {first: "1x5 stale"}, {}),
        no_leader("10m", {'up{job="x"}': "1x20"}, {}),
    ]
    promtool(tmp_path, tests)


def of_slots(samples: dict[str, str], **told: dict[str, str]) -> dict[str, Any]:
    """Return one of promtool's tests: what the alerts on slots tell of, after ten minutes."""
    alerts = []
    for rule in rules():
        if rule["alert"] not in ("LeaderexecTwoLeaders", "LeaderexecSlotFree"):
            continue
        found = []
        if (labels := told.get(rule["alert"])) is not None:
            value = labels.pop("value")
            texts = {
                name: text.replace("{{ $labels.job }}", "a").replace("{{ $value }}", value)
                for name, text in rule["annotations"].items()
            }
            found = [{"exp_labels": rule["labels"] | labels, "exp_annotations": texts}]
        alerts.append({"eval_time": "10m", "alertname": rule["alert"], "exp_alerts": found})
    series = [{"series": name, "values": values} for name, values in samples.items()]
    return {"interval": "1m", "input_series": series, "alert_rule_test": alerts}


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed here")
def test_several_leaders_are_told_of_only_where_they_share_a_slot(tmp_path: Path) -> None:
    """And a slot that nobody holds is, too."""

    def replicas(*slots: str | None, count: str = "2x20") -> dict[str, str]:
        found = {}
        for number, slot in enumerate(slots):
            labels = f'{{job="a",instance="{number}"}}'
            found[f"leaderexec_is_leader{labels}"] = "0x20" if slot is None else "1x20"
            found[f"leaderexec_slots{labels}"] = count
            if slot is not None:
                found[f"leaderexec_slot{labels}"] = f"{slot}x20"
        return found

    plain = {f'leaderexec_is_leader{{job="a",instance="{one}"}}': "1x20" for one in "12"}
    both = {"job": "a", "slot": "1", "value": "2"}
    promtool(
        tmp_path,
        [
            of_slots(replicas("0", "1", None)),
            of_slots(replicas("1", "1"), LeaderexecTwoLeaders=both),
            of_slots(replicas("1", None), LeaderexecSlotFree={"job": "a", "value": "1"}),
            of_slots(plain, LeaderexecTwoLeaders={"job": "a", "value": "2"}),
        ],
    )


def promtool(tmp_path: Path, tests: list[dict[str, Any]]) -> None:
    """Let Prometheus itself test the rules."""
    manifest = yaml.safe_load((FOLDER / "prometheus-rules.yaml").read_text())
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(manifest["spec"]))
    told = {"rule_files": ["rules.yaml"], "tests": tests}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(told))
    result = subprocess.run(
        ["promtool", "test", "rules", "test.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def trouble(at: str, part: str, kind: str, values: str, *alerts: str) -> list[dict[str, Any]]:
    """Return promtool's test of which alerts a count of a Lease's failures raises."""
    series = {"instance": "a", "part": part, "kind": kind}
    words = ",".join(f'{name}="{value}"' for name, value in series.items())
    tests = []
    for rule in rules():
        if rule["alert"] not in ("LeaderexecNotPermitted", "LeaderexecRenewalsFailing"):
            continue
        texts = {
            name: text.replace("{{ $labels.instance }}", "a").replace("{{ $labels.kind }}", kind)
            for name, text in rule["annotations"].items()
        }
        told = {"exp_labels": rule["labels"] | series, "exp_annotations": texts}
        expected = [told] if rule["alert"] in alerts else []
        tests.append({"eval_time": at, "alertname": rule["alert"], "exp_alerts": expected})
    failures = {"series": f"leaderexec_election_failures_total{{{words}}}", "values": values}
    return [{"interval": "1m", "input_series": [failures], "alert_rule_test": tests}]


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed here")
def test_a_lease_that_is_refused_or_not_renewed_raises_an_alert(tmp_path: Path) -> None:
    """A watch without permission is no failure, nor is one late renewal."""
    both = ("LeaderexecNotPermitted", "LeaderexecRenewalsFailing")
    tests = [
        *trouble("10m", "writes", "forbidden", "0+5x20", *both),
        *trouble("10m", "reads", "unauthorized", "0+5x20", both[0]),
        *trouble("10m", "writes", "timeout", "0+5x20", both[1]),
        *trouble("10m", "writes", "timeout", "0x7 1x20"),
        *trouble("10m", "watch", "forbidden", "0+5x20"),
        *trouble("20m", "writes", "forbidden", "0+5x5 25x20"),
    ]
    promtool(tmp_path, tests)


def test_the_parts_and_kinds_in_the_leases_alerts_are_those_that_are_counted(
    leaderexec: Callable[..., Wrapper],
) -> None:
    """When writing is refused, and when reading is refused."""
    with ApiServer() as server:
        server.add()
        server.fail(403, "PUT")
        wrapper = leaderexec(
            *("--lease", "demo", "--api-server", server.url, "--http", "127.0.0.1:0"),
            *("--", "sleep", "600"),
        )
        port = listen_address(wrapper.log("http listening")["address"]).port
        wrapper.log("lease trouble", part="writes", kind="forbidden")
        server.fail(401, "GET", "WATCH")
        server.cut_watches()
        wrapper.log("lease trouble", part="reads", kind="unauthorized")
        assert "leaderexec_election_failures_total" in scraped(port)


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed here")
def test_that_no_standby_waits_warm_is_told(tmp_path: Path) -> None:
    """The leader is none; a job without --warm has no such metric."""
    (rule,) = (rule for rule in rules() if rule["alert"] == "LeaderexecNoWarmStandby")
    texts = {
        name: text.replace("{{ $labels.job }}", "a") for name, text in rule["annotations"].items()
    }
    told = {"exp_labels": rule["labels"] | {"job": "a"}, "exp_annotations": texts}
    series = [f'leaderexec_command_warm{{job="a",instance="{name}"}}' for name in "12"]
    other = 'leaderexec_is_leader{job="b",instance="1"}'
    promtool(
        tmp_path,
        [
            {
                "interval": "1m",
                "input_series": [
                    {"series": name, "values": values}
                    for name, values in zip(
                        (*series, other), ("0x40", standby, "1x40"), strict=True
                    )
                ],
                "alert_rule_test": [
                    {"eval_time": "30m", "alertname": rule["alert"], "exp_alerts": expected}
                ],
            }
            for standby, expected in (("1x40", []), ("0x40", [told]), ("1x15 0x25", [told]))
        ],
    )


def unknown_to_grafana(dashboard: dict[str, Any]) -> list[str]:
    """Return where a dashboard has what Grafana's own models of it, made from its schema, do not
    keep as it is."""
    register_default_plugins()
    read = Dashboard.from_json(json.loads(json.dumps(dashboard)))
    return list(_lost(dashboard, json.loads(JSONEncoder().encode(read)), "board"))


def _lost(before: Any, after: Any, place: str) -> Iterator[str]:
    match before, after:
        case dict(), dict():
            for name, value in before.items():
                yield from _lost(value, after.get(name), f"{place}.{name}")
        case list(), list() if len(before) == len(after):
            for number, pair in enumerate(zip(before, after, strict=True)):
                yield from _lost(*pair, f"{place}[{number}]")
        case _ if before != after:
            yield place


def test_grafana_knows_all_that_the_dashboard_has() -> None:
    """Each panel, query and option, by its schema."""
    assert unknown_to_grafana(board()) == []


def test_what_grafana_does_not_know_is_detected() -> None:
    """In a query of a panel, for example."""
    dashboard = board()
    dashboard["panels"][0]["targets"][0]["expression"] = "up"
    dashboard["tittle"] = "A slip"
    found = ["board.panels[0].targets[0].expression", "board.tittle"]
    assert sorted(unknown_to_grafana(dashboard)) == found


def test_the_panels_do_not_overlap() -> None:
    """The grid has 24 columns."""
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
