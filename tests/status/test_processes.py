"""The command's tree, as it is shown."""

import pytest

from leaderexec.core.actions import Job
from leaderexec.core.lifecycle import State
from leaderexec.core.run import Run
from leaderexec.status.counters import Counters
from leaderexec.status.processes import Process, Processes
from leaderexec.status.snapshot import Snapshot


@pytest.mark.parametrize(("took", "fresh_for"), [(0.01, 1.0), (0.5, 5.0)])
def test_a_tree_that_takes_long_to_read_is_read_less_often(
    monkeypatch: pytest.MonkeyPatch, took: float, fresh_for: float
) -> None:
    """The same thread answers health checks, and has nine tenths of its time for them."""
    now, looks = 100.0, 0

    def look(_self: Processes, _probe: int | None) -> list[Process]:
        nonlocal now, looks
        now += took
        looks += 1
        return []

    monkeypatch.setattr(Processes, "_look", look)
    processes = Processes(lambda: now)
    running = Snapshot(State(run=Run(Job.COMMAND, 0.0)), 0.0, 4711, Counters())
    processes.tree(running)
    now += fresh_for - 0.1
    processes.tree(running)
    assert looks == 1
    now += 0.1
    processes.tree(running)
    assert looks == 2
