"""leaderexec with a clock at each stage between an announcement and its effect.

    python benchmarks/timing/stages.py FILE [argument of leaderexec ...]

The product knows nothing of this: from here, functions at the ends of stages are replaced by ones
that also note the time. At exit FILE gets a JSON list of [stage, ns of CLOCK_MONOTONIC].
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from leaderexec import inbox, supervisor
from leaderexec.__main__ import main
from leaderexec.election import http_client

Noted = list[tuple[str, int]]
# In the order in which an announcement reaches them.
STAGES = ("received", "parsed", "taken", "decided", "written")


def lengths(noted: Noted, announced: int) -> list[int]:
    """Return how long each of STAGES took after an announcement, in ns, of what was noted from then
    on. Of several decisions it is the last one before the act that counts."""
    found = []
    at = 0
    for stage in STAGES:
        while noted[at][0] != stage or (stage == "decided" and noted[at + 1][0] != "written"):
            at += 1
        found.append(noted[at][1])
    return [end - begin for begin, end in zip((announced, *found), found, strict=False)]


def note_before(owner: Any, name: str, stage: str, noted: Noted) -> None:
    """Note when the function is called."""
    function = getattr(owner, name)

    def noting(*arguments: Any, **named: Any) -> Any:
        noted.append((stage, time.monotonic_ns()))
        return function(*arguments, **named)

    setattr(owner, name, noting)


def note_after(owner: Any, name: str, stage: str, noted: Noted) -> None:
    """Note when the function has returned."""
    function = getattr(owner, name)

    def noting(*arguments: Any, **named: Any) -> Any:
        result = function(*arguments, **named)
        noted.append((stage, time.monotonic_ns()))
        return result

    setattr(owner, name, noting)


def run(file: Path) -> None:
    """Run leaderexec with the rest of the command line."""
    noted: Noted = []
    end = os._exit

    def write_and_end(code: int) -> NoReturn:
        file.write_text(json.dumps(noted), encoding="ascii")
        end(code)

    note_after(http_client.Bounds, "recv_into", "received", noted)
    note_before(inbox.Inbox, "put", "parsed", noted)
    note_after(inbox.Inbox, "take", "taken", noted)
    note_after(supervisor, "decide", "decided", noted)
    note_before(os, "write", "written", noted)
    note_before(os, "kill", "written", noted)
    os._exit = write_and_end  # type: ignore[assignment]
    main()


if __name__ == "__main__":
    run(Path(sys.argv.pop(1)))
