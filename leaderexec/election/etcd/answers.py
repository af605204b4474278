"""Responses of etcd, explained for people. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from leaderexec.election.complaints import Trouble

OK = 200
_MOST_WORDS = 200
# Trouble that another member may not have.
ELSEWHERE = ("unreachable", "timeout", "tls", "broken-answer", "unavailable", "wrong-cluster")
_BEING_RESTARTED = "nothing, if etcd is restarting; else see `etcdctl endpoint status`"


class TokenEnded(Trouble):
    """The token is not, or no longer, valid: authenticate again."""

    def __init__(self, said: str) -> None:
        super().__init__("unauthorized", f"etcd rejects its own token: {said}", "check etcd's log")


class NoLease(Trouble):
    """There is no such lease: it has expired, or was revoked."""

    def __init__(self, said: str) -> None:
        super().__init__("lease-ended", f"etcd responded: {said}", "nothing: we queue again")


class AuthOff(Trouble):
    """Authentication is not enabled in etcd."""

    def __init__(self, said: str) -> None:
        super().__init__("auth-off", f"etcd responded: {said}", "check etcd's log")


def check(status: int, body: bytes, prefix: str) -> dict[str, Any]:
    """Return the content of a response. Raises Trouble, TokenEnded, NoLease or AuthOff unless it is
    as requested."""
    found = parse(body) if status == OK else None
    if found is not None:
        if "error" not in found:
            return found
        # The response of a stream that failed after its status was sent.
        inner = found["error"]
        said = inner if isinstance(inner, dict) else found
        code = said.get("http_code")
        raise refusal(code if isinstance(code, int) else 0, _said(said), prefix)
    raise refusal(status, message(body), prefix)


def parse(body: bytes) -> dict[str, Any]:
    """Read a JSON object. Raises Trouble."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise broken(f"its response is not a JSON object: {body[:80].decode(errors='replace')!r}")
    return found


def part(found: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object within a response, empty if there is none. Raises Trouble."""
    inner = found.get(name) or {}
    if not isinstance(inner, dict):
        raise broken(f"its {name} is not a JSON object")
    return inner


def refusal(status: int, said: str, prefix: str) -> Exception:
    """Return what an error of etcd means."""
    if "invalid auth token" in said or "revision of auth store is old" in said:
        return TokenEnded(said)
    if "requested lease not found" in said:
        return NoLease(said)
    if "authentication is not enabled" in said:
        return AuthOff(said)
    return _trouble(status, said, prefix)


def _trouble(status: int, said: str, prefix: str) -> Trouble:
    shown = f"etcd responded with {status}: {said}"
    if "authentication failed" in said:
        return Trouble(
            "bad-password", shown, "check --etcd-user, and the content of --etcd-password-file"
        )
    if "user name is empty" in said:
        return Trouble(
            "no-user",
            shown,
            "etcd requires a user: set --etcd-user and --etcd-password-file (its gateway does not"
            " derive a user from a certificate)",
        )
    if "permission denied" in said or status == 403:  # noqa: PLR2004 - HTTP
        return Trouble(
            "forbidden",
            shown,
            "give the user's role this permission:"
            f" etcdctl role grant-permission ROLE readwrite --prefix=true '{prefix}'",
        )
    if "database space exceeded" in said:
        return Trouble(
            "no-space", shown, "compact and defragment etcd, then `etcdctl alarm disarm`"
        )
    if status in (429, 500, 503, 504) or said.startswith("etcdserver: "):
        return Trouble("unavailable", shown, _BEING_RESTARTED)
    return Trouble(
        f"http-{status}", shown, "check that this URL is that of etcd 3.4 or newer (/v3, JSON)"
    )


def wrong_cluster(found: str, ours: str) -> Trouble:
    """Return the trouble of finding a member of another cluster, which may have another leader."""
    return Trouble(
        "wrong-cluster",
        f"it belongs to the cluster {found}, and others belong, or belonged, to {ours}",
        "list members of one cluster in --etcd; if it was rebuilt, restart leaderexec",
    )


def short_lease(granted: int, asked: int) -> Trouble:
    """Return the trouble of a lease that would expire before the command has exited."""
    return Trouble(
        "short-lease",
        f"etcd granted a lease of {granted}s, and {asked}s were requested",
        "this replica can't lead: please report this bug, with etcd's version",
    )


def lease_gone() -> Trouble:
    """Return the trouble of a lease that ended while in use."""
    return Trouble("lease-ended", "our lease or key ended meanwhile", "nothing: we queue again")


def broken(why: str) -> Trouble:
    """Return the trouble of a response that etcd would not send."""
    return Trouble("broken-answer", why, "check that this URL is that of etcd 3.4 or newer")


def message(body: bytes) -> str:
    """Return the message of an error, else the beginning of the body."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict) and (said := _said(found)):
        return said
    return body[:_MOST_WORDS].decode(errors="replace").strip()


def _said(found: dict[str, Any]) -> str:
    said = found.get("message") or found.get("error") or ""
    return said[:_MOST_WORDS] if isinstance(said, str) else ""
