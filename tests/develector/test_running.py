import gc
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from develector.wire_client import Client

from leaderexec_elector.faults import FaultError
from leaderexec_elector.running import RunningElector
from leaderexec_elector.server import Elector


def _open_files() -> set[str]:
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        # The descriptor that lists the directory is gone by now.
        with suppress(FileNotFoundError):
            found.add(str(link.readlink()))
    return found


def test_the_elector_leaves_nothing_behind() -> None:
    """After the context there are no more threads or descriptors than before."""
    gc.collect()
    threads, before = threading.active_count(), _open_files()
    with RunningElector("app-a") as elector, Client(elector.url) as client:
        client.ask("/sse")
        elector.wait_subscribers(1)
    assert threading.active_count() == threads
    assert _open_files() <= before


def test_the_elector_ends_when_the_body_raises() -> None:
    """A failing test ends the elector, too."""
    threads = threading.active_count()
    with pytest.raises(ZeroDivisionError), RunningElector():
        raise ZeroDivisionError
    assert threading.active_count() == threads


def test_the_elector_ends_while_a_fault_is_active() -> None:
    """A fault that takes its time does not outlive the elector."""
    threads = threading.active_count()
    with RunningElector("app-a") as elector:
        elector.fault("refuse")
    assert threading.active_count() == threads


def test_a_wait_that_times_out_shows_the_state(elector: RunningElector) -> None:
    """The error of a wait that times out has the state."""
    with pytest.raises(TimeoutError, match="subscribers=0"):
        elector.wait_subscribers(1, timeout=0.01)


def test_an_unknown_fault_is_refused(elector: RunningElector) -> None:
    """The error for a misspelt fault lists the known ones."""
    with pytest.raises(FaultError, match="half-open"):
        elector.fault("halfopen")


def test_several_electors_are_independent() -> None:
    """Several can run side by side."""
    with RunningElector("app-a") as one, RunningElector("app-b") as two:
        assert one.address != two.address
        assert (one.state().leader, two.state().leader) == ("app-a", "app-b")


def test_a_failure_to_start_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever prevents the elector from starting is raised by the call that starts it."""

    async def fail(_elector: Elector) -> None:
        raise OSError("no port")

    monkeypatch.setattr(Elector, "open", fail)
    threads = threading.active_count()
    with pytest.raises(OSError, match="no port"), RunningElector():
        pass
    assert threading.active_count() == threads
