"""The API server and our credentials: in a pod, from a kubeconfig, or by a URL.

TLS is always verified, and no proxy is ever used. A token is read again for each request: the
kubelet replaces the file before the old token expires.
"""

import base64
import json
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl

# Where the kubelet mounts the service account.
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
DEFAULT_NAMESPACE = "default"
_PORTS = {"http": 80, "https": 443}
_MOST = 1 << 20


class NoCluster(Exception):
    """No API server can be used; the message says why and what to do."""


class Cluster(NamedTuple):
    """An API server. `path` is the prefix of every path; `tls` creates the context, None for plain
    HTTP; `token` returns the current bearer token."""

    host: str
    port: int
    path: str
    server_name: str
    tls: "Callable[[], ssl.SSLContext] | None"
    token: Callable[[], str | None]
    namespace: str
    where: str


def find(api_server: str | None, kubeconfig: str | None, environ: Mapping[str, str]) -> Cluster:
    """Return the API server: at the URL, else of the kubeconfig, else of this pod. Raises
    NoCluster."""
    if api_server is not None:
        return _at(api_server, api_server, None, _no_token, _own_namespace())
    if kubeconfig is not None:
        return _of_kubeconfig(kubeconfig)
    return _of_pod(environ)


def _at(
    url: str,
    where: str,
    trust: "Callable[[], ssl.SSLContext] | None",
    token: Callable[[], str | None],
    namespace: str,
    server_name: str = "",
) -> Cluster:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise NoCluster(f"{where}: the server {url!r} is not a URL: {error}") from None
    can_be_sent = url.isascii() and url.isprintable()
    if (
        not can_be_sent
        or parts.scheme not in _PORTS
        or not parts.hostname
        or parts.username is not None
    ):
        raise NoCluster(
            f"{where}: the server is {url!r}; allowed: an http:// or https:// URL with a host"
        )
    tls = None if parts.scheme == "http" else (trust or _context)
    return Cluster(
        parts.hostname,
        port or _PORTS[parts.scheme],
        parts.path.rstrip("/"),
        server_name or parts.hostname,
        tls,
        token,
        namespace,
        where,
    )


def _of_pod(environ: Mapping[str, str]) -> Cluster:
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise NoCluster(
            "no API server is known: KUBERNETES_SERVICE_HOST and _PORT are not set, so this is not"
            " a pod; set --kubeconfig PATH or --api-server URL"
        )
    for name in ("token", "ca.crt"):
        if not os.path.exists(f"{ACCOUNT}/{name}"):
            raise NoCluster(
                f"there is no {ACCOUNT}/{name}; let the pod mount its service account's token"
                " (automountServiceAccountToken: true, or a projected volume)"
            )
    url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    trust = _trusting(ca_file=f"{ACCOUNT}/ca.crt")
    return _at(url, "this pod", trust, lambda: _read(f"{ACCOUNT}/token"), _own_namespace())


def _own_namespace() -> str:
    try:
        return _read(f"{ACCOUNT}/namespace") or DEFAULT_NAMESPACE
    except OSError:
        return DEFAULT_NAMESPACE


def _no_token() -> str | None:
    return None


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read(_MOST).strip()


def _of_kubeconfig(path: str) -> Cluster:
    folder = os.path.dirname(os.path.abspath(path))
    whole = _parsed(path)
    name = str(whole.get("current-context") or "")
    if not name:
        raise NoCluster(f"{path}: it has no current-context; kubectl config use-context NAME")
    context = _entry(path, whole, "context", name)
    cluster = _entry(path, whole, "cluster", str(context.get("cluster") or ""))
    user = _entry(path, whole, "user", str(context["user"])) if context.get("user") else {}
    for key, words in _REFUSED.items():
        if cluster.get(key) or user.get(key):
            raise NoCluster(f"{path}: {key} {words}")
    trust = _trusting(
        ca_file=_path(folder, cluster.get("certificate-authority")),
        ca=_decoded(path, cluster, "certificate-authority-data"),
        certificate=_pair(path, folder, user),
    )
    return _at(
        str(cluster.get("server") or ""),
        path,
        trust,
        _token(folder, user),
        str(context.get("namespace") or DEFAULT_NAMESPACE),
        str(cluster.get("tls-server-name") or ""),
    )


