"""Rows: orphans are adopted and reaped, and that never costs the exit code."""

from functools import partial

from inits.programs import Program
from inits.running import PROBE, Mode, Running, children, until
from inits.table import NOT_APPLICABLE, Cell, Row, yes

STORM = 10_000
_STORM = f"i=0; while [ $i -lt {STORM} ]; do (: &); i=$((i+1)); done; echo '<stormed>'; read line"
_DYING = "i=0; while [ $i -lt 200 ]; do (sleep 0.02 &); i=$((i+1)); done; exit 42"


def _adopted(running: Running) -> bool:
    """Return whether the orphan is the wrapper's child."""
    return any(one.parent == running.pid() for one in running.marked("sleeper"))


def _reaps(mode: Mode, program: Program) -> Cell:
    if mode is Mode.PID_1 and not program.as_pid_1:
        return NOT_APPLICABLE
    with Running(program, [*PROBE, "orphan"], mode) as running:
        running.said("<ready>")
        if not until(lambda: _adopted(running), 1):
            return yes(False)
        running.write("\n")
        return yes(until(lambda: len(children(running.pid())) == 1, 3))


def _storm(mode: Mode, program: Program) -> Cell:
    if mode is Mode.PID_1 and not program.as_pid_1:
        return NOT_APPLICABLE
    if not _reaps(mode, program).score:
        return yes(False, "adopts none")
    with Running(program, ["sh", "-c", _STORM], mode) as running:
        if not running.said("<stormed>", 60):
            return yes(False, "did not end")
        return yes(until(lambda: len(children(running.pid())) == 1, 5))


def _keeps_code(mode: Mode, program: Program) -> Cell:
    if mode is Mode.PID_1 and not program.as_pid_1:
        return NOT_APPLICABLE
    with Running(program, ["sh", "-c", _DYING], mode) as running:
        return yes(running.code() == 42)  # noqa: PLR2004 - the command's


ROWS = tuple(
    Row(f"{title}, {mode.value}", partial(measure, mode))
    for title, measure in (
        ("orphans are adopted and reaped", _reaps),
        (f"{STORM:,} double-forked orphans leave no zombie", _storm),
        ("exit code kept while 200 orphans die", _keeps_code),
    )
    for mode in Mode
)
