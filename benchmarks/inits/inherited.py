"""Rows: the command inherits what it would without the wrapper, and nothing from the wrapper."""

import fcntl
import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from inits.programs import Program
from inits.running import PROBE, Running
from inits.table import Cell, Row, yes

FIELDS = ("SigBlk", "SigIgn")


def _masks(program: Program, before: Sequence[str] = ()) -> dict[str, int]:
    """Return the command's signal sets, as proc_pid_status(5) shows them."""
    command = ["grep", "-E", "^Sig", "/proc/self/status"]
    with Running(program, command, before=before) as running:
        running.code()
        found = re.findall(r"(\w+):\s+([0-9a-f]+)", running.output())
    return {name: int(mask, 16) for name, mask in found}


def _all_default(program: Program) -> Cell:
    masks = _masks(program)
    return yes(masks and all(masks[field] == 0 for field in FIELDS))


def _keeps_hangup(program: Program) -> Cell:
    masks = _masks(program, ["sh", "-c", 'trap "" HUP; exec "$@"', "sh"])
    return yes(masks and masks["SigIgn"] & 1)


class _Open(NamedTuple):
    """Whether the command got our descriptor, and how many others in addition to 0, 1 and 2."""

    passed: bool
    others: int


def _open(program: Program) -> _Open:
    with open("/dev/null", "rb") as file:
        given = fcntl.fcntl(file, fcntl.F_DUPFD, 100)
    try:
        with Running(program, [*PROBE, "descriptors"], pass_fds=[given]) as running:
            running.said("<open")
            running.code()
            found = re.search(r"<open ([\d ]+)>", running.output())
    finally:
        os.close(given)
    numbers = {int(number) for number in found[1].split()} if found else {-1}
    return _Open(given in numbers, len(numbers - {0, 1, 2, given}))


def _no_leak(program: Program) -> Cell:
    return yes(_open(program).others == 0)


def _passes(program: Program) -> Cell:
    return Cell("passed on" if _open(program).passed else "closed")


ROWS = (
    Row("no signal is blocked or ignored in the command (SIGPIPE too)", _all_default),
    Row("a HUP that nohup ignored stays ignored", _keeps_hangup),
    Row("none of the wrapper's own descriptors leaks", _no_leak),
    Row("a descriptor that the wrapper inherited is *(not compared)*", _passes),
)
