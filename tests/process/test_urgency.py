"""While something runs, leaderexec takes precedence over everything that is not real-time."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Wrapper

from leaderexec.process.urgency import Urgency

Start = Callable[..., Wrapper]
IGNORES_TERM = "trap '' TERM; echo up; while :; do sleep 0.05; done"


def may_hurry() -> bool:
    """Return whether this user may have real-time threads."""
    urgency = Urgency()
    urgency.hurry()
    try:
        return os.sched_getscheduler(0) != os.SCHED_OTHER
    finally:
        urgency.relax()


def policies(pid: int) -> set[int]:
    """Return the scheduling policies of a process's threads, without the flag."""
    threads = [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]
    return {os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK for thread in threads}


def test_it_is_real_time_while_a_command_runs_and_never_on_standby(
    leaderexec: Start, tmp_path: Path
) -> None:
    """The processes it starts are scheduled as usual."""
    lock = str(tmp_path / "lock")
    real_time = may_hurry()
    wrapper = leaderexec("--lock-file", lock, "--", "sh", "-c", "echo up; exec sleep 60")
    wrapper.output("up")
    assert (os.SCHED_FIFO in policies(wrapper.pid)) == real_time
    assert policies(wrapper.command_pid()) == {os.SCHED_OTHER}
    standby = leaderexec("--lock-file", lock, "--", "true")
    standby.log("leaderexec started")
    assert policies(standby.pid) == {os.SCHED_OTHER}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give its privileges up")
def test_without_the_privilege_it_still_stops_the_command(
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


def test_a_policy_that_was_set_before_is_kept() -> None:
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
