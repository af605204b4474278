"""Responses of an API server, explained for people. Pure."""

import json
from collections.abc import Callable, Mapping

from leaderexec.election.complaints import Trouble
from leaderexec.election.lease import roles
from leaderexec.election.lease.record import Name

CREATED, OK = 201, 200
_CONFLICT, _NOT_FOUND, _GONE, _TOO_MANY = 409, 404, 410, 429
_MOST_WORDS = 200
_LONGEST_PAUSE = 60.0


class Conflict(Exception):
    """The Lease was written, created or deleted by another client first."""


class NotFound(Exception):
    """There is no such Lease."""


def role(name: Name) -> str:
    """Return the required Role, ready for ``kubectl apply -f -``."""
    rules = roles.lease_rules(name.name)
    return roles.in_one_line(f"{name.name}-leaderexec", name.namespace, rules)


def reading_role(name: Name) -> str:
    """Return the Role that is needed to see who holds an elector's Lease, and what became of that
    one's Pod, as `role` does."""
    rules = roles.reading_rules(name.name)
    return roles.in_one_line(f"{name.name}-leaderexec", name.namespace, rules)


def check(
    method: str,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    name: Name,
    needed: Callable[[Name], str] = role,
) -> None:
    """Raise Conflict, NotFound or Trouble unless the response is as requested; `needed` is the
    Role that it requires."""
    if status in (OK, CREATED):
        return
    said = message(body)
    if status == _CONFLICT and method in ("PUT", "POST"):
        raise Conflict(said)
    if status == _NOT_FOUND and method == "GET":
        raise NotFound(said)
    if status == _NOT_FOUND and method == "PUT":
        # Deleted since it was read.
        raise Conflict(said)
    raise _trouble(status, headers, said, name, needed)


def _trouble(
    status: int,
    headers: Mapping[str, str],
    said: str,
    name: Name,
    needed: Callable[[Name], str],
) -> Trouble:
    shown = f"the API server responded with {status}: {said}"
    if status == 401:  # noqa: PLR2004 - HTTP
        return Trouble(
            "unauthorized",
            shown,
            "check the token: it is read again for each request, so it has expired, or belongs to"
            " another cluster",
        )
    if status == 403:  # noqa: PLR2004 - HTTP
        return Trouble(
            "forbidden",
            shown,
            f"bind this Role to the account named in the response: {needed(name)}",
        )
    if status == _NOT_FOUND:
        return Trouble(
            "no-namespace", shown, f"create the namespace {name.namespace}, or specify another"
        )
    if status == _GONE:
        return Trouble("gone", shown, "nothing: it is read again")
    if status == 422:  # noqa: PLR2004 - HTTP
        return Trouble(
            "invalid", shown, "check the admission webhook or field named in the response"
        )
    pause = pause_of(headers)
    if status == _TOO_MANY:
        return Trouble(
            "too-many-requests",
            shown,
            "nothing: it is retried when requested; check the API server's priority and fairness",
            pause=pause,
        )
    if status >= 500:  # noqa: PLR2004 - HTTP
        return Trouble(
            f"http-{status}",
            shown,
            "nothing, if the API server is restarting; else check its log",
            pause=pause,
        )
    return Trouble(f"http-{status}", shown, "check that this URL is an API server's")


def pause_of(headers: Mapping[str, str]) -> float:
    """Return the seconds that the server asks us to wait (Retry-After), within reason."""
    text = headers.get("Retry-After") or ""
    seconds = float(text) if text.isascii() and text.isdigit() else 0.0
    return min(seconds, _LONGEST_PAUSE)


def message(body: bytes) -> str:
    """Return the message of a Status, else the beginning of the body."""
    try:
        found = json.loads(body)
        if isinstance(found, dict) and isinstance(found.get("message"), str):
            return str(found["message"])[:_MOST_WORDS]
    except (ValueError, RecursionError):
        pass
    return body[:_MOST_WORDS].decode(errors="replace")
