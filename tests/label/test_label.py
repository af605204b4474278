"""The installed program labels its own Pod on a fake API server; and the thread by itself."""

import json
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest
import yaml
from apiserver import ApiServer
from support import LEADEREXEC, Wrapper, wait_for

from leaderexec.config.options import Label
from leaderexec.core.actions import Cause, Job
from leaderexec.core.lifecycle import State
from leaderexec.core.record import replace
from leaderexec.core.run import Run, Stage
from leaderexec.election.complaints import Trouble
from leaderexec.label import service
from leaderexec.label.pod import MARK, Conflict, Pod, Seen

Start = Callable[..., Wrapper]
Run_ = Callable[..., subprocess.CompletedProcess[str]]
LABEL = ("--leader-label", "role=leader")
ON = {"app": "worker", "role": "leader"}
OFF = {"app": "worker"}
# Prints when TERM arrives, and then exits.
WORKER = ("--", "sh", "-c", "trap 'echo TERM; exit' TERM; echo up; while :; do sleep 0.02; done")


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """An API server with a free Lease, and a Pod."""
    with ApiServer() as server:
        server.add("demo")
        server.add_pod("a", app="worker")
        yield server


def replica(leaderexec: Start, api: ApiServer, *more: str) -> Wrapper:
    """Start the replica in that Pod."""
    words = ("--lease", "demo", "--api-server", api.url, "--identity", "a", *LABEL)
    return leaderexec(*words, *more, *WORKER)


def labelled(leaderexec: Start, api: ApiServer, *more: str) -> Wrapper:
    """Start it, and wait until its Pod has the label."""
    wrapper = replica(leaderexec, api, *more)
    wrapper.output("up")
    wait_for(lambda: api.labels("a") == ON)
    return wrapper


def at(line: dict[str, str]) -> float:
    """Return the time of a log line."""
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def test_the_label_is_removed_before_the_stop_signal_is_sent(
    leaderexec: Start, api: ApiServer
) -> None:
    """Unless the API server takes longer than a stop waits; the rest of the Pod is unchanged."""
    wrapper = labelled(leaderexec, api)
    wrapper.send(signal.SIGTERM)
    wrapper.output("TERM")
    was_gone = api.labels("a") == OFF
    assert wrapper.wait() == 0
    wrapper.join()
    took = at(wrapper.log("leader label removed")) - at(wrapper.log("transition", to="stopping"))
    assert was_gone or took > service.STOP_WAITS
    assert api.labels("a") == OFF


def test_a_hanging_api_server_delays_no_stop(leaderexec: Start, api: ApiServer) -> None:
    """It does not respond until the end of the test."""
    wrapper = labelled(leaderexec, api)
    api.hang("PATCH")
    wrapper.send(signal.SIGTERM)
    wrapper.output("TERM")
    assert wrapper.wait() == 0
    assert api.labels("a") == ON


def test_a_loss_removes_it(leaderexec: Start, api: ApiServer) -> None:
    """A new term sets it again."""
    wrapper = labelled(leaderexec, api)
    api.edit(holderIdentity="x", leaseDurationSeconds=1)
    wrapper.log("leader label removed")
    wrapper.log("leader label set", count=2)
    assert api.labels("a") == ON


def test_a_label_left_by_a_former_life_is_removed_at_the_start(
    leaderexec: Start, api: ApiServer
) -> None:
    """By a replica that does not lead."""
    first = labelled(leaderexec, api)
    first.send(signal.SIGKILL)
    first.wait()
    api.edit(holderIdentity="x", leaseDurationSeconds=600)
    second = replica(leaderexec, api)
    second.log("leader label removed")
    assert api.labels("a") == OFF
    assert not second.events("command started")


