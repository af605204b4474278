"""Rows: orders to stop are obeyed, whenever they arrive, whatever they are and whatever runs."""

import atexit
import os
import shutil
import signal
import sys
import tempfile
import time
from functools import cache, partial
from pathlib import Path

from inits.programs import OURS, Program
from inits.running import PROBE, Mode, Running, until
from inits.table import NOT_APPLICABLE, Cell, Row, out_of, yes
from leaderexec.process.command import find_launcher

# How long the program may take to exit before the order counts as lost.
LOST = 3.0
TRIES = 20
LATEST = 0.1
WITHOUT_KILL = ("setpriv", "--bounding-set=-kill", "--inh-caps=-kill")
AS_ANOTHER = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
SLEEPER = ("sh", "-c", "echo '<ready>'; exec sleep 100")


@cache
def _as_in_the_images(program: Program) -> Program:
    """Put the launcher in front, which is the images' entrypoint (packaging/bundle.py)."""
    launcher = find_launcher()
    if program != OURS or launcher is None:
        return program
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    entry = Path(folder, "leaderexec")
    shutil.copy(launcher, entry)
    script = f"#!{sys.executable} -I\nfrom leaderexec.__main__ import main\nmain()\n"
    entry.with_suffix(".py").write_text(script)
    entry.with_suffix(".py").chmod(0o755)
    return program._replace(file=str(entry))


def _first_process(parent: int) -> int:
    """Return PID 1 of the namespace once it is a program other than unshare; 0 before."""
    try:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        program = os.readlink(f"/proc/{children[0]}/exe")
    except (OSError, IndexError):
        return 0
    return 0 if program.endswith("unshare") else int(children[0])


def _hears(program: Program, delay: float) -> bool:
    """Return whether a TERM this many seconds after the exec of PID 1 ends it."""
    with Running(program, ["sleep", "100"], Mode.PID_1) as running:
        pid = 0
        give_up = time.monotonic() + LOST
        while not pid and time.monotonic() < give_up:
            pid = _first_process(running.process.pid)
        # A sleep this short would be as long as the delay itself.
        moment = time.monotonic() + delay
        while time.monotonic() < moment:
            pass
        os.kill(pid, signal.SIGTERM)
        return running.code(LOST) is not None


@cache
def _early(program: Program) -> Cell:
    if not program.as_pid_1:
        return NOT_APPLICABLE
    delays = (0.001 + LATEST * number / TRIES for number in range(TRIES))
    return out_of(sum(_hears(program, delay) for delay in delays), TRIES)


def _early_in_the_images(program: Program) -> Cell:
    return _early(_as_in_the_images(program))


def _early_once_installed(program: Program) -> Cell:
    return _early(program)._replace(score=None)


def _not_permitted(mode: Mode, program: Program) -> Cell:
    """Return whether both continue after a signal that may not be forwarded."""
    if mode is Mode.PID_1 and not program.as_pid_1:
        return NOT_APPLICABLE
    with Running(program, [*AS_ANOTHER, *SLEEPER], mode, before=WITHOUT_KILL) as running:
        if not running.said("<ready>"):
            return Cell("did not start")
        running.send(signal.SIGWINCH)
        ended = running.code(LOST / 3) is not None
        return yes(not ended and until(lambda: running.marked("sleep"), 1))


def _each_as_itself(program: Program) -> Cell:
    """Return whether INT arrives as INT, and TERM as TERM."""
    options = ("--stop-signal", "same") if program == OURS else ()
    arrived = 0
    for number in (signal.SIGINT, signal.SIGTERM):
        with Running(program, [*PROBE, "signals"], options=options) as running:
            running.said("<ready>")
            running.send(number)
            arrived += running.said(f"<got {int(number)}>", LOST)
    return yes(arrived == 2)  # noqa: PLR2004 - both


def _quit_ends(mode: Mode, program: Program) -> Cell:
    """Return whether QUIT, as an image's STOPSIGNAL, ends wrapper and command."""
    if mode is Mode.PID_1 and not program.as_pid_1:
        return NOT_APPLICABLE
    # If it were restarted, it would not end: the order must be understood, not only forwarded.
    options = ("--end-on", "QUIT", "--restart", "always") if program == OURS else ()
    script = "trap 'exit 0' QUIT; echo '<ready>'; while :; do sleep 0.05; done"
    with Running(program, ["sh", "-c", script], mode, options=options) as running:
        running.said("<ready>")
        running.send(signal.SIGQUIT)
        return yes(running.code(LOST) == 0)


EARLY_NOTE = (
    f"{TRIES} times, from 1 to {LATEST * 1000:g} ms after its exec; leaderexec with the images'"
    " entrypoint, which blocks signals before Python starts. A plain `pip install` has no such"
    " entrypoint and loses signals that arrive earlier."
)
PERMIT_NOTE = (
    f"Root without CAP_KILL (`{' '.join(WITHOUT_KILL)}`), a command that runs as another user, and"
    " a WINCH."
)
SAME_NOTE = "leaderexec with `--stop-signal same`."
QUIT_NOTE = "leaderexec with `--end-on QUIT`, and with `--restart always` on top."

ROWS = (
    Row("a TERM in its first milliseconds is not lost, as PID 1", _early_in_the_images, EARLY_NOTE),
    # Nothing that Python does can win this one.
    Row("the same after a plain `pip install` *(not compared)*", _early_once_installed, EARLY_NOTE),
    *(
        Row(
            f"a signal that may not be forwarded ends neither, {mode.value}",
            partial(_not_permitted, mode),
            PERMIT_NOTE,
        )
        for mode in Mode
    ),
    Row("INT arrives as INT, TERM as TERM", _each_as_itself, SAME_NOTE),
    *(
        Row(f"QUIT as STOPSIGNAL ends it, {mode.value}", partial(_quit_ends, mode), QUIT_NOTE)
        for mode in Mode
    ),
)
