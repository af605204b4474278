"""Rows: on a terminal the command works as well as without the wrapper."""

import shlex
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

from inits.programs import Program
from inits.running import PROBE, Mode, Running
from inits.table import NOT_APPLICABLE, Cell, Row, yes

if TYPE_CHECKING:
    from collections.abc import Callable

SOON = 2.0
COMMAND = (*PROBE, "terminal")


class Session(NamedTuple):
    """What happened on a terminal."""

    foreground: bool
    interrupted: bool
    resized: bool
    reads: bool


@cache
def _session(mode: Mode, program: Program) -> Session:
    with Running(program, COMMAND, mode, pty=True) as running:
        running.said("<ready>")
        foreground = running.said("<foreground True>", 0)
        running.resize(33, 77)
        resized = running.said("<size 77 33>", SOON)
        running.write("hello\n")
        reads = running.said("<read hello>", SOON)
        running.write("\x03")
        interrupted = running.said("<got SIGINT>", SOON)
        return Session(foreground, interrupted, resized, reads)


def _fact(field: str, mode: Mode, program: Program) -> Cell:
    if mode is Mode.PID_1 and not program.as_pid_1:
        return NOT_APPLICABLE
    return yes(getattr(_session(mode, program), field))


class Job(NamedTuple):
    """What job control did."""

    suspended: bool
    continued: bool


@cache
def _job(program: Program) -> Job:
    shell = Program("bash", "bash", ("--norc", "--noprofile", "-i"))
    words = [shell.file or "", *shell.options]
    with Running(Program("bash", "env"), words, pty=True) as running:
        running.said("$ ")
        running.write(shlex.join([*program.prefix(), *COMMAND]) + "\n")
        running.said("<ready>")
        running.forget()
        running.write("\x1a")
        suspended = running.said("Stopped", SOON)
        if suspended:
            running.write("fg\n")
        running.forget()
        running.write("hello\n")
        return Job(suspended, suspended and running.said("<read hello>", SOON))


def _suspended(program: Program) -> Cell:
    return yes(_job(program).suspended)


def _continued(program: Program) -> Cell:
    return yes(_job(program).continued)


def _given_back(program: Program) -> Cell:
    script = '"$@"; echo "<ended>"; read line; echo "<read $line>"'
    with Running(program, ["true"], pty=True, before=["sh", "-c", script, "sh"]) as running:
        if not running.said("<ended>"):
            return yes(False)
        running.write("hello\n")
        return yes(running.said("<read hello>", SOON))


def _without(program: Program) -> Cell:
    with Running(program, ["sh", "-c", "exit 7"], before=["setsid", "--wait"]) as running:
        return yes(running.code() == 7)  # noqa: PLR2004 - the command's


_FIELDS = (
    ("foreground", "the command is the terminal's foreground group"),
    ("reads", "the command can read from the terminal"),
    ("interrupted", "Ctrl-C reaches it"),
    ("resized", "a new window size reaches it"),
)


def _rows(mode: Mode) -> list[Row]:
    rows: list[Row] = []
    for field, title in _FIELDS:
        measure: Callable[[Program], Cell] = partial(_fact, field, mode)
        rows.append(Row(f"{title}, {mode.value}", measure))
    return rows


ROWS = (
    *_rows(Mode.PID_1),
    *_rows(Mode.ORDINARY),
    Row("Ctrl-Z suspends the job under an interactive bash", _suspended),
    Row("`fg` continues it", _continued),
    Row("the terminal is given back at the end", _given_back),
    Row("works without a controlling terminal", _without),
)
