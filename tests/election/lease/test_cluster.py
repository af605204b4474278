"""Where the API server is, how we authenticate, and that TLS is verified."""

import base64
import json
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from apiserver import ApiServer
from support import LEADEREXEC, Wrapper, wait_for

from leaderexec.election.complaints import Trouble
from leaderexec.election.lease import cluster
from leaderexec.election.lease.answers import pause_of, role
from leaderexec.election.lease.client import Leases
from leaderexec.election.lease.cluster import Cluster, NoCluster, find
from leaderexec.election.lease.record import Name

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., Wrapper]
NAME = Name("default", "demo")
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl")


def kubeconfig(folder: Path, *, yaml: bool = False, **parts: Any) -> str:
    """Write a kubeconfig; `parts` are added to its cluster, its user and its context."""
    whole = {
        "current-context": "c",
        "contexts": [
            {"name": "other", "context": {"cluster": "x"}},
            {"name": "c", "context": {"cluster": "k", "user": "u", **parts.get("context", {})}},
        ],
        "clusters": [
            {"name": "k", "cluster": {"server": "https://h:6443/x/", **parts.get("cluster", {})}}
        ],
        "users": [{"name": "u", "user": parts.get("user", {})}],
    }
    path = folder / "config"
    text = json.dumps(whole, indent=2)
    path.write_text(f"# YAML has comments.\n{text}" if yaml else text)
    return str(path)


@pytest.mark.parametrize("yaml", [False, True])
def test_a_kubeconfig_provides_the_address_and_the_credentials(tmp_path: Path, yaml: bool) -> None:
    """As JSON or as YAML; by its current context."""
    path = kubeconfig(tmp_path, yaml=yaml, context={"namespace": "team"}, user={"token": "t"})
    found = find(None, path, {})
    assert (found.host, found.port, found.path, found.namespace) == ("h", 6443, "/x", "team")
    assert found.token() == "t"
    assert found.tls is not None


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("user", "exec", {"command": "aws"}),
        ("user", "auth-provider", {"name": "gcp"}),
        ("user", "password", "p"),
        ("cluster", "insecure-skip-tls-verify", True),
        ("cluster", "proxy-url", "http://proxy"),
    ],
)
def test_unsupported_fields_are_refused_with_a_way_out(
    tmp_path: Path, part: str, key: str, value: object
) -> None:
    """It is named as it is in the file."""
    path = kubeconfig(tmp_path, yaml=False, **{part: {key: value}})
    with pytest.raises(NoCluster, match=f"{key} is .*(; use|; set)"):
        find(None, path, {})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "a: b: c",
        "{}",
        '{"current-context": "c"}',
        '{"current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "k"}}]}',
        """{"current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "k"}}],
        "clusters": [{"name": "k", "cluster": {"server": "http://x/\\u00e4"}}]}""",
    ],
)
def test_a_broken_kubeconfig_is_refused(tmp_path: Path, text: str) -> None:
    """With its path."""
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(NoCluster, match=str(path)):
        find(None, str(path), {})


def test_a_missing_kubeconfig_is_named() -> None:
    """So is one without read permission."""
    with pytest.raises(NoCluster, match="/none"):
        find(None, "/none", {})


def test_half_a_client_certificate_is_refused(tmp_path: Path) -> None:
    """It needs its key."""
    path = kubeconfig(tmp_path, user={"client-certificate": "cert.pem"})
    with pytest.raises(NoCluster, match="must be set together"):
        find(None, path, {})


def test_outside_a_pod_the_ways_out_are_named() -> None:
    """With their options."""
    with pytest.raises(NoCluster, match=r"--kubeconfig PATH or --api-server URL"):
        find(None, None, {})


@pytest.mark.parametrize("host", ["10.0.0.1", "fd00::1"])
def test_in_a_pod_everything_is_found_without_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """The token is read each time, since the kubelet replaces it."""
    monkeypatch.setattr(cluster, "ACCOUNT", str(tmp_path))
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"}
    with pytest.raises(NoCluster, match="automountServiceAccountToken"):
        find(None, None, environ)
    for name, text in (("token", "one\n"), ("ca.crt", ""), ("namespace", "team")):
        (tmp_path / name).write_text(text)
    found = find(None, None, environ)
    assert (found.host, found.port, found.namespace) == (host, 443, "team")
    assert found.token() == "one"
    (tmp_path / "token").write_text("two\n")
    assert found.token() == "two"


def test_the_printed_role_is_valid() -> None:
    """In YAML, on one line."""
    import yaml

    found = yaml.safe_load(role(Name("team", "0")))
    assert "\n" not in role(NAME)
    assert found["metadata"] == {"name": "0-leaderexec", "namespace": "team"}
    named, any_name = found["rules"]
    assert (named["resourceNames"], named["verbs"]) == (["0"], ["get", "update", "watch"])
    assert any_name["verbs"] == ["create"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("3", 3.0), ("9999", 60.0), ("soon", 0.0), ("-1", 0.0), ("", 0.0)]
)
def test_a_requested_pause_is_respected_within_reason(text: str, seconds: float) -> None:
    """From Retry-After, in seconds."""
    assert pause_of({"Retry-After": text}) == seconds


