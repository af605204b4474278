"""``--step-down``: ask the running leaderexec to release leadership, and show the progress."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from leaderexec.config.options import UsageError, show_duration
from leaderexec.control import client, place
from leaderexec.printable import printable

DONE, NOT_DONE, UNKNOWN = 0, 1, 125


def step_down(
    environ: Mapping[str, str],
    control_socket: str | None,
    identity: str | None,
    hold_off: float,
    *,
    until_taken: bool,
) -> int:
    """Print a time line; return 0 once leadership has been released (and taken, with
    `until_taken`), 1 if it was not, 125 if no leaderexec could be reached. Raises UsageError."""
    wrapper = _choose(client.running(environ, control_socket), environ, control_socket, identity)
    question = {"ask": "step-down", "hold_off": hold_off, "until_taken": until_taken}
    done = False
    try:
        for step in client.ask(wrapper.path, question, None):
            done = step.get("done") is True
            sys.stdout.write(f"{step.get('after_seconds', 0.0):8.3f}s  {printable(_words(step))}\n")
            sys.stdout.flush()
    except client.CannotAsk as error:
        sys.stderr.write(f"leaderexec: {printable(str(error))}\n")
        return UNKNOWN
    return DONE if done else NOT_DONE


def _choose(
    found: Sequence[client.Wrapper],
    environ: Mapping[str, str],
    control_socket: str | None,
    identity: str | None,
) -> client.Wrapper:
    fits = [one for one in found if identity in (None, one.identity)]
    if len(fits) == 1:
        return fits[0]
    # If several run on one machine, only the leader can have been meant.
    leaders = [one for one in fits if one.is_leader]
    if len(leaders) == 1:
        return leaders[0]
    if fits:
        names = ", ".join(f"{one.identity} (pid {one.pid}, {one.setting})" for one in fits)
        raise UsageError(
            f"several leaderexec run here: {names}; choose one with --identity or --control-socket"
        )
    where = control_socket if control_socket != "auto" else ", ".join(place.directories(environ))
    raise UsageError(
        "no leaderexec that can step down runs here"
        + (f" as {identity!r}" if identity is not None else "")
        + f" under this user (searched {where}). With an elector none can: delete its Lease or"
        " its Pod. If none of these is writable, set --control-socket PATH for both"
    )


def _words(step: Mapping[str, Any]) -> str:
    match step.get("step"):
        case "asked":
            return f"{step.get('identity')} is asked to step down (term {step.get('term')})"
        case "taken":
            return f"taken by {step.get('leader')}"
        case "not taken":
            seconds = show_duration(float(step.get("hold_off", 0.0)))
            return f"no other replica took over within {seconds}; this one competes again"
        case "not released":
            return "not released: the election could not be reached; leadership will expire"
        case "not the leader":
            who = step.get("leader")
            does = "no leader is known" if who is None else f"{who} does"
            return f"nothing to release: this replica does not lead, {does}"
        case "blocked":
            return f"waiting: {step.get('reason')}"
        case "ended":
            return f"leaderexec has exited with {step.get('code')}, which released leadership"
        case other:
            return str(other or step.get("error"))