def test_the_next_leader_removes_the_label_of_a_lost_one(leaderexec: Start, api: ApiServer) -> None:
    """Only that of this election, with a smaller fence; no other Pod's."""
    marks = {
        "lost": "set 2026-11-27T01:02:03.000004Z default/demo 7",
        "later": "set 2026-11-27T01:02:03.000004Z default/demo 99999999",
        "other": "set 2026-11-27T01:02:03.000004Z default/other 7",
        "by-elector": "set 2026-11-27T01:02:03.000004Z",
        "by-hand": None,
    }
    for name, mark in marks.items():
        api.add_pod(name, role="leader")
        if mark is not None:
            api.pods[name]["metadata"]["annotations"] = {MARK: mark}
    api.fail(409, "PATCH", times=1)
    wrapper = labelled(leaderexec, api)
    wrapper.log("leader label removed", pod="lost")
    assert [name for name in marks if api.labels(name) == {"role": "leader"}] == list(marks)[1:]
    assert len(wrapper.events("leader label removed")) == 1


def test_a_label_from_the_template_is_not_touched(leaderexec: Start, api: ApiServer) -> None:
    """A Deployment may select by it."""
    api.add_pod("a", role="worker")
    wrapper = replica(leaderexec, api)
    wrapper.output("up")
    wrapper.log("label trouble", kind="label-not-ours")
    assert api.labels("a") == {"role": "worker"}


def test_a_missing_right_is_logged_once_with_the_role_and_shown(
    leaderexec: Start, api: ApiServer
) -> None:
    """The command runs regardless, and the label is set once the right is granted."""
    api.fail(403, "PATCH")
    wrapper = replica(leaderexec, api, "--http", "127.0.0.1:0")
    remedy = wrapper.log("label trouble", kind="forbidden")["remedy"]
    role = yaml.safe_load(remedy[remedy.index("{") :])
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "patch"]}
    ]
    wrapper.output("up")
    url = f"http://{wrapper.log('http listening')['address']}/status"

    def shown() -> dict[str, object]:
        with urllib.request.urlopen(url) as answer:
            found: dict[str, object] = json.load(answer)["leader_label"]
            return found

    wait_for(lambda: shown()["error"] is not None)
    error = str(shown().pop("error"))
    assert "403" in error
    assert shown() | {"error": ""} == {
        "label": "role=leader",
        "pod": "a",
        "wanted": True,
        "set": False,
        "error": "",
    }
    assert len(wrapper.events("label trouble", kind="forbidden")) == 1


def test_an_unknown_pod_is_logged(leaderexec: Start, api: ApiServer) -> None:
    """With how to name it."""
    api.pods.clear()
    wrapper = replica(leaderexec, api)
    assert "metadata.name" in wrapper.log("label trouble", kind="no-pod")["remedy"]


def test_check_says_which_rights_it_has(run: Run_, api: ApiServer) -> None:
    """With one line per right, and the Role if one is missing."""
    words = ("--lease", "demo", "--api-server", api.url, "--identity", "a", *LABEL, "--check")
    result = run(LEADEREXEC, *words)
    assert result.returncode == 0
    assert result.stdout.count("the pod default/a: yes") == 2
    api.denied.add("list pods")
    result = run(LEADEREXEC, *words)
    assert result.returncode == 0
    assert "right to list the pods in default: no" in result.stdout
    api.denied.add("patch pods")
    result = run(LEADEREXEC, *words)
    assert result.returncode == 125
    assert "right to patch the pod default/a: no" in result.stdout
    (line,) = (line for line in result.stdout.splitlines() if line.startswith("the Role"))
    assert yaml.safe_load(line.partition("kubectl apply -f -: ")[2])["kind"] == "Role"
    api.fail(403, "REVIEW")
    assert "rights for the pod default/a: unknown" in run(LEADEREXEC, *words).stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--lock-file", "l"), "--election file asks no Kubernetes API server"),
        (("--get-url", "http://localhost:1/"), "no API server is known"),
    ],
)
def test_without_a_pod_it_is_refused(run: Run_, words: tuple[str, ...], told: str) -> None:
    """Before anything is started."""
    result = run(LEADEREXEC, *words, *LABEL, "--", "true")
    assert result.returncode == 125
    assert told in result.stderr
    assert "--leader-label" in result.stderr


