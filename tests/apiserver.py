"""A fake of the Kubernetes API server, for Leases and for Pods: resourceVersion, conflicts,
validation, watches, access reviews, and faults on demand."""

import json
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

Document = dict[str, Any]
_PATH = re.compile(r"/apis/coordination\.k8s\.io/v1/namespaces/([^/]+)/leases(?:/([^/]+))?")
_POD = re.compile(r"/api/v1/namespaces/default/pods/([^/]+)")
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
NAMESPACE = "default"


class Fault(NamedTuple):
    """The response to a number of requests with these methods, instead of the normal one."""

    status: int
    methods: tuple[str, ...]
    headers: Mapping[str, str]
    after: bool


class Refused(Exception):
    """An error response."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


class Leases:
    """The objects, and the events about them."""

    def __init__(self) -> None:
        self.turn = threading.Condition()
        self.version = 1000
        self.objects: dict[str, Document] = {}
        self.history: list[Document] = []

    def _event(self, kind: str, document: Document) -> None:
        self.history.append({"type": kind, "object": document})
        self.turn.notify_all()

    def _stored(self, name: str, document: Document) -> Document:
        self.version += 1
        stored: Document = json.loads(json.dumps(document))
        stored["metadata"]["resourceVersion"] = str(self.version)
        self.objects[name] = stored
        return stored

    def get(self, name: str) -> Document:
        """Return the object. Raises Refused."""
        with self.turn:
            if name not in self.objects:
                raise Refused(404, f'leases.coordination.k8s.io "{name}" not found')
            return self.objects[name]

    def create(self, document: Document) -> Document:
        """Add it. Raises Refused."""
        validate(document)
        with self.turn:
            name = document["metadata"]["name"]
            if name in self.objects:
                raise Refused(409, f'leases.coordination.k8s.io "{name}" already exists')
            metadata = {**document["metadata"], "uid": f"uid-{self.version}"}
            stored = self._stored(name, {**document, "metadata": metadata})
            self._event("ADDED", stored)
            return stored

    def update(self, name: str, document: Document) -> Document:
        """Replace it, unless it has changed in the meantime. Raises Refused."""
        validate(document)
        with self.turn:
            known = self.get(name)["metadata"]["resourceVersion"]
            if document["metadata"].get("resourceVersion") not in (None, known):
                raise Refused(409, "the object has been modified")
            stored = self._stored(name, document)
            self._event("MODIFIED", stored)
            return stored

    def delete(self, name: str) -> None:
        """Remove it. Raises Refused."""
        with self.turn:
            gone = self.get(name)
            del self.objects[name]
            self.version += 1
            gone = json.loads(json.dumps(gone))
            gone["metadata"]["resourceVersion"] = str(self.version)
            self._event("DELETED", gone)


def validate(document: Document) -> None:
    """Raise Refused as the API server does with 422."""
    spec = document.get("spec") or {}
    for key in ("acquireTime", "renewTime"):
        if key in spec and not _MICRO_TIME.fullmatch(spec[key]):
            raise Refused(422, f"{key}: six fractional digits")
    if spec.get("leaseDurationSeconds", 1) < 1 or spec.get("leaseTransitions", 0) < 0:
        raise Refused(422, "spec is invalid")
    if not _NAME.fullmatch(document["metadata"]["name"]):
        raise Refused(422, "a lowercase RFC 1123 subdomain")


class ApiServer:
    """The server, in threads of this process. `token`: what each request must present."""

    def __init__(self, token: str | None = None, context: Any = None) -> None:
        self.leases = Leases()
        self.token = token
        self.requests: list[str] = []
        self._faults: list[list[Any]] = []
        self._open = threading.Event()
        self._open.set()
        self._hanging: tuple[str, ...] = ()
        self._cut = 0
        self.watches = 0
        self.denied: set[str] = set()
        self.pods: dict[str, Document] = {}
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Handler", (_Handler,), {"api": self})
        )
        self._server.daemon_threads = True
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._scheme = "http" if context is None else "https"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )

    @property
    def url(self) -> str:
        """Return its address."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        """Serve."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop serving."""
        self.resume()
        self.cut_watches()
        self._server.shutdown()
        self._server.server_close()

    # What a test does to it.

    def add(self, name: str = "demo", holder: str = "", seconds: int = 1, **spec: Any) -> Document:
        """Create a Lease with this holder."""
        return self.leases.create(
            {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {"holderIdentity": holder, "leaseDurationSeconds": seconds, **spec},
            }
        )

    def add_pod(self, name: str, **labels: str) -> None:
        """Create a Pod with these labels."""
        with self.leases.turn:
            self.leases.version += 1
            self.pods[name] = {
                "metadata": {
                    "name": name,
                    "uid": f"uid-{name}",
                    "resourceVersion": str(self.leases.version),
                    "labels": labels,
                }
            }

    def labels(self, name: str) -> dict[str, str]:
        """Return a Pod's labels."""
        with self.leases.turn:
            return dict(self.pods[name]["metadata"]["labels"])

    def pod(self, name: str) -> Document:
        """Return a Pod. Raises Refused."""
        with self.leases.turn:
            if name not in self.pods:
                raise Refused(404, f'pods "{name}" not found')
            found: Document = json.loads(json.dumps(self.pods[name]))
            return found

    def pods_with(self, selector: str) -> Document:
        """Return the Pods with this label."""
        key, _, value = selector.partition("=")
        with self.leases.turn:
            found = [
                pod for pod in self.pods.values() if pod["metadata"]["labels"].get(key) == value
            ]
            listed: Document = json.loads(json.dumps({"kind": "PodList", "items": found}))
            return listed

    def patch_pod(self, name: str, patch: Document) -> Document:
        """Merge a patch into its metadata, unless it has changed meanwhile. Raises Refused."""
        with self.leases.turn:
            pod = self.pod(name)
            known = pod["metadata"]["resourceVersion"]
            if patch["metadata"].pop("resourceVersion", known) != known:
                raise Refused(409, "the object has been modified")
            for field, given in patch["metadata"].items():
                merged = {**pod["metadata"].get(field, {}), **given}
                pod["metadata"][field] = {
                    key: value for key, value in merged.items() if value is not None
                }
            if pod != self.pods[name]:
                self.leases.version += 1
                pod["metadata"]["resourceVersion"] = str(self.leases.version)
            self.pods[name] = pod
            return self.pod(name)

    def elect(self, holder: str, name: str = "demo") -> int:
        """Recreate the Lease, as an elector does for each term, owned by the leader's Pod.
        Return its resourceVersion."""
        with self.leases.turn:
            if name in self.leases.objects:
                self.leases.delete(name)
            owner = {"apiVersion": "v1", "kind": "Pod", "name": holder, "uid": f"pod of {holder}"}
            made = self.leases.create(
                {
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": {"name": name, "namespace": NAMESPACE, "ownerReferences": [owner]},
                    "spec": {"holderIdentity": holder},
                }
            )
        return int(made["metadata"]["resourceVersion"])

    def run_pod(self, name: str, *, ended: bool) -> None:
        """Create this Pod, with all its containers running or terminated."""
        state = {"terminated": {"exitCode": 0}} if ended else {"running": {}}
        self.pods[name] = {
            "kind": "Pod",
            "metadata": {"name": name, "uid": f"pod of {name}"},
            "spec": {"containers": [{"name": "worker"}], "initContainers": [{"name": "elector"}]},
            "status": {
                "containerStatuses": [{"name": "worker", "state": state}],
                "initContainerStatuses": [{"name": "elector", "state": state}],
            },
        }

    def edit(self, name: str = "demo", **spec: Any) -> Document:
        """Change a Lease as if by hand, whoever else writes."""
        with self.leases.turn:
            found = json.loads(json.dumps(self.leases.get(name)))
            found["spec"].update(spec)
            return self.leases.update(name, found)

    def spec(self, name: str = "demo") -> Document:
        """Return a Lease's specification; empty if there is none."""
        with suppress(Refused):
            return dict(self.leases.get(name)["spec"])
        return {}

    def holder(self, name: str = "demo") -> str:
        """Return a Lease's holder."""
        return str(self.spec(name).get("holderIdentity", ""))

    def fail(
        self,
        status: int,
        *methods: str,
        times: int = 1_000_000,
        headers: Mapping[str, str] | None = None,
        after: bool = False,
    ) -> None:
        """Respond with this status; WATCH is a method here. `after`: the request succeeds, but
        only its response is lost (status 0 closes the connection)."""
        chosen = methods or ("GET", "PUT", "POST", "WATCH", "GET POD", "LIST PODS", "PATCH")
        self._faults.append([times, Fault(status, chosen, headers or {}, after)])

    def reviewed(self, review: Document) -> Document:
        """Return the review with its result. Raises Refused."""
        about = review["spec"]["resourceAttributes"]
        if (about["group"], about["resource"]) == ("", "pods"):
            return {**review, "status": {"allowed": f"{about['verb']} pods" not in self.denied}}
        if (about["group"], about["resource"]) != ("coordination.k8s.io", "leases"):
            raise Refused(422, "nothing else is known here")
        if (about["verb"] == "create") == ("name" in about):
            raise Refused(422, "what is to be created has no name, and the rest has one")
        return {**review, "status": {"allowed": about["verb"] not in self.denied}}

    def recover(self) -> None:
        """Disarm all faults."""
        self._faults.clear()

    def hang(self, *methods: str) -> None:
        """Stop responding, also on open watches; or only to requests with these methods."""
        self._hanging = methods
        self._open.clear()

    def resume(self) -> None:
        """Respond again."""
        self._open.set()

    def cut_watches(self) -> None:
        """End every open watch in the middle."""
        with self.leases.turn:
            self._cut += 1
            self.leases.turn.notify_all()

    def fault_for(self, method: str) -> Fault | None:
        """Return the fault for a request."""
        for entry in self._faults:
            times, fault = entry
            if times > 0 and method in fault.methods:
                entry[0] -= 1
                found: Fault = fault
                return found
        return None

    def wait_open(self, method: str) -> None:
        """Wait while it hangs."""
        if not self._hanging or method in self._hanging:
            self._open.wait(60)

    @property
    def cuts(self) -> int:
        """Return how often watches were cut."""
        return self._cut


