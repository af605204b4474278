"""Rows: nothing is left after the stop."""

import signal
import time
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

from inits.probe import KINDS
from inits.programs import GRACE, OURS, Program
from inits.running import PROBE, Mode, Running, until
from inits.table import NOT_APPLICABLE, Cell, Row, yes

if TYPE_CHECKING:
    from collections.abc import Callable

MARGIN = 1.0
TREE = 1000
# Ten branches of a hundred; an ignored signal stays ignored in descendants.
_TREE = f"""
trap '' TERM INT HUP
i=0
while [ $i -lt 10 ]; do
  (n=0; while [ $n -lt {TREE // 10 - 1} ]; do sleep 600 & n=$((n+1)); done; wait) &
  i=$((i+1))
done
wait
"""


class Aftermath(NamedTuple):
    """What happened to the processes that the command left behind, by kind."""

    gone: frozenset[str]
    told: frozenset[str]


@cache
def _aftermath(mode: Mode, program: Program, *, by_itself: bool) -> Aftermath:
    with Running(program, [*PROBE, "leaver"], mode) as running:
        for kind in KINDS:
            running.said(f"<ready {kind}>")
        until(lambda: [one for one in running.marked("stopped") if one.state == "T"])
        if by_itself:
            running.write("\n")
        else:
            running.send(signal.SIGTERM)
        running.code(GRACE + MARGIN)
        until(lambda: not running.marked("leftover"), MARGIN / 2)
        return Aftermath(
            frozenset(kind for kind in KINDS if not running.marked(kind)),
            frozenset(kind for kind in KINDS if running.said(f"<told {kind}>", 0)),
        )


def _gone(kind: str, mode: Mode, program: Program, *, by_itself: bool = False) -> Cell:
    if mode is Mode.PID_1 and not program.as_pid_1:
        return NOT_APPLICABLE
    return yes(kind in _aftermath(mode, program, by_itself=by_itself).gone)


def _told(mode: Mode, program: Program, *, by_itself: bool) -> Cell:
    if mode is Mode.PID_1 and not program.as_pid_1:
        return NOT_APPLICABLE
    return yes(_aftermath(mode, program, by_itself=by_itself).told == set(KINDS))


def _stubborn(mode: Mode, program: Program) -> Cell:
    if mode is Mode.PID_1 and not program.as_pid_1:
        return NOT_APPLICABLE
    with Running(program, [*PROBE, "stubborn"], mode) as running:
        running.said("<ready>")
        running.send(signal.SIGTERM)
        running.code(GRACE + MARGIN)
        return yes(not running.marked("stubborn"))


def _tree(mode: Mode, program: Program) -> Cell:
    if mode is Mode.PID_1 and not program.as_pid_1:
        return NOT_APPLICABLE
    with Running(program, ["sh", "-c", _TREE], mode) as running:
        if not until(lambda: len(running.marked("sleep")) == TREE - 10, 30):
            return yes(False, "the tree did not grow")
        began = time.monotonic()
        running.send(signal.SIGTERM)
        until(lambda: not running.marked("sleep"), GRACE + MARGIN)
        took = time.monotonic() - began
        gone = not running.marked("sleep")
        return yes(gone, f"{took:.1f} s" if program == OURS else "")


def _told_of_our_death(program: Program, *, options: tuple[str, ...] = ()) -> Cell:
    with Running(program, [*PROBE, "told"], options=options) as running:
        running.said("<ready>")
        running.send(signal.SIGKILL)
        return yes(running.said("<told>", 1))


def _command_told(program: Program) -> Cell:
    return _told_of_our_death(
        program, options=("-p", "SIGTERM") if program.name.startswith("tini") else ()
    )


def _follows_parent(program: Program) -> Cell:
    options = ("-p", "SIGTERM") if program.name.startswith("tini") else ()
    parent = ["sh", "-c", '"$@" & read line', "sh"]
    with Running(program, [*PROBE, "told"], options=options, before=parent) as running:
        running.said("<ready>")
        running.send(signal.SIGKILL)
        return Cell("yes" if running.said("<told>", 1) else "no")


PARENT_NOTE = "tini with `-p SIGTERM`; the others, including leaderexec, have no such option."
DEATH_NOTE = (
    "tini with `-p SIGTERM`, which requests a signal to tini when *its* parent dies; the command"
    " gets none when tini does."
)
GONE_NOTE = (
    "When a wrapper that is PID 1 exits, the kernel kills whatever is left in the namespace."
)
GRACE_NOTE = (
    f"`--grace {int(GRACE * 1000)}ms`, measured {MARGIN:g} s after it; the others have no such"
    " option."
)

_KINDS: tuple[tuple[str, str], ...] = (
    ("setsid", "setsid escapee"),
    ("daemon", "double-forked daemon"),
    ("stopped", "stopped (SIGSTOP) process"),
)


def _rows(mode: Mode) -> list[Row]:
    gone: list[Row] = [
        Row(f"{name} gone after the stop, {mode.value}", partial(_gone, kind, mode), GONE_NOTE)
        for kind, name in _KINDS
    ]
    told: Callable[[Program], Cell] = partial(_told, mode, by_itself=False)
    ended: Callable[[Program], Cell] = partial(_gone, "child", mode, by_itself=True)
    ended_told: Callable[[Program], Cell] = partial(_told, mode, by_itself=True)
    return [
        *gone,
        Row(f"leftovers get TERM before they are killed, {mode.value}", told),
        Row(
            f"leftovers gone when the command exited on its own, {mode.value}",
            ended,
            GONE_NOTE,
        ),
        Row(f"leftovers of a command that exited on its own get TERM, {mode.value}", ended_told),
        Row(
            f"TERM-ignorer gone within the grace, {mode.value}",
            partial(_stubborn, mode),
            GRACE_NOTE,
        ),
        Row(
            f"tree of {TREE:,} that ignores TERM gone within the grace, {mode.value}",
            partial(_tree, mode),
            GRACE_NOTE,
        ),
    ]


ROWS = (
    *_rows(Mode.PID_1),
    *_rows(Mode.ORDINARY),
    Row("wrapper killed by SIGKILL: command is signalled", _command_told, DEATH_NOTE),
    Row(
        "wrapper's parent killed: command is signalled *(not compared)*",
        _follows_parent,
        PARENT_NOTE,
    ),
)
