"""What etcd's answers mean, in words for people. Pure."""

import json
from typing import Any

from leaderexec.election.complaints import Trouble

OK = 200
_MOST_WORDS = 200
# What another member may answer better.
ELSEWHERE = ("unreachable", "timeout", "tls", "broken-answer", "unavailable", "wrong-cluster")
_BEING_RESTARTED = "nothing, if etcd is being restarted; else see `etcdctl endpoint status`"


class TokenEnded(Exception):
    """The token is not, or no longer, accepted: authenticate again."""


class NoLease(Exception):
    """There is no such lease: it has run out, or was revoked."""


class AuthOff(Exception):
    """etcd asks nobody for a password."""


def check(status: int, body: bytes, prefix: str) -> dict[str, Any]:
    """Return what the answer says. Raises Trouble, TokenEnded, NoLease or AuthOff unless it is what
    was asked for."""
    found = parse(body) if status == OK else None
    if found is not None:
        if "error" not in found:
            return found
        # A stream's answer, whose status was sent before it failed.
        inner = found["error"]
        said = inner if isinstance(inner, dict) else found
        raise refusal(int(said.get("http_code") or 0), _said(said), prefix)
    raise refusal(status, message(body), prefix)


def parse(body: bytes) -> dict[str, Any]:
    """Read a JSON object. Raises Trouble."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise broken(f"its answer is no JSON object: {body[:80].decode(errors='replace')!r}")
    return found


def refusal(status: int, said: str, prefix: str) -> Exception:
    """Return what an error of etcd comes to."""
    if "invalid auth token" in said or "revision of auth store is old" in said:
        return TokenEnded(said)
    if "requested lease not found" in said:
        return NoLease(said)
    if "authentication is not enabled" in said:
        return AuthOff(said)
    return _trouble(status, said, prefix)


def _trouble(status: int, said: str, prefix: str) -> Trouble:
    shown = f"etcd answered {status}: {said}"
    if "authentication failed" in said:
        return Trouble(
            "bad-password", shown, "check --etcd-user, and what is in --etcd-password-file"
        )
    if "user name is empty" in said:
        return Trouble(
            "no-user",
            shown,
            "etcd asks for a password: set --etcd-user and --etcd-password-file (its gateway takes"
            " no user from a certificate)",
        )
    if "permission denied" in said or status == 403:  # noqa: PLR2004 - HTTP
        return Trouble(
            "forbidden",
            shown,
            "let the user's role do this:"
            f" etcdctl role grant-permission ROLE readwrite --prefix=true '{prefix}'",
        )
    if "database space exceeded" in said:
        return Trouble(
            "no-space", shown, "compact and defragment etcd, then `etcdctl alarm disarm`"
        )
    if status in (429, 500, 503, 504) or said.startswith("etcdserver: "):
        return Trouble("unavailable", shown, _BEING_RESTARTED)
    return Trouble(
        f"http-{status}", shown, "check that this URL is that of an etcd from 3.4 (/v3, JSON)"
    )


def wrong_cluster(found: str, ours: str) -> Trouble:
    """Return what is to be said of a member of another cluster, where another may lead."""
    return Trouble(
        "wrong-cluster",
        f"it is of the cluster {found}, and others are, or were, of {ours}",
        "name members of one cluster in --etcd; if it was built anew, restart leaderexec",
    )


def short_lease(granted: int, asked: int) -> Trouble:
    """Return what is to be said of a lease that would run out before the command is gone."""
    return Trouble(
        "short-lease",
        f"etcd granted a lease of {granted}s, and {asked}s were asked for",
        "nothing is led so: please report this bug, with etcd's version",
    )


def lease_gone() -> Trouble:
    """Return what is to be said of a lease that ended while it was being used."""
    return Trouble("lease-ended", "our lease or key ended meanwhile", "nothing: we queue again")


def broken(why: str) -> Trouble:
    """Return what is to be said of an answer that is none of etcd's."""
    return Trouble("broken-answer", why, "check that this URL is that of an etcd from 3.4")


def message(body: bytes) -> str:
    """Return what an error says, else the beginning of the body."""
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
