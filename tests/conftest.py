"""Isolation: each test has a clean environment, and must leave no process behind."""

import os
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from support import MARK, Wrapper, command_line, marked, wait_for

from leaderexec_elector.running import RunningElector

# Under nohup(1) the suite would hand an ignored HUP to every process that it starts.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def end_leftovers(mark: str) -> list[str]:
    """End whatever still carries the mark; return what it was."""
    left = {pid: command_line(pid) for pid in marked(mark)}
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not list(marked(mark)), "leftovers to end")
    return list(left.values())


@pytest.fixture
def environ() -> Iterator[dict[str, str]]:
    """An environment without our variables, with a mark by which leftovers are found.

    Fails the test that left a process behind, and ends that process.
    """
    mark = uuid.uuid4().hex
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LEADEREXEC", "ELECTOR_", "NO_COLOR"))
    }
    clean[MARK] = mark
    # What is tested is what happens, not how long it is waited for before.
    clean["LEADEREXEC_TAKEOVER_DELAY"] = "0s"
    # The name of a socket is short (unix(7)), and a test's own directory is not.
    with tempfile.TemporaryDirectory(prefix="lx") as runtime:
        clean["XDG_RUNTIME_DIR"] = runtime
        yield clean
        assert not end_leftovers(mark), "processes were left running"


@pytest.fixture
def leaderexec(environ: dict[str, str]) -> Iterator[Callable[..., Wrapper]]:
    """Start the installed program; whatever the test left running of it is ended."""
    started: list[Wrapper] = []

    def start(*arguments: str, env: dict[str, str] | None = None, **options: Any) -> Wrapper:
        wrapper = Wrapper(
            ["--log-format", "json", "--log-level", "debug", *arguments],
            {**environ, **(env or {})},
            **options,
        )
        started.append(wrapper)
        return wrapper

    yield start
    for wrapper in started:
        wrapper.close()
    left = end_leftovers(environ[MARK])
    for wrapper in started:
        wrapper.join()
    assert not left, "processes were left running"


@pytest.fixture
def run(environ: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command to its end, bounded."""

    def run_it(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        options.setdefault("env", environ)
        options.setdefault("timeout", 30)
        return subprocess.run(arguments, capture_output=True, text=True, check=False, **options)

    return run_it


@pytest.fixture
def elector() -> Iterator[RunningElector]:
    """An elector that names "other", so that everybody starts in standby."""
    with RunningElector("other", "app-a", "app-b") as running:
        yield running
