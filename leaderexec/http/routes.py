"""What each path answers. Runs in the HTTP thread, and sees nothing but snapshots."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

from leaderexec.core.actions import Role
from leaderexec.http.server import Request, Response, plain
from leaderexec.status.document import Document
from leaderexec.status.processes import Processes
from leaderexec.status.snapshot import Published

# It turns within a millisecond. A machine that starves it for so long starves the stop as well.
TURNS_WITHIN = 1.0
# However many ask, the deciding loop is woken for it no more often than this.
TURNED_LATELY = 0.1

# Takes the Accept header; returns content type and body.
Render = Callable[[str], tuple[str, bytes]]


class Pages:
    """The paths there are. `render` makes /metrics, None where they are off."""

    def __init__(
        self,
        published: Published,
        document: Document,
        processes: Processes,
        render: Render | None,
        hosts: frozenset[str] | None = None,
    ) -> None:
        """`hosts`: the names by which we may be asked beside addresses; None for any."""
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
        }

    def respond(self, request: Request) -> Response:
        """Answer a GET or HEAD."""
        host = request.headers.get("host", "")
        if self._hosts is not None and not _is_meant(host, self._hosts):
            return plain(
                421,
                f"{host[:80]!r} is not a name of this server, and a web page elsewhere may have"
                " bound it to this address; if it is one, list it with --http-hosts",
            )
        page = self._paths.get(request.path)
        if page is None:
            return plain(404, f"nothing is here; there are {' '.join(self._paths)}")
        return page(request)

    def _index(self, _request: Request) -> Response:
        return plain(200, "\n".join(list(self._paths)[1:]))

    def _livez(self, _request: Request) -> Response:
        """Answer 200 if the deciding loop turns when it is asked to."""
        now = time.monotonic()
        if self._turned_at is None or now - self._turned_at > TURNED_LATELY:
            if not self._published.turns(TURNS_WITHIN):
                return plain(503, f"the deciding loop did not turn within {TURNS_WITHIN:g}s")
            self._turned_at = now
        return plain(200, "the deciding loop turns")

    def _readyz(self, _request: Request) -> Response:
        """Answer 200 with contact to the election, in standby too: else a rolling update would
        wait for ever for a leader while the old one leads."""
        belief = self._published.latest.state.belief
        if belief.confirmed:
            return plain(200, "in contact with the election")
        never = belief.contact_at is None
        lost = belief.failure or "contact lost"
        return plain(503, "no contact with the election yet" if never else lost)

    def _leader(self, _request: Request) -> Response:
        """Answer 200 only while the command runs, healthy where that is asked: before, nobody is
        there to take the traffic."""
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
    """Tell whether a Host header may be ours. A web page whose name was bound to our address (DNS
    rebinding) asks with that name, so names count only if they are known."""
    name = re.sub(r":[0-9]*$", "", host).lower().removesuffix(".")
    is_address = re.fullmatch(r"[0-9.]*|\[[0-9a-f:.]+(%[a-z0-9._~-]+)?\]", name) is not None
    return is_address or name in names


def _json(status: int, value: dict[str, Any]) -> Response:
    body = json.dumps(value, ensure_ascii=False, indent=2).encode() + b"\n"
    return Response(status, "application/json", body)
