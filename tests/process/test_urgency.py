"""While something is being stopped leaderexec has its turn before all that is not real-time."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Wrapper, wait_for

from leaderexec.process.urgency import Urgency

Start = Callable[..., Wrapper]
IGNORES_TERM = "trap '' TERM; echo up; while :; do sleep 0.05; done"


def may_hurry() -> bool:
    """Tell whether this user may have real-time threads."""
    urgency = Urgency()
    urgency.hurry()
    try:
        return os.sched_getscheduler(0) != os.SCHED_OTHER
    finally:
        urgency.relax()


def policies(pid: int) -> set[int]:
    """Return the policies of a process's threads, without the flag."""
    threads = [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]
    return {os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK for thread in threads}


def test_it_hurries_from_the_stop_until_nothing_is_left(leaderexec: Start, tmp_path: Path) -> None:
    """And then waits for its turn like everybody; what is started never has another policy."""
    lock = str(tmp_path / "lock")
    words = ("--lock-file", lock, "--grace", "300ms", "--grace-lost", "300ms")
    wrapper = leaderexec(*words, "--", "sh", "-c", IGNORES_TERM)
    wrapper.output("up")
    assert policies(wrapper.pid) == {os.SCHED_OTHER}
    command = wrapper.command_pid()
    os.unlink(lock)
    if may_hurry():
        wait_for(lambda: os.SCHED_FIFO in policies(wrapper.pid))
    assert os.sched_getscheduler(command) == os.SCHED_OTHER
    again = wrapper.command_pid(term=2)
    wait_for(lambda: policies(wrapper.pid) == {os.SCHED_OTHER})
    assert os.sched_getscheduler(again) == os.SCHED_OTHER


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give its privileges up")
def test_without_the_privilege_it_stops_what_runs_all_the_same(
    leaderexec: Start,
) -> None:
    """Within the same grace."""
    dropped = ("setpriv", "--bounding-set=-sys_nice", "--inh-caps=-sys_nice")
    words = ("--election", "off", "--grace", "200ms", "--", "sh", "-c", IGNORES_TERM)
    wrapper = leaderexec(*words, prefix=dropped)
    wrapper.output("up")
    wrapper.send(signal.SIGTERM)
    wrapper.log("transition", to="stopping")
    assert wrapper.wait() == 137


def test_a_policy_that_somebody_chose_stays() -> None:
    """Batch work stays batch work."""
    before = os.sched_getscheduler(0)
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    urgency = Urgency()
    try:
        urgency.hurry()
        assert os.sched_getscheduler(0) == os.SCHED_BATCH
        urgency.relax()
        assert os.sched_getscheduler(0) == os.SCHED_BATCH
    finally:
        os.sched_setscheduler(0, before, os.sched_param(0))
