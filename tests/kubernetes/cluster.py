"""A real kube-apiserver with its etcd on loopback, with tokens and RBAC."""

import http.client
import json
import signal
import socket
import ssl
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support import wait_for

ADMIN, WORKER = "admin-token", "worker-token"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
PODS = "/api/v1/namespaces/default/pods"
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"


class Cluster:
    """The two programs, and what a test requests as the administrator; `address` is one of this
    machine's, where the API server listens."""

    def __init__(self, program: str, folder: Path, address: str = "127.0.0.1") -> None:
        self._program = program
        self._address = address
        self._folder = folder
        self._etcd_port, peer_port, self.port = (_free_port() for _ in range(3))
        self._api: subprocess.Popen[bytes] | None = None
        rules = [{"level": "Metadata", "omitStages": ["ResponseStarted", "ResponseComplete"]}]
        policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules}
        (folder / "audit-policy.json").write_text(json.dumps(policy))
        (folder / "tokens.csv").write_text(f"{ADMIN},admin,1,system:masters\n{WORKER},worker,2\n")
        subprocess.run(
            ["openssl", "genrsa", "-out", folder / "account.key", "2048"],
            check=True,
            capture_output=True,
        )
        with (folder / "etcd.log").open("wb") as log:
            self._etcd = subprocess.Popen(
                [
                    *("etcd", "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync"),
                    *("--listen-client-urls", self._etcd_url),
                    *("--advertise-client-urls", self._etcd_url),
                    *("--listen-peer-urls", f"http://127.0.0.1:{peer_port}"),
                ],
                stdout=log,
                stderr=log,
            )

    @property
    def url(self) -> str:
        """Return the API server's address."""
        return f"https://{self._address}:{self.port}"

    @property
    def audit_log(self) -> Path:
        """Return the file with a line for each request, as it arrived (audit.k8s.io/v1)."""
        return self._folder / "audit.log"

    @property
    def authority(self) -> str:
        """Return the file with the certificate that signed the API server's."""
        return str(self._folder / "certificates/apiserver.crt")

    @property
    def authority_key(self) -> str:
        """Return the file with its key."""
        return str(self._folder / "certificates/apiserver.key")

    @property
    def _etcd_url(self) -> str:
        return f"http://127.0.0.1:{self._etcd_port}"

    def start(self) -> None:
        """Start the API server, and wait until it is ready."""
        key = str(self._folder / "account.key")
        with (self._folder / "apiserver.log").open("ab") as log:
            self._api = subprocess.Popen(
                [
                    self._program,
                    f"--etcd-servers={self._etcd_url}",
                    f"--secure-port={self.port}",
                    f"--bind-address={self._address}",
                    f"--cert-dir={self._folder / 'certificates'}",
                    f"--token-auth-file={self._folder / 'tokens.csv'}",
                    "--authorization-mode=RBAC",
                    f"--audit-policy-file={self._folder / 'audit-policy.json'}",
                    f"--audit-log-path={self.audit_log}",
                    "--disable-admission-plugins=ServiceAccount",
                    "--service-account-issuer=https://localhost",
                    f"--service-account-key-file={key}",
                    f"--service-account-signing-key-file={key}",
                    "--service-cluster-ip-range=10.0.0.0/24",
                ],
                stdout=log,
                stderr=log,
            )
        wait_for(self._is_ready, "the API server to be ready", patience=90)

    def stop(self) -> None:
        """Kill the API server."""
        if self._api is not None:
            self._api.kill()
            self._api.wait()

    def freeze(self) -> None:
        """Let the API server hang: its connections stay open."""
        assert self._api is not None
        self._api.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._api is not None
        self._api.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop both."""
        self.stop()
        self._etcd.kill()
        self._etcd.wait()

    def _is_ready(self) -> bool:
        with suppress(OSError, http.client.HTTPException):
            return self.ask("GET", "/readyz")[0] == 200
        return False

    def ask(self, method: str, path: str, document: object = None) -> tuple[int, Any]:
        """Send a request as the administrator; return the status and the response."""
        context = ssl.create_default_context(cafile=self._folder / "certificates/apiserver.crt")
        connection = http.client.HTTPSConnection(self._address, self.port, context=context)
        try:
            headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"}
            body = None if document is None else json.dumps(document)
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        return answer.status, json.loads(text) if text.startswith(b"{") else text

    def permit(self, name: str, role: dict[str, Any]) -> None:
        """Create the Role unchanged, and bind it to the worker under this name."""
        assert self.ask("POST", f"{RBAC}/roles?fieldValidation=Strict", role)[0] == 201
        subject = {"kind": "User", "name": "worker", "apiGroup": "rbac.authorization.k8s.io"}
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "Role",
                "name": role["metadata"]["name"],
            },
            "subjects": [subject],
        }
        assert self.ask("POST", f"{RBAC}/rolebindings", binding)[0] == 201

    def edit(self, lease: str, **spec: object) -> None:
        """Change a Lease's specification as if by hand, whoever else writes."""
        path = f"{LEASES}/{lease}"

        def edited() -> bool:
            found = self.ask("GET", path)[1]
            found["spec"].update(spec)
            return self.ask("PUT", path, found)[0] == 200

        wait_for(edited, "the Lease to be edited")

    def kubeconfig(self, token: str) -> str:
        """Write a kubeconfig with this token; return its path."""
        path = self._folder / f"{token}.json"
        cluster = {
            "server": self.url,
            "certificate-authority": "certificates/apiserver.crt",
        }
        whole = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": token}}],
        }
        path.write_text(json.dumps(whole))
        return str(path)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