class FakePod(Pod):
    """A Pod whose responses the test controls."""

    def __init__(self) -> None:
        self.name = "a"
        self.version = 1
        self.answers = threading.Semaphore(0)
        self.failures: list[Exception] = []
        self.writes: list[bool] = []
        self.changed = 0

    def read(self, seconds: float) -> Seen:
        """Respond at once."""
        del seconds
        return Seen(str(self.version), is_on=bool(self.writes) and self.writes[-1])

    def write(
        self, version: str, moment: str, fence: int | None, seconds: float, *, on: bool
    ) -> Seen:
        """Respond when the test allows it."""
        del version, moment, fence, seconds
        self.answers.acquire()
        if self.failures:
            raise self.failures.pop(0)
        self.version += 1
        self.writes.append(on)
        return Seen(str(self.version), on)

    def clear_others(self, moment: str, fence: int | None, seconds: float) -> list[str]:
        """Find none."""
        del moment, fence, seconds
        if self.changed:
            self.changed -= 1
            raise Conflict
        return []

    def close(self) -> None:
        """Do nothing."""


class Lines:
    """A log that drops everything."""

    def info(self, *_: object, **__: object) -> None:
        """Do nothing."""

    warning = info


RUNNING = State(run=Run(Job.COMMAND, 1.0))
STOPPING = replace(RUNNING, run=Run(Job.COMMAND, 1.0, stage=Stage.STOPPING))


@pytest.fixture
def label(monkeypatch: pytest.MonkeyPatch) -> tuple[service.LeaderLabel, FakePod]:
    """The thread, whose Pod already has the label; a stop would wait for longer than this test."""
    monkeypatch.setattr(service, "STOP_WAITS", 600.0)
    pod = FakePod()
    ours = service.LeaderLabel(Label("role", "leader"), pod, Lines(), probed=False)  # type: ignore[arg-type]
    ours.start()
    ours.follow(RUNNING)
    pod.answers.release()
    wait_for(lambda: pod.writes == [True])
    return ours, pod


def test_after_a_loss_it_does_not_wait(
    label: tuple[service.LeaderLabel, FakePod],
) -> None:
    """The removal continues in the background."""
    ours, pod = label
    ours.before_stop(replace(STOPPING, cause=Cause.MOVED), 600.0)
    assert pod.writes == [True]
    pod.answers.release()
    wait_for(lambda: pod.writes == [True, False])


def test_a_stop_waits_no_longer_than_its_deadline_allows(
    label: tuple[service.LeaderLabel, FakePod],
) -> None:
    """KILL may be due, or the end of leadership."""
    ours, pod = label
    ours.before_stop(replace(STOPPING, cause=Cause.ORDERED), -1.0)
    assert pod.writes == [True]


def test_an_ordered_stop_waits_until_the_label_is_gone(
    label: tuple[service.LeaderLabel, FakePod],
) -> None:
    """Despite a conflict, and a response that was lost."""
    ours, pod = label
    pod.failures = [Conflict(), Trouble("timeout", "late", "")]
    for _ in range(3):
        pod.answers.release()
    ours.before_stop(replace(STOPPING, cause=Cause.ORDERED), 600.0)
    assert pod.writes == [True, False]
    ours.end()
    assert ours.shown()["set"] is False


def test_another_term_rewrites_it_and_looks_for_others_again(
    label: tuple[service.LeaderLabel, FakePod],
) -> None:
    """If one of them has changed in the meantime."""
    ours, pod = label
    pod.changed = 2
    ours.follow(replace(RUNNING, fence=7))
    pod.answers.release()
    wait_for(lambda: pod.writes == [True, True] and pod.changed == 0)


def test_a_bug_does_not_end_the_thread(
    label: tuple[service.LeaderLabel, FakePod], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it reach the command."""
    monkeypatch.setattr(service, "_FORBIDDEN_AGAIN", 0.0)
    ours, pod = label
    pod.failures = [ValueError("bug")]
    pod.answers.release(2)
    ours.before_stop(replace(STOPPING, cause=Cause.UNHEALTHY), 600.0)
    assert pod.writes == [True, False]


def test_the_mark_is_in_the_pod(leaderexec: Start, api: ApiServer) -> None:
    """It distinguishes our label from the template's."""
    labelled(leaderexec, api)
    word, _, election, fence = api.pod("a")["metadata"]["annotations"][MARK].split()
    assert (word, election) == ("set", "default/demo")
    assert int(fence) > 1000
