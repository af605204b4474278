"""Our own lines, for people at a terminal."""

import subprocess
import sys
from collections.abc import Callable

Run = Callable[..., subprocess.CompletedProcess[str]]
SAY = """
from leaderexec.logs import Log
log = Log("info", "console", identity="a\\x1b]0;title\\x07")
log.info("said", reason="\\x1b[31mred\\x1b[0m\\nnext line", leader="\\u202eevil", umlaut="ü")
log.flush(10)
"""


def test_nothing_that_comes_from_elsewhere_steers_the_terminal(run: Run) -> None:
    """Names, reasons and output of hooks are shown, not obeyed."""
    result = run(sys.executable, "-c", SAY)
    for raw in ("\x1b", "\x07", "\u202e"):
        assert raw not in result.stderr
    assert result.stderr.count("\n") == 1
    assert "\\x1b[31mred" in result.stderr
    assert "ü" in result.stderr
