"""Isolation: each test has a clean environment, and must leave no process behind."""

import signal
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from leaderexec.testing.processes import Wrapper, clean_environment, run_to_its_end, wrappers
from leaderexec_elector.running import RunningElector

# Under nohup(1) the suite would pass an ignored HUP to every process that it starts, and in the
# background of a script INT and QUIT (POSIX, "Asynchronous Lists").
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


# How long an example takes depends on what else uses the machine.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


@pytest.fixture
def environ() -> Iterator[dict[str, str]]:
    """An environment without our variables, with a mark that identifies leftovers.

    Fails the test that left a process behind, and kills that process.
    """
    with clean_environment() as clean:
        yield clean


@pytest.fixture
def leaderexec(environ: dict[str, str]) -> Iterator[Callable[..., Wrapper]]:
    """Start the installed program; whatever the test leaves running of it is ended."""
    with wrappers(environ) as start:
        yield start


@pytest.fixture
def run(environ: dict[str, str]) -> Callable[..., Any]:
    """Run a command until it exits, with a timeout."""
    return partial(run_to_its_end, environ)


@pytest.fixture
def elector() -> Iterator[RunningElector]:
    """An elector that names "other", so that all replicas start on standby."""
    with RunningElector("other", "app-a", "app-b") as running:
        yield running
