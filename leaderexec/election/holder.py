"""The content of a lock file: one line with a flat JSON object.

    {"name": "host.4711", "pid": 4711, "since": "2026-01-01T12:00:00.000Z", "process": "..."}

With --once, `done` has the keys for which the command has succeeded (see `once`). With --slots,
`slots` has their number (see `slotfile`).

`process` identifies the holder's process for all time: by the machine's boot, the PID namespace,
and the time at which it started. A pid alone is reused, and every container has a pid 1. Unknown
keys are preserved.
"""

import json
import os
import time
from collections.abc import Mapping
from typing import NamedTuple

from leaderexec.process import tree
from leaderexec.timestamps import rfc_3339

# A lock file is small; anything longer is something else.
MAX_BYTES = 4096
_MAX_NAME = 253  # as --identity allows
_MAX_PID = 2**22  # PID_MAX_LIMIT
_MAX_FENCE = 2**63  # as a bigint column holds
DONE = "done"
SLOTS = "slots"


class Holder(NamedTuple):
    """Who took the lock. `process` is None if it can't be identified uniquely."""

    name: str
    pid: int
    process: str | None


class NotOurs(ValueError):
    """The content was not written by us."""


def parse(data: bytes) -> dict[str, object]:
    """Return the content of the file; nothing for an empty one. Raises NotOurs.

    Only the first line counts: a crash during a write can leave the end of a longer one.
    """
    if not data:
        return {}
    if len(data) > MAX_BYTES:
        raise NotOurs("it is too long for a lock file")
    try:
        text = data.partition(b"\n")[0].decode()
        if not _is_flat(text):
            raise NotOurs("it has other content")
        said = json.loads(text)
        # A half of a surrogate pair could not be written again.
        json.dumps(said, ensure_ascii=False).encode()
    except ValueError:
        raise NotOurs("it has other content") from None
    if not isinstance(said, dict) or not _says_who(said):
        raise NotOurs("it has other content")
    return said


def _is_flat(text: str) -> bool:
    """Return whether nothing is nested: each level would take some of the stack of the parsing
    thread, and musl gives a thread 128 kB."""
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
    """Return the holder named in a parsed file; None for an empty one."""
    if not said:
        return None
    process, pid = said.get("process"), said["pid"]
    assert isinstance(pid, int)  # noqa: S101 - checked by parse()
    return Holder(str(said["name"]), pid, process if isinstance(process, str) else None)


def next_fence(said: Mapping[str, object]) -> int:
    """Return the fence of the next holder: one more than that of the last. A new file counts from
    the milliseconds since 1970, so that one that replaces a removed one continues upwards."""
    last = said.get("fence")
    return last + 1 if isinstance(last, int) else int(time.time() * 1000)


def ours(identity: str, fence: int) -> dict[str, object]:
    """Return the content that names us and our fence."""
    return {
        "name": identity,
        "pid": os.getpid(),
        "since": rfc_3339(time.time()),
        "fence": fence,
        "process": this_process(),
    }


def line(content: Mapping[str, object]) -> bytes:
    """Return the content as it is written. Raises NotOurs if it is too long."""
    text = json.dumps(content, ensure_ascii=False).encode() + b"\n"
    if len(text) > MAX_BYTES:
        raise NotOurs("its content leaves no room for what has to be written")
    return text


def this_process() -> str | None:
    """Return a unique name of this process, for all time; None if /proc does not provide it."""
    here, ours = _here(), tree.read(os.getpid())
    return None if here is None or ours is None else f"{here}:{ours.started}"


def is_here(holder: Holder) -> bool | None:
    """Return whether it was a process of our own PID namespace; None if that is unknown."""
    here = _here()
    if here is None or holder.process is None:
        return None
    return holder.process.rpartition(":")[0] == here


def has_ended(holder: Holder) -> bool:
    """Return whether the holder's own process is known to have exited: the lock is then kept by
    processes that it left behind."""
    if not is_here(holder):
        return False
    process = tree.read(holder.pid)
    return process is None or not process.lives or f"{_here()}:{process.started}" != holder.process


def is_above_us(holder: Holder) -> bool:
    """Return whether a holder in our own PID namespace is an ancestor of this process."""
    pid = os.getpid()
    while (process := tree.read(pid)) is not None and process.parent:
        pid = process.parent
        if pid == holder.pid:
            return True
    return False


def _here() -> str | None:
    """Return a name of our PID namespace, on this machine, since its boot."""
    if not tree.shows_us():
        return None
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
        return f"{boot}:{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return None
