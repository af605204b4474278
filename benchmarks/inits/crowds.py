"""Rows: many processes are stopped as reliably as few.

A crowd holds the standard output that it inherited, so end-of-file says that the last one is gone:
that costs nothing and misses none.
"""

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from statistics import median

from inits.programs import GRACE, OURS, OURS_AS_IT_IS, PROGRAMS, Program
from inits.running import Mode, Running
from inits.table import NOT_APPLICABLE, Cell, NotMeasuredError, Row, yes

MARGIN = 1.0
BOMBS = (300, 2_000)
SLEEPERS = 20_000
# The same program takes from one second to seven: in some runs dying processes wait for each
# other's locks in the kernel. So the median of this many counts.
TIMES = 5
# A crowd that is not stopped ends after this many seconds.
BOUND = 60
# The previous crowd's remains may fill the machine for a while.
GROWTH = 120.0
# A program that has not stopped the crowd after this many seconds never will.
PATIENCE = 8.0
# The bomb's user, which has no other processes, so that its limit only counts the bomb.
USER = 59_000 + os.getpid() % 1_000


@cache
def _crowd() -> str:
    """Compile the crowd; return its path. Another user must be able to execute it."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    Path(folder).chmod(0o755)
    program = str(Path(folder, "crowd"))
    source = str(Path(__file__).with_name("crowd.c"))
    subprocess.run(["cc", "-O2", "-static", "-o", program, source], check=True)
    return program


def _stopped(program: Program, mode: Mode, *crowd: object) -> float | None:
    """Grow a crowd and order the stop; return the seconds until the last process was gone, None
    if that took too long."""
    _watch_closely()
    with Running(program, [_crowd(), *map(str, crowd)], mode) as running:
        try:
            # Later that would take a look at the whole crowd.
            pid = running.pid()
            if not running.said("<ready>", GROWTH):
                raise NotMeasuredError("the crowd did not grow")
            began = time.monotonic()
            os.kill(pid, signal.SIGTERM)
            return time.monotonic() - began if running.closed(PATIENCE) else None
        finally:
            # One by one they would be replaced in the meantime.
            subprocess.run([_crowd(), "end", str(USER)], check=True)


def _watch_closely() -> None:
    """Let this process see at once what the crowd does, which wants every CPU."""
    with suppress(PermissionError):
        real_time = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(0, real_time, os.sched_param(2))


def _within(allowed: float, took: float | None) -> Cell:
    if took is None:
        return yes(False)
    return yes(took <= allowed, f"{took:.1f} s")


def _bomb(count: int, mode: Mode, program: Program) -> Cell:
    if mode is Mode.PID_1 and not program.as_pid_1:
        return NOT_APPLICABLE
    return _within(GRACE + MARGIN, _stopped(program, mode, "bomb", count, BOUND, USER))


@cache
def _sleepers(program: Program, mode: Mode) -> float | None:
    # They exit on TERM: nobody with 20,000 processes gives them half a second for it.
    program = OURS_AS_IT_IS if program is OURS else program
    took = []
    for _ in range(TIMES):
        seconds = _stopped(program, mode, "sleepers", SLEEPERS, BOUND)
        if seconds is None:
            return None
        took.append(seconds)
    return median(took)


def _sleepers_end(mode: Mode, program: Program) -> Cell:
    if mode is Mode.PID_1 and not program.as_pid_1:
        return NOT_APPLICABLE
    plain = next((one for one in PROGRAMS if one.name == "tini" and one.file), program)
    return _within(2 * (_sleepers(plain, Mode.PID_1) or PATIENCE), _sleepers(program, mode))


BOMB_NOTE = (
    f"Each process in a session of its own, forking for ever; ignores TERM. `--grace"
    f" {int(GRACE * 1000)}ms`, measured {MARGIN:g} s after it; the others have no such option."
)
SLEEPERS_NOTE = (
    f"Within twice what tini takes as PID 1, which ends and leaves the rest to the kernel; medians"
    f" of {TIMES}."
)

ROWS = tuple(
    row
    for mode in Mode
    for row in (
        *(
            Row(
                f"fork bomb of {count:,} gone within the grace, {mode.value}",
                partial(_bomb, count, mode),
                BOMB_NOTE,
            )
            for count in BOMBS
        ),
        Row(
            f"{SLEEPERS:,} processes that end on TERM gone in time, {mode.value}",
            partial(_sleepers_end, mode),
            SLEEPERS_NOTE,
        ),
    )
)
