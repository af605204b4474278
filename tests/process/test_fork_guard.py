"""A fork and another thread's import never interleave."""

import importlib
import os
import threading
from pathlib import Path

import pytest

from leaderexec.process import fork_guard
from leaderexec.process.command import Command, Launch

TRUE = Launch("/bin/true", ["true"], {})


def test_a_fork_waits_for_the_end_of_an_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handlers that the import registers for forks are called in pairs."""
    begun = threading.Event()
    calls: list[str] = []
    (tmp_path / "slow_to_import.py").write_text(
        "import os, time\n"
        "begun.set()\n"
        "until = time.monotonic() + 0.2\n"
        "while time.monotonic() < until: pass\n"
        "calls.append('imported')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(__builtins__, "begun", begun)  # type: ignore[arg-type]
    monkeypatch.setitem(__builtins__, "calls", calls)  # type: ignore[arg-type]

    def import_it() -> None:
        with fork_guard.importing():
            importlib.import_module("slow_to_import")

    thread = threading.Thread(target=import_it)
    thread.start()
    assert begun.wait(20)
    command = Command(TRUE)
    command.prepare()
    assert calls == ["imported"]
    command.discard()
    thread.join()


def test_an_import_that_hangs_does_not_delay_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not for longer than a moment."""
    monkeypatch.setattr(fork_guard, "LONGEST_IMPORT", 0.05)
    over, begun = threading.Event(), threading.Event()

    def hang() -> None:
        with fork_guard.importing():
            begun.set()
            over.wait(20)

    thread = threading.Thread(target=hang)
    thread.start()
    assert begun.wait(20)
    command = Command(TRUE)
    pid = command.start({})
    assert os.waitpid(pid, 0)[1] == 0
    command.reaped()
    over.set()
    thread.join()