_REFUSED = {
    "exec": "is not run: an exec plug-in runs with your credentials; use a token, a client"
    " certificate, or `kubectl proxy` with --api-server http://localhost:8001",
    "auth-provider": "is not supported; use a token, a client certificate, or `kubectl proxy` with"
    " --api-server http://localhost:8001",
    "insecure-skip-tls-verify": "is refused: TLS is always verified; set certificate-authority",
    "proxy-url": "is refused: proxies are never used; use `kubectl proxy` with --api-server",
    "password": "is not supported; use a token or a client certificate",
    "as": "is not supported; use credentials of the account itself",
}


def _parsed(path: str) -> Mapping[str, Any]:
    try:
        text = _read(path)
    except (OSError, UnicodeDecodeError) as error:
        raise NoCluster(f"the kubeconfig {path!r} can't be read: {error}") from None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = _yaml(path, text)
    if not isinstance(found, dict):
        raise NoCluster(f"{path}: it is not a kubeconfig")
    return found


def _yaml(path: str, text: str) -> object:
    try:
        import yaml
    except ImportError:
        raise NoCluster(
            f"{path}: it is YAML, and PyYAML is not installed; pip install pyyaml, or write it as"
            " JSON: kubectl config view --raw --flatten --output json"
        ) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise NoCluster(f"{path}: it is neither JSON nor YAML: {error}") from None


def _entry(path: str, whole: Mapping[str, Any], kind: str, name: str) -> Mapping[str, Any]:
    entries = whole.get(f"{kind}s")
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and entry.get("name") == name:
            found = entry.get(kind)
            return found if isinstance(found, dict) else {}
    raise NoCluster(f"{path}: it refers to the {kind} {name!r}, which it does not contain")


def _path(folder: str, given: object) -> str | None:
    return os.path.join(folder, str(given)) if given else None


def _decoded(path: str, entry: Mapping[str, Any], key: str) -> bytes | None:
    if not entry.get(key):
        return None
    try:
        return base64.b64decode(str(entry[key]), validate=True)
    except ValueError:
        raise NoCluster(f"{path}: {key} is not base64") from None


def _token(folder: str, user: Mapping[str, Any]) -> Callable[[], str | None]:
    file = _path(folder, user.get("tokenFile"))
    if file is not None:
        return lambda: _read(file)
    token = user.get("token")
    return lambda: str(token) if token else None


# A client certificate and its key, each as a path or as what it holds.
_Pair = tuple[str | bytes, str | bytes]


def _pair(path: str, folder: str, user: Mapping[str, Any]) -> _Pair | None:
    halves = [
        _decoded(path, user, f"{name}-data") or _path(folder, user.get(name))
        for name in ("client-certificate", "client-key")
    ]
    certificate, key = halves
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise NoCluster(f"{path}: client-certificate and client-key must be set together")
    return certificate, key


def _trusting(
    *, ca_file: str | None = None, ca: bytes | None = None, certificate: _Pair | None = None
) -> "Callable[[], ssl.SSLContext]":
    return lambda: _context(ca_file, ca, certificate)


def _context(
    ca_file: str | None = None, ca: bytes | None = None, certificate: _Pair | None = None
) -> "ssl.SSLContext":
    """Return a context that verifies; with the system's authorities if none is given. Raises
    OSError (ssl.SSLError) if a certificate can't be used."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca is not None:
        context.load_verify_locations(cadata=ca.decode("ascii", "replace"))
    elif ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    else:
        context.load_default_certs()
    if certificate is not None:
        opened: list[int] = []
        try:
            context.load_cert_chain(*(_as_file(half, opened) for half in certificate))
        finally:
            for descriptor in opened:
                os.close(descriptor)
    return context


def _as_file(half: str | bytes, opened: list[int]) -> str:
    """Return a path; data in memory stays there (memfd_create(2))."""
    if isinstance(half, str):
        return half
    descriptor = os.memfd_create("leaderexec", os.MFD_CLOEXEC)
    opened.append(descriptor)
    os.write(descriptor, half)
    return f"/proc/self/fd/{descriptor}"
