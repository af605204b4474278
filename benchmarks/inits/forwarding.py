"""Rows: signals sent to the wrapper reach the command."""

import signal
from collections.abc import Iterable, Sequence
from functools import partial

from inits.programs import Program
from inits.running import PROBE, Mode, Running
from inits.table import NOT_APPLICABLE, Cell, Row, out_of, yes

JOB_CONTROL = frozenset({signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})
ORDERS = frozenset({signal.SIGTERM, signal.SIGINT})
NOBODYS = frozenset({signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD})
PLAIN = sorted(signal.valid_signals() - JOB_CONTROL - ORDERS - NOBODYS)

# How long a signal may take before it counts as lost.
LOST = 0.5


def _reach(numbers: Iterable[int], mode: Mode, program: Program) -> set[int]:
    """Send each one; a wrapper that a signal ends is restarted for the next."""
    left, arrived = list(numbers), set()
    while left:
        with Running(program, [*PROBE, "signals"], mode) as running:
            if not running.said("<ready>"):
                break
            while left and running.process.poll() is None:
                number = left.pop(0)
                running.send(number)
                if running.said(f"<got {int(number)}>", LOST):
                    arrived.add(number)
                # Some suspend themselves together with the command.
                running.send(signal.SIGCONT)
    return arrived


def _count(numbers: Sequence[int], mode: Mode, program: Program) -> Cell:
    if mode is Mode.PID_1 and not program.as_pid_1:
        return NOT_APPLICABLE
    return out_of(len(_reach(numbers, mode, program)), len(numbers))


def _stops(number: int, mode: Mode, program: Program) -> Cell:
    if mode is Mode.PID_1 and not program.as_pid_1:
        return NOT_APPLICABLE
    with Running(program, ["sh", "-c", "echo '<ready>'; exec sleep 100"], mode) as running:
        running.said("<ready>")
        running.send(number)
        code = running.code(3)
        return yes(code in (128 + number, 128 + signal.SIGTERM))


PLAIN_NOTE = (
    "1 to 31 and 34 to 64 without KILL and STOP (no process can handle these), CHLD (none of"
    " them forwards it), TERM and INT (rows of their own), and TSTP, TTIN and TTOU (another row)."
)
ORDER_NOTE = "leaderexec treats both as an order to stop, and the command gets `--stop-signal`."
JOB_NOTE = (
    "Sent to the wrapper by kill(1), to a command that handles them; by design dumb-init sends STOP"
    " instead and stops itself."
)

ROWS = tuple(
    row
    for mode in Mode
    for row in (
        Row(
            f"signals that reach the command ({len(PLAIN)}), {mode.value}",
            partial(_count, PLAIN, mode),
            PLAIN_NOTE,
        ),
        Row(
            f"TSTP, TTIN and TTOU reach the command, {mode.value}",
            partial(_count, sorted(JOB_CONTROL), mode),
            JOB_NOTE,
        ),
        Row(f"TERM stops it, {mode.value}", partial(_stops, signal.SIGTERM, mode), ORDER_NOTE),
        Row(f"INT stops it, {mode.value}", partial(_stops, signal.SIGINT, mode), ORDER_NOTE),
    )
)
