"""What this kind of election declares: its options, its sums, its identity."""

import base64
import json
from pathlib import Path

import pytest

from leaderexec.config.options import UsageError
from leaderexec.config.settings import Config, load, settle
from leaderexec.election import identity, kind_called
from leaderexec.election.lease.kind import LeaseSettings


def config(environ: dict[str, str] | None = None, **given: str) -> Config:
    """Return the configuration from these options."""
    words = {"lease": "demo"} | {name.replace("_", "-"): text for name, text in given.items()}
    return load(words, ("true",), environ or {}, "host")


def refusal(**given: str) -> str:
    """Return why these options are refused."""
    with pytest.raises(UsageError) as caught:
        config(None, **given)
    return str(caught.value)


def test_by_default_the_old_command_is_gone_before_another_replica_takes_over() -> None:
    """Whatever fails: 10 + 10 + 1 is less than 22."""
    ours = config()
    assert ours.lease_duration >= ours.renew_deadline + ours.grace_lost + 1
    assert ours.takeover_delay == 0.0


def test_times_that_do_not_fit_together_are_refused_with_the_sum() -> None:
    """Each term with its option's name."""
    said = refusal(grace_lost="12s")
    for part in ("22s", "23s = 10s (--renew-deadline) + 12s (--grace-lost) + 1s", "23s"):
        assert part in said
    assert config(grace_lost="12s", lease_duration="23s").lease_duration == 23.0


def test_a_deadline_without_room_for_a_second_try_is_refused() -> None:
    """As client-go does."""
    assert "1.2 x --retry-period (9s)" in refusal(retry_period="9s")
    assert config(retry_period="8s").retry_period == 8.0


@pytest.mark.parametrize("name", ["My-Worker", "a_b", "-a", "a.", "", "a/b/c", "NS/a", "a" * 254])
def test_a_name_that_the_api_server_would_refuse_is_refused_at_once(name: str) -> None:
    """By RFC 1123."""
    assert "RFC 1123" in refusal(lease=name)


@pytest.mark.parametrize("name", ["demo", "my-worker.v2", "team-a/my-worker", "0"])
def test_good_names_are_accepted(name: str) -> None:
    """With a namespace or without."""
    assert config(lease=name).of(LeaseSettings).lease == name


def test_a_duration_has_whole_seconds() -> None:
    """The field is an integer."""
    assert "whole seconds" in refusal(lease_duration="22500ms")


def test_kubeconfig_never_chooses_the_kind() -> None:
    """Nor does it affect any other kind."""
    environ = {"KUBECONFIG": "/k"}
    with pytest.raises(UsageError, match="no kind of election is set"):
        settle({}, environ, "host")
    assert config(environ).kubeconfig == "/k"
    assert config(environ, kubeconfig="/other").kubeconfig == "/other"
    assert config(environ, api_server="http://h:1").kubeconfig is None
    assert settle({"lock-file": "l"}, environ, "host")["kubeconfig"].value is None


def test_several_kubeconfigs_are_refused() -> None:
    """They would have to be merged."""
    with pytest.raises(UsageError, match="several"):
        config({"KUBECONFIG": "/a:/b"})


def test_leadership_ends_at_the_renew_deadline() -> None:
    """By the core itself, however the source's threads hang."""
    contact = config(renew_deadline="9s").policy.contact
    assert contact.timeout == 9.0
    assert not contact.open_stream_counts


def test_overlaps_that_no_election_can_prevent_are_never_stated_as_none() -> None:
    """A frozen holder, and a holder that is written by hand."""
    ours = config()
    found = {one.cause: one.seconds for one in ours.kind.overlaps(ours)}
    assert found == {"lease-edited": 12.0, "frozen-holder": None}


def test_two_processes_never_have_one_name_by_default() -> None:
    """Not even on one host."""
    kind = kind_called("lease")
    names = {kind.own_name("host", 1).value for _ in range(3)}
    assert len(names) == 3
    assert all(str(name).startswith("host_") for name in names)


def token(claims: object) -> str:
    """Return an unsigned token with these claims."""
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256"}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + ".s"


def test_in_a_pod_the_token_identifies_the_pod(tmp_path: Path) -> None:
    """So the name stays when the container is restarted."""
    path = tmp_path / "token"
    path.write_text(token({"kubernetes.io": {"pod": {"uid": "0c1f"}}}))
    assert identity.pod_uid(str(path)) == "0c1f"
    assert identity.pod_name("other", "host", str(path)) == "other"
    path.write_text(token({"kubernetes.io": {"pod": {"uid": "0c1f", "name": "worker-x"}}}))
    assert identity.pod_name("other", "host", str(path)) == "worker-x"


MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 22 254:0 /var/lib/kubelet/pods/0c1f/etc-hosts /etc/hosts rw,relatime - ext4 /dev/vda rw
41 22 254:0 /lib/kubelet/pods/0c1f/containers/worker/1a2b /dev/termination-log rw - ext4 /dev/vda rw
"""


def test_the_first_process_of_a_container_knows_the_containers_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the location of its termination message file on the node."""
    account, mounts = tmp_path / "token", tmp_path / "mountinfo"
    account.write_text(token({"kubernetes.io": {"pod": {"uid": "0c1f"}}}))
    mounts.write_text(MOUNTS)
    assert identity.container(str(account), str(mounts)) == ""
    monkeypatch.setattr("os.getpid", lambda: 1)
    assert identity.container(str(account), str(mounts)) == "0c1f/worker"
    for text in ("", MOUNTS.replace("0c1f", "beef"), MOUNTS + MOUNTS.replace("worker", "sidecar")):
        mounts.write_text(text)
        assert identity.container(str(account), str(mounts)) == ""
    assert identity.container(str(account), str(tmp_path / "none")) == ""
    assert identity.container(str(tmp_path / "none"), str(mounts)) == ""


@pytest.mark.parametrize(
    "text", ["", "a", "a.b.c", "a.!.c", token([]), token({"kubernetes.io": {"pod": {"uid": 7}}})]
)
def test_a_token_without_a_pod_is_accepted(tmp_path: Path, text: str) -> None:
    """A nonce makes the name unique then."""
    path = tmp_path / "token"
    path.write_text(text)
    assert identity.pod_uid(str(path)) is None
    assert identity.pod_uid(str(tmp_path / "none")) is None


def test_by_default_a_query_cannot_tell_which_replica_of_this_host_is_meant() -> None:
    """A query has another nonce than any of them; guessing could run a job never, or
    twice."""
    asking = str(identity.own_name("host", 4711).value)
    assert identity.is_ours("host_0a1b2c3d", asking, was_named=False) is None
    assert identity.is_ours("other_0a1b2c3d", asking, was_named=False) is False
    assert identity.is_ours("host_0a1b2c3d", "host_0a1b2c3d", was_named=True) is True