class _Handler(BaseHTTPRequestHandler):
    api: ApiServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Drop the message."""

    def do_GET(self) -> None:
        """Get, or watch."""
        if (pod := _POD.fullmatch(self.path)) is not None:
            self._answer("GET POD", lambda *_: (200, self.api.pod(pod[1])))
            return
        query = parse_qs(urlsplit(self.path).query)
        if "labelSelector" in query:
            (selector,) = query["labelSelector"]
            self._answer("LIST PODS", lambda *_: (200, self.api.pods_with(selector)))
            return
        watch = "watch" in query
        self._answer("WATCH" if watch else "GET", self._watch if watch else self._get)

    def do_PUT(self) -> None:
        """Update."""
        body = self._body()
        self._answer("PUT", lambda _, name: (200, self.api.leases.update(name, body)))

    def do_PATCH(self) -> None:
        """Merge into a Pod."""
        body = self._body()
        pod = _POD.fullmatch(self.path)
        if pod is None or self.headers["Content-Type"] != "application/merge-patch+json":
            self._answer("PATCH", self._unknown)
            return
        self._answer("PATCH", lambda *_: (200, self.api.patch_pod(pod[1], body)))

    def _unknown(self, *_: str) -> None:
        raise Refused(415, "nothing else is known here")

    def do_POST(self) -> None:
        """Create, or review this account's rights: all except those the test denies."""
        body = self._body()
        if self.path == _REVIEWS:
            self._answer("REVIEW", lambda *_: (201, self.api.reviewed(body)))
            return
        self._answer("POST", lambda *_: (201, self.api.leases.create(body)))

    def _body(self) -> Document:
        body: Document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return body

    def _get(self, _: str, name: str) -> tuple[int, Document]:
        return 200, self.api.leases.get(name)

    def _answer(self, method: str, work: Callable[[str, str], tuple[int, Document] | None]) -> None:
        self.api.requests.append(method)
        self.api.wait_open(method)
        fault = self.api.fault_for(method)
        try:
            self._check(fault)
            done = work(*self._place(method))
            if done is not None:
                self._lose(fault)
                self._send(*done, {})
        except Refused as refused:
            if refused.status == 0:
                self.close_connection = True
                return
            status = {"kind": "Status", "code": refused.status, "message": str(refused)}
            self._send(refused.status, status, refused.headers)

    def _place(self, method: str) -> tuple[str, str]:
        if method in ("REVIEW", "GET POD", "LIST PODS", "PATCH"):
            return "", ""
        found = _PATH.fullmatch(urlsplit(self.path).path)
        if found is None:
            raise Refused(404, "the server could not find the requested resource")
        if found[1] != NAMESPACE and method == "POST":
            raise Refused(404, f'namespaces "{found[1]}" not found')
        if found[1] != NAMESPACE:
            raise Refused(404, f'leases.coordination.k8s.io "{found[2]}" not found')
        return found[1], found[2] or ""

    def _lose(self, fault: Fault | None) -> None:
        if fault is not None:
            raise Refused(fault.status, "the answer was lost")

    def _check(self, fault: Fault | None) -> None:
        if fault is not None and not fault.after:
            raise Refused(fault.status, f"fault {fault.status}", fault.headers)
        given = self.headers.get("Authorization")
        if self.api.token is not None and given != f"Bearer {self.api.token}":
            raise Refused(401, "Unauthorized")

    def _send(self, status: int, document: Document, headers: Mapping[str, str]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(body)

    def _watch(self, _: str, __: str) -> None:
        (selector,) = parse_qs(urlsplit(self.path).query)["fieldSelector"]
        name = selector.partition("=")[2]
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        with self.api.leases.turn:
            at, cuts = len(self.api.leases.history), self.api.cuts
            self.api.watches += 1
            if name in self.api.leases.objects:
                first = [{"type": "ADDED", "object": self.api.leases.objects[name]}]
            else:
                first = []
        with suppress(OSError):
            while self._write(first):
                with self.api.leases.turn:
                    self.api.leases.turn.wait_for(
                        lambda: len(self.api.leases.history) > at or self.api.cuts != cuts  # noqa: B023
                    )
                    if self.api.cuts != cuts:
                        return
                    news, at = self.api.leases.history[at:], len(self.api.leases.history)
                first = [event for event in news if event["object"]["metadata"]["name"] == name]
                self.api.wait_open("WATCH")

    def _write(self, events: list[Document]) -> bool:
        for event in events:
            line = json.dumps(event).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        return True
