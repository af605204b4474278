"""The response of each path. Runs in the HTTP thread, and only sees snapshots."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

from leaderexec.core.actions import Role
from leaderexec.http.server import Request, Response, plain
from leaderexec.process import fork_guard
from leaderexec.status.document import Document
from leaderexec.status.processes import Processes
from leaderexec.status.snapshot import Published

# It responds within a millisecond. A machine that starves it for this long starves a stop as well.
TURNS_WITHIN = 1.0
# However many requests there are, the main loop is woken for them no more often than this.
TURNED_LATELY = 0.1

# Takes the Accept header; returns content type and body.
Render = Callable[[str], tuple[str, bytes]]


class Pages:
    """All paths. `render` renders /metrics, None if they are off."""

    def __init__(
        self,
        published: Published,
        document: Document,
        processes: Processes,
        render: Render | None,
        hosts: frozenset[str] | None = None,
    ) -> None:
        """`hosts`: the names accepted in a Host header, besides addresses; None for any."""
        self._hosts = hosts
        self._published = published
        self._document = document
        self._processes = processes
        self._render = render
        self._turned_at: float | None = None
        self._paths: dict[str, Callable[[Request], Response]] = {
            "/": self._index,
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/leader": self._leader,
            "/status": self._status,
            "/metrics": self._metrics,
            "/events": self._events,
        }

    def respond(self, request: Request) -> Response:
        """Respond to a GET or HEAD."""
        host = request.headers.get("host", "")
        if self._hosts is not None and not _is_meant(host, self._hosts):
            return plain(
                421,
                f"{host[:80]!r} is not a name of this server, and could have been pointed at this"
                " address by a web page elsewhere; if it is one, list it with --http-hosts",
            )
        page = self._paths.get(request.path)
        if page is None:
            return plain(404, f"no such path; there are {' '.join(self._paths)}")
        return page(request)

    def _index(self, request: Request) -> Response:
        """Return the page to a browser, and the paths to whoever does not ask for HTML."""
        if "text/html" not in request.headers.get("accept", ""):
            return plain(200, "\n".join(list(self._paths)[1:]), ("Vary", "Accept"))
        with fork_guard.importing():
            from leaderexec.http import page
        html, headers = page.made()
        return Response(200, "text/html; charset=utf-8", html, headers)

    def _events(self, request: Request) -> Response:
        """Begin a stream of server-sent events, for our own page; the server goes on with it."""
        origin = request.headers.get("origin")
        elsewhere = origin is not None and origin.rpartition("//")[2] != request.headers.get("host")
        # An image or a script has no Origin, and would keep one of the few places.
        from_site = request.headers.get("sec-fetch-site", "none")
        if elsewhere or from_site not in ("none", "same-origin"):
            return plain(403, "only the page of this server may follow it from a browser")
        # nginx would keep it back otherwise.
        headers = (("X-Accel-Buffering", "no"),)
        return Response(200, "text/event-stream", b"retry: 1000\n\n", headers, follows=True)

    def _livez(self, _request: Request) -> Response:
        """Return 200 if the main loop responds when prompted."""
        now = time.monotonic()
        if self._turned_at is None or now - self._turned_at > TURNED_LATELY:
            if not self._published.turns(TURNS_WITHIN):
                return plain(503, f"the main loop did not respond within {TURNS_WITHIN:g}s")
            self._turned_at = now
        return plain(200, "the main loop responds")

    def _readyz(self, _request: Request) -> Response:
        """Return 200 with contact to the election, in standby too: else a rolling update would
        wait forever for a leader while the old one leads."""
        why_not = self._document.why_not_ready(self._published.latest)
        return plain(503, why_not) if why_not else plain(200, "in contact with the election")

    def _leader(self, _request: Request) -> Response:
        """Return 200 only while the command runs, and is healthy if it is probed: before that, it
        can't serve traffic."""
        now = self._published.latest
        ready = now.state.role is Role.RUNNING and self._document.healthy(now) is not False
        return _json(200 if ready else 503, self._document.leader(now))

    def _status(self, _request: Request) -> Response:
        now = self._published.latest
        return _json(200, self._document.status(now, self._processes.tree(now)))

    def _metrics(self, request: Request) -> Response:
        if self._render is None:
            return plain(404, "metrics are off (--metrics)")
        content_type, body = self._render(request.headers.get("accept", ""))
        return Response(200, content_type, body)


def _is_meant(host: str, names: frozenset[str]) -> bool:
    """Return whether a Host header may be ours. A web page that points its own name at our address
    (DNS rebinding) sends that name, so only known names are accepted."""
    name = re.sub(r":[0-9]*$", "", host).lower().removesuffix(".")
    is_address = re.fullmatch(r"[0-9.]*|\[[0-9a-f:.]+(%[a-z0-9._~-]+)?\]", name) is not None
    return is_address or name in names


def _json(status: int, value: dict[str, Any]) -> Response:
    # A process may have a name that is not Unicode: the kernel cuts it after 15 bytes.
    text = json.dumps(value, ensure_ascii=False, indent=2)
    body = text.encode(errors="backslashreplace") + b"\n"
    return Response(status, "application/json", body)
