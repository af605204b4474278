"""Our own log lines, for people at a terminal."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leaderexec.logs import Log, _json

Run = Callable[..., subprocess.CompletedProcess[str]]
SAY = """
from leaderexec.logs import Log
log = Log("info", "console", identity="a\\x1b]0;title\\x07")
log.info("said", reason="\\x1b[31mred\\x1b[0m\\nnext line", leader="\\u202eevil", umlaut="ü")
log.flush(10)
"""


def test_no_foreign_text_can_control_the_terminal(run: Run) -> None:
    """Names, reasons and the output of hooks are shown, not interpreted."""
    result = run(sys.executable, "-c", SAY)
    for raw in ("\x1b", "\x07", "\u202e"):
        assert raw not in result.stderr
    assert result.stderr.count("\n") == 1
    assert "\\x1b[31mred" in result.stderr
    assert "ü" in result.stderr


@pytest.mark.parametrize(
    "text", ["\x9b31mred", "\x7f", "\u202eevil", "a\u2028b", "\U000e0041", "ü"]
)
def test_nor_can_it_in_a_line_of_json(run: Run, text: str) -> None:
    """JSON itself only escapes characters below a space; the value stays the same."""
    say = f"log = Log('info', 'json'); log.info('said', reason={text!r}); log.flush(10)"
    result = run(sys.executable, "-c", f"from leaderexec.logs import Log; {say}")
    (line,) = result.stderr.splitlines()
    assert line.isprintable()
    assert json.loads(line)["reason"] == text
    assert ("ü" in line) is (text == "ü")


def test_there_is_one_writing_thread_however_many_log_while_it_is_created(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A second one would write lines out of order, and its last line would be lost at the exit."""
    created: list[str] = []
    entered = threading.Event()
    start = threading.Thread.start

    def slowly(thread: threading.Thread) -> None:
        if thread.name == "log":
            created.append(thread.name)
            entered.set()
            # On a busy machine: time enough for another one to log.
            time.sleep(0.05)
        start(thread)

    log = Log("info", "json")
    monkeypatch.setattr("leaderexec.logs._write", lambda *_, **__: None)
    monkeypatch.setattr(threading.Thread, "start", slowly)
    beginning = threading.Thread(target=log.begin, args=("first",))
    beginning.start()
    assert entered.wait(60)
    log.info("second")
    beginning.join()
    log.flush(60)
    assert created == ["log"]


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(values | st.characters(categories=["Cs", "Cc", "Cf", "Co"]))
@settings(deadline=None, max_examples=50)
def test_a_line_of_json_has_exactly_what_was_logged(value: object) -> None:
    """Whatever it is: any parser gets it back, and no terminal interprets it."""
    line = _json(value)
    assert line.isprintable()
    assert json.loads(line) == value


def test_values_that_json_does_not_have_become_text() -> None:
    """No line is lost because of one of its fields; a signal is its number."""
    value = {"why": ValueError('a "b"'), "signal": signal.SIGTERM, "pair": (1, float("inf"))}
    assert json.loads(_json(value)) == {"why": 'a "b"', "signal": 15, "pair": [1, "inf"]}