def test_no_request_outlasts_its_deadline() -> None:
    """Whichever side hangs."""
    with ApiServer() as api:
        api.hang()
        leases = Leases(find(api.url, None, {}), NAME)
        with pytest.raises(Trouble) as caught:
            leases.get(0.2)
        leases.close()
    assert caught.value.kind == "timeout"


def test_a_rotated_token_is_read_again(leaderexec: Start, tmp_path: Path) -> None:
    """The old one is refused from then on."""
    (tmp_path / "token").write_text("one")
    with ApiServer(token="one") as api:  # noqa: S106 - a test's
        api.add("demo")
        path = kubeconfig(tmp_path, cluster={"server": api.url}, user={"tokenFile": "token"})
        wrapper = leaderexec("--lease", "demo", "--kubeconfig", path, "--", "sleep", "100")
        wrapper.log("command started")
        (tmp_path / "token").write_text("two")
        api.token = "two"  # noqa: S105 - a test's
        version = api.leases.version
        wait_for(lambda: api.leases.version >= version + 2)
        assert not wrapper.events("command ended")
        wrapper.close()


def test_the_token_is_shown_nowhere_and_is_not_in_the_commands_environment(
    leaderexec: Start, run: Run, tmp_path: Path
) -> None:
    """Not in the log, an answer or --check; nor when it is refused."""
    token = tmp_path / "token"
    token.write_text("secret-of-a-test")
    with ApiServer(token=token.read_text()) as api:
        api.add("demo")
        path = kubeconfig(tmp_path, cluster={"server": api.url}, user={"tokenFile": "token"})
        own = ("--lease", "demo", "--kubeconfig", path)
        wrapper = leaderexec(*own, "--http", "127.0.0.1:0", "--", "sleep", "100")
        command = Path(f"/proc/{wrapper.command_pid()}/environ").read_bytes()
        address = wrapper.log("http listening")["address"]
        said = [
            run(LEADEREXEC, *own, "--check", "--", "true"),
            run(LEADEREXEC, *own, "--is-leader"),
            run(LEADEREXEC, "--status", "--http", str(address)),
            run(LEADEREXEC, "--status", "--json", "--http", str(address)),
        ]
        token.write_text("secret-of-a-test-too")
        refused = run(LEADEREXEC, *own, "--check", "--", "true")
        wrapper.close()
    assert [one.returncode for one in said] == [0, 0, 0, 0]
    assert refused.returncode
    shown = [wrapper.lines, wrapper.plain, [one.stdout + one.stderr for one in (*said, refused)]]
    assert "secret-of-a-test" not in json.dumps(shown)
    assert b"secret-of-a-test" not in command


@pytest.fixture
def certified(tmp_path: Path) -> Iterator[ApiServer]:
    """An API server with TLS and a self-signed certificate for 127.0.0.1."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    context.load_verify_locations(tmp_path / "cert.pem")
    context.verify_mode = ssl.CERT_OPTIONAL
    with ApiServer(context=context) as api:
        api.add("demo")
        yield api


def asked(found: Cluster) -> str:
    """Return who holds the Lease, or the kind of trouble."""
    leases = Leases(found, NAME)
    try:
        lease = leases.get(5)
    except Trouble as trouble:
        return trouble.kind
    finally:
        leases.close()
    return "none" if lease is None else f"holder {lease.holder!r}"


@needs_openssl
def test_tls_is_verified_with_the_given_authority(certified: ApiServer, tmp_path: Path) -> None:
    """As a path or as data, with a client certificate from memory; never without an authority."""
    certificate = base64.b64encode((tmp_path / "cert.pem").read_bytes()).decode()
    key = base64.b64encode((tmp_path / "key.pem").read_bytes()).decode()
    server = {"server": certified.url}
    by_path = kubeconfig(tmp_path, cluster={**server, "certificate-authority": "cert.pem"})
    assert asked(find(None, by_path, {})) == "holder ''"
    by_data = kubeconfig(
        tmp_path,
        cluster={**server, "certificate-authority-data": certificate},
        user={"client-certificate-data": certificate, "client-key-data": key},
    )
    assert asked(find(None, by_data, {})) == "holder ''"
    wrong_name = {"certificate-authority": "cert.pem", "tls-server-name": "another"}
    assert asked(find(None, kubeconfig(tmp_path, cluster={**server, **wrong_name}), {})) == "tls"
    assert asked(find(None, kubeconfig(tmp_path, cluster=server), {})) == "tls"
    assert asked(find(certified.url, None, {})) == "tls"


@needs_openssl
def test_over_tls_it_leads_and_watches(
    certified: ApiServer, tmp_path: Path, leaderexec: Start
) -> None:
    """No proxy from the environment is used."""
    path = kubeconfig(
        tmp_path, cluster={"server": certified.url, "certificate-authority": "cert.pem"}
    )
    env = {"KUBECONFIG": path, "HTTPS_PROXY": "http://127.0.0.1:1", "SSL_CERT_FILE": "/none"}
    first = leaderexec("--lease", "demo", "--", "sleep", "100", env=env)
    first.log("command started")
    second = leaderexec("--lease", "demo", "--", "sleep", "100", env=env)
    second.log("leadership confirmed")
    first.close()
    second.log("command started")
    second.close()
    assert not second.events("lease trouble")
