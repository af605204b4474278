"""Names that no two processes share: with the pod's uid, from its service account's token (a
bound token, Kubernetes 1.22), or else with a nonce."""

import base64
import json
import os
import re

from leaderexec.config.options import Given
from leaderexec.election.kind import named
from leaderexec.election.lease.cluster import ACCOUNT

_MOST = 1 << 16


def own_name(hostname: str, pid: int | None) -> Given:
    """Return this replica's default name; without a nonce if this process is not a replica (`pid`
    is None). Raises UsageError."""
    uid = pod_uid()
    if uid is not None:
        return named(f"{hostname}_{uid[:8]}", "hostname and the pod's uid")
    if pid is None:
        return named(hostname, "hostname")
    return named(f"{hostname}_{os.urandom(4).hex()}", "hostname and a nonce")


def is_ours(holder: str, identity: str, *, was_named: bool) -> bool | None:
    """Return whether the holder is the replica that is meant; None if that can't be determined: by
    default a name ends with a nonce, which we don't know."""
    if was_named or pod_uid() is not None:
        return holder == identity
    hostname = identity.rpartition("_")[0] or identity
    return None if holder.rpartition("_")[0] == hostname else False


def pod_uid(path: str = f"{ACCOUNT}/token") -> str | None:
    """Return this pod's uid; None outside a pod, or if the token lacks it. It is only used for a
    name, so its signature is not verified."""
    return _pod(path)[1]


def pod_name(identity: str, hostname: str, path: str = f"{ACCOUNT}/token") -> str:
    """Return the name of this replica's Pod: from the token, else the identity where that can be
    one, else the hostname, which is cut off at 63 characters."""
    name = _pod(path)[0]
    if name is not None:
        return name
    return identity if re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", identity) else hostname


def _pod(path: str) -> tuple[str | None, str | None]:
    """Return the name and uid of the Pod that the token is bound to."""
    try:
        with open(path, encoding="ascii") as file:
            claims = file.read(_MOST).split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        pod = found["kubernetes.io"]["pod"]
        name, uid = pod.get("name"), pod.get("uid")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None, None
    return _word(name), _word(uid)


def _word(found: object) -> str | None:
    good = isinstance(found, str) and found.isascii() and found.isprintable() and found
    return str(found) if good else None


def container(token: str = f"{ACCOUNT}/token", mounts: str = "/proc/self/mountinfo") -> str:
    """Return a unique name of the container whose first process this is: the pod's uid and
    the container's name in it. Empty if that can't be known for certain.

    The kubelet restarts a container only after its first process has exited, and with it all
    of its PID namespace. It mounts a file for the termination message into each container; where
    that lies on the node names both (mountinfo, proc_pid_mountinfo(5)).
    """
    uid = pod_uid(token)
    if uid is None or os.getpid() != 1:
        return ""
    try:
        with open(mounts, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return ""
    found = {
        match[1]
        for line in lines
        if (match := re.search(rf"/pods/{re.escape(uid)}/containers/([a-z0-9-]+)/", line))
    }
    return f"{uid}/{found.pop()}" if len(found) == 1 else ""
