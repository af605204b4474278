"""``--status`` with ``--peers``: all replicas, side by side."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from leaderexec.console import screen
from leaderexec.console.render import BOLD, DIM, GREEN, RED, Painter, duration
from leaderexec.peers.asking import Asking
from leaderexec.printable import all_printable

_HEADINGS = ("REPLICA", "ROLE", "SINCE", "TERM", "FENCE", "HEALTH")
_HEALTH = {True: "healthy", False: "not healthy", None: "-"}
_WIDEST = 40


def draw(asking: Asking) -> str:
    """Return the table. Raises CannotAsk if no replica answers."""
    return table(_asked(asking), screen.width(), colours=screen.colours())


def in_json(asking: Asking) -> str:
    """Return the same as one line of JSON, in ASCII. Raises CannotAsk."""
    return f"{json.dumps(_asked(asking))}\n"


def _asked(asking: Asking) -> dict[str, Any]:
    answers = asking.ask()
    replicas = answers["replicas"]
    if all(one["role"] is None for one in replicas):
        why = "; ".join(f"{one['address']}: {one['unfit']}" for one in replicas[:3])
        raise screen.CannotAsk(
            f"no replica answers ({why}); do they run with --http, at these --peers?"
        )
    return answers


def table(answers: Mapping[str, Any], width: int, *, colours: bool) -> str:
    """Return the table of a round of answers: `*` marks who leads, `!` who is unfit."""
    paint = Painter(colours=colours)
    answers = all_printable(answers)
    rows = [_HEADINGS, *(_cells(one) for one in answers["replicas"])]
    widths = [max(len(row[at]) for row in rows) for at in range(len(_HEADINGS))]
    lines = [paint(BOLD, answers["summary"][:width]), ""]
    headings = f"   {_in_columns(_HEADINGS, widths)}  NOTE"
    lines.append(paint(BOLD, headings[:width]))
    for cells, one in zip(rows[1:], answers["replicas"], strict=True):
        marks = ("*" if one["is_leader"] else " ") + ("!" if one["unfit"] else " ")
        note = f"UNFIT: {one['unfit']}" if one["unfit"] else one["reason"] or ""
        colour = RED if one["unfit"] else GREEN if one["is_leader"] else DIM
        line = f"{marks} {_in_columns(cells, widths)}  {note}"
        lines.append(paint(colour, line[:width].rstrip()))
    if answers["left_out"]:
        lines.append(f"   and {answers['left_out']} more, which were not asked")
    return "\n".join(lines) + "\n"


def _in_columns(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(f"{cell:{wide}}" for cell, wide in zip(cells, widths, strict=True))


def _cells(one: Mapping[str, Any]) -> tuple[str, ...]:
    name = one["identity"] or one["address"]
    if one["role"] is None:
        return (_short(name), "-", "-", "-", "-", "-")
    numbers = ("-" if one[name] is None else str(one[name]) for name in ("term", "fence"))
    healthy = one["healthy"] if one["role"] == "running" else None
    return (_short(name), _short(one["role"]), _since(one), *numbers, _HEALTH[healthy])


def _since(one: Mapping[str, Any]) -> str:
    # What a server claims may be no time at all.
    with suppress(ValueError, TypeError):
        return f"{duration(max(0.0, screen.age(one['role_since'])))} ago"
    return "-"


def _short(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."
