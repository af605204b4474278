"""The variables that are added to the environment of the command, of hooks, and of what runs beside
the command."""

import time

from leaderexec.core.actions import Job, Start
from leaderexec.light_typing import TYPE_CHECKING
from leaderexec.timestamps import rfc_3339

if TYPE_CHECKING:
    from leaderexec.config.settings import Config


def lasting(config: "Config") -> dict[str, str]:
    """Return what is the same in every term."""
    return {
        "LEADEREXEC": "1",
        "LEADEREXEC_REPLICA": config.identity,
        "LEADEREXEC_SOURCE": config.election,
    }


def of_start(config: "Config", start: Start, now: float) -> dict[str, str]:
    """Return what the process is told that is started for this; `now` is on the clock of its
    times."""
    learnt = time.time() - (now - start.leader_since)
    added = lasting(config) | {
        "LEADEREXEC_LEADER": start.leader,
        "LEADEREXEC_LEADER_SINCE": rfc_3339(learnt),
        "LEADEREXEC_TERM": str(start.term),
    }
    if start.fence is not None:
        added["LEADEREXEC_FENCE"] = str(start.fence)
    if start.slot is not None:
        added["LEADEREXEC_SLOT"] = str(start.slot)
        added["LEADEREXEC_SLOT_COUNT"] = str(config.slots)
    if start.job is not Job.COMMAND:
        added["LEADEREXEC_HOOK"] = start.job.value
        added["LEADEREXEC_EXIT_CODE"] = "" if start.code is None else str(start.code)
    return added
