"""What a replica says of itself, and whether it is fit to lead. Pure: any answer can come in, since
the server at an address may be anybody's."""

import json
from collections.abc import Sequence
from typing import Any

# What is shown of a /leader document, and the type that it must have.
_FIELDS: dict[str, type] = {
    "identity": str,
    "version": str,
    "role": str,
    "role_since": str,
    "reason": str,
    "is_leader": bool,
    "leader": str,
    "confirmed": bool,
    "since": str,
    "term": int,
    "fence": int,
    "slot": int,
    "healthy": bool,
}
_LONGEST_TEXT = 300
_LARGEST = 2**63


def described(address: str, body: bytes) -> dict[str, Any]:
    """Return what a replica's /leader comes to; `unfit` is None if it is fit to lead."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or type(said.get("role")) is not str:
        return silent(address, "the server at this address is not leaderexec")
    replica = {name: _sound(said.get(name), kind) for name, kind in _FIELDS.items()}
    return {"address": address, **replica, "unfit": _unfit(replica)}


def silent(address: str, why: str) -> dict[str, Any]:
    """Return the same for a replica that does not answer."""
    return {"address": address, **dict.fromkeys(_FIELDS), "unfit": why[:_LONGEST_TEXT]}


def _sound(value: Any, kind: type) -> Any:
    """Return a value if it is of this type, and no longer than a person reads."""
    # A bool is an int as well.
    if type(value) is not kind:
        return None
    if isinstance(value, str):
        return value[:_LONGEST_TEXT]
    return value if isinstance(value, int) and abs(value) < _LARGEST else None


def _unfit(replica: dict[str, Any]) -> str | None:
    if replica["confirmed"] is not True:
        return "it has no contact with the election"
    if replica["role"] == "blocked":
        return f"it can start nothing: {replica['reason']}"
    if replica["role"] == "running" and replica["healthy"] is False:
        return "its command has not proved healthy"
    return None


def in_order(replicas: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sort by name; those that don't answer come last."""
    return sorted(
        replicas, key=lambda one: (one["role"] is None, one["identity"] or "", one["address"])
    )


def summary(replicas: Sequence[dict[str, Any]]) -> str:
    """Say in a sentence who leads, and whether all agree."""
    answering = [one for one in replicas if one["role"] is not None]
    leading = [one["identity"] or one["address"] for one in answering if one["is_leader"]]
    if not answering:
        return "No replica answers."
    in_slots = [one for one in answering if one["slot"] is not None]
    if in_slots:
        return _summary_of_slots(in_slots)
    if not leading:
        return f"No replica that answers leads ({len(answering)} of {len(replicas)} answer)."
    if len(leading) > 1:
        return (
            f"{' and '.join(leading[:3])} say that they lead. If they still do when asked again,"
            " see their logs."
        )
    agree = sum(one["leader"] == leading[0] for one in answering)
    return f"{leading[0]} leads, as {agree} of {len(replicas)} replicas say."


def _summary_of_slots(leading: Sequence[dict[str, Any]]) -> str:
    holders: dict[int, list[str]] = {}
    for one in sorted(leading, key=lambda one: one["slot"]):
        holders.setdefault(one["slot"], []).append(one["identity"] or one["address"])
    said = ", ".join(f"{' and '.join(names[:3])} in slot {slot}" for slot, names in holders.items())
    twice = any(len(names) > 1 for names in holders.values())
    ask = " Where two do in the same slot when asked again, see their logs." if twice else ""
    return f"{said[:_LONGEST_TEXT]}: these lead.{ask}"
