"""What a lock file says of its holder: one line with a flat JSON object.

    {"name": "host.4711", "pid": 4711, "since": "2026-01-01T12:00:00.000Z", "process": "..."}

`process` names the holder's process for good: by the machine's boot, the PID namespace, and the
time at which it started. A pid alone is used again, and in every container there is a pid 1. Keys
that are not known here are kept.
"""

import json
import os
import time
from collections.abc import Mapping
from typing import NamedTuple

from leaderexec.process import tree
from leaderexec.timestamps import rfc_3339

# A lock file is small, and what is longer is something else.
MAX_BYTES = 4096
_MAX_NAME = 253  # as --identity allows
_MAX_PID = 2**22  # PID_MAX_LIMIT
_MAX_FENCE = 2**63  # as a bigint column holds


class Holder(NamedTuple):
    """Who took the lock. `process` is None where it can't be told apart from others."""

    name: str
    pid: int
    process: str | None


class NotOurs(ValueError):
    """What the file holds was not written by us."""


def parse(data: bytes) -> dict[str, object]:
    """Return what the file says; nothing for an empty one. Raises NotOurs.

    Only the first line counts: a crash while it is written can leave the end of a longer one.
    """
    if not data:
        return {}
    if len(data) > MAX_BYTES:
        raise NotOurs("it is longer than any lock file")
    try:
        text = data.partition(b"\n")[0].decode()
        if not _is_flat(text):
            raise NotOurs("it holds something else")
        said = json.loads(text)
    except ValueError:
        raise NotOurs("it holds something else") from None
    if not isinstance(said, dict) or not _says_who(said):
        raise NotOurs("it holds something else")
    return said


def _is_flat(text: str) -> bool:
    """Tell whether nothing is nested: each level would cost the parser some of a thread's stack,
    and musl gives a thread 128 kB."""
    without_escapes = text.replace("\\\\", "").replace('\\"', "")
    outside_strings = "".join(without_escapes.split('"')[::2])
    return outside_strings.count("{") == 1 and "[" not in outside_strings


def _says_who(said: Mapping[str, object]) -> bool:
    name, pid, since = said.get("name"), said.get("pid"), said.get("since")
    fence = said.get("fence", 0)
    return type(fence) is int and 0 <= fence < _MAX_FENCE and _is_holder(name, pid, since)


def _is_holder(name: object, pid: object, since: object) -> bool:
    return (
        isinstance(name, str)
        and 0 < len(name) <= _MAX_NAME
        and name.isprintable()
        and type(pid) is int
        and 0 < pid <= _MAX_PID
        and isinstance(since, str)
    )


def holder_of(said: Mapping[str, object]) -> Holder | None:
    """Return whom a parsed file names; None for an empty one."""
    if not said:
        return None
    process, pid = said.get("process"), said["pid"]
    assert isinstance(pid, int)  # noqa: S101 - as parse() has seen
    return Holder(str(said["name"]), pid, process if isinstance(process, str) else None)


def next_fence(said: Mapping[str, object]) -> int:
    """Return the fence of whoever takes the lock next: one more than that of the last. A new file
    counts from the milliseconds since 1970, so that one that replaces a removed one goes on."""
    last = said.get("fence")
    return last + 1 if isinstance(last, int) else int(time.time() * 1000)


def line(said: Mapping[str, object], identity: str, fence: int) -> bytes:
    """Return the line that names us and our fence, with what else the file says. Raises NotOurs
    where that is too long."""
    ours = {
        "name": identity,
        "pid": os.getpid(),
        "since": rfc_3339(time.time()),
        "fence": fence,
        "process": this_process(),
    }
    text = json.dumps({**said, **ours}, ensure_ascii=False).encode() + b"\n"
    if len(text) > MAX_BYTES:
        raise NotOurs("it says more than fits beside our name")
    return text


def this_process() -> str | None:
    """Return the name of this process that no other ever has; None where /proc does not tell."""
    here, ours = _here(), tree.read(os.getpid())
    return None if here is None or ours is None else f"{here}:{ours.started}"


def is_here(holder: Holder) -> bool | None:
    """Tell whether it was a process of our own PID namespace; None where that is unknown."""
    here = _here()
    if here is None or holder.process is None:
        return None
    return holder.process.rpartition(":")[0] == here


def has_ended(holder: Holder) -> bool:
    """Tell whether the holder's own process is known to have ended: what still holds the lock are
    processes that it left."""
    if not is_here(holder):
        return False
    process = tree.read(holder.pid)
    return process is None or not process.lives or f"{_here()}:{process.started}" != holder.process


def is_above_us(holder: Holder) -> bool:
    """Tell whether a holder of our own PID namespace is an ancestor of this process."""
    pid = os.getpid()
    while (process := tree.read(pid)) is not None and process.parent:
        pid = process.parent
        if pid == holder.pid:
            return True
    return False


def _here() -> str | None:
    """Return the name of our PID namespace, on this machine, since it was booted."""
    if not tree.shows_us():
        return None
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
        return f"{boot}:{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return None
