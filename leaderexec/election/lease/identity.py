"""Which pod this is: its service account's token tells (a bound token, Kubernetes 1.22)."""

import base64
import json

from leaderexec.election.lease.cluster import ACCOUNT

_MOST = 1 << 16


def pod_uid(path: str = f"{ACCOUNT}/token") -> str | None:
    """Return this pod's uid; None outside a pod, or where the token does not tell. Nothing rests on
    it but a name, so its signature is not looked at."""
    try:
        with open(path, encoding="ascii") as file:
            claims = file.read(_MOST).split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        uid = found["kubernetes.io"]["pod"]["uid"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return uid if isinstance(uid, str) and uid.isascii() and uid.isprintable() and uid else None
