"""Rows: the command's end is reported unchanged."""

import signal
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from inits.programs import Program
from inits.running import Mode, Running
from inits.table import NOT_APPLICABLE, Cell, Row, out_of, yes

HARMLESS = frozenset(
    {
        signal.SIGCHLD,
        signal.SIGCONT,
        signal.SIGURG,
        signal.SIGWINCH,
        signal.SIGSTOP,
        signal.SIGTSTP,
        signal.SIGTTIN,
        signal.SIGTTOU,
    }
)
DEADLY = sorted(signal.valid_signals() - HARMLESS)


def _code(program: Program, *command: str, mode: Mode = Mode.ORDINARY) -> int | None:
    with Running(program, command, mode) as running:
        return running.code()


def _right(program: Program, expected: Iterable[tuple[str, int]], mode: Mode) -> Cell:
    """Run each script, two at a time, and count the codes that are passed on."""
    pairs = list(expected)
    with ThreadPoolExecutor(2) as pool:
        codes = pool.map(lambda pair: _code(program, "sh", "-c", pair[0], mode=mode), pairs)
        right = sum(code == pair[1] for code, pair in zip(codes, pairs, strict=True))
    return out_of(right, len(pairs))


def _exit_codes(program: Program) -> Cell:
    return _right(program, ((f"exit {code}", code) for code in range(256)), Mode.ORDINARY)


def _exit_codes_as_pid_1(program: Program) -> Cell:
    if not program.as_pid_1:
        return NOT_APPLICABLE
    codes = (0, 1, 2, 42, 124, 125, 126, 127, 128, 129, 143, 200, 254, 255)
    return _right(program, ((f"exit {code}", code) for code in codes), Mode.PID_1)


def _deaths(program: Program) -> Cell:
    deaths = ((f"ulimit -c 0; kill -{int(number)} $$", 128 + number) for number in DEADLY)
    return _right(program, deaths, Mode.ORDINARY)


def _not_found(program: Program) -> Cell:
    codes = {_code(program, "no-such-command"), _code(program, "/no/such/command")}
    return yes(codes == {127})


def _not_executable(program: Program) -> Cell:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "file")
        file.write_text("text")
        file.chmod(0o644)
        codes = {_code(program, str(file)), _code(program, folder)}
    return yes(codes == {126})


ROWS = (
    Row("exit codes 0 to 255 come through", _exit_codes),
    Row("exit codes come through, as PID 1 (14 of them tried)", _exit_codes_as_pid_1),
    Row(f"death by signal is reported as 128+n (all {len(DEADLY)} deadly signals)", _deaths),
    Row("command not found: 127", _not_found),
    Row("command not executable: 126 (a file without the mode, a folder)", _not_executable),
)
