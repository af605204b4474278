"""A turn on the processor, while something is being stopped. Among thousands of processes that all
want to run, and fork, each has seconds to wait for its next one."""

import os
from contextlib import suppress


class Urgency:
    """The scheduling policy of the thread that calls this (sched(7)).

    Real time is for root, CAP_SYS_NICE or RLIMIT_RTPRIO; elsewhere nothing changes. Whatever policy
    somebody has chosen for this process stays, and nothing that is started has another one."""

    def __init__(self) -> None:
        self._raised = False

    def hurry(self) -> None:
        """Run before all that is not real-time."""
        if self._raised:
            return
        with suppress(OSError):
            if os.sched_getscheduler(0) == os.SCHED_OTHER:
                real_time = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
                os.sched_setscheduler(0, real_time, os.sched_param(1))
                self._raised = True

    def relax(self) -> None:
        """Run as before."""
        if not self._raised:
            return
        self._raised = False
        # Without privileges the flag can't be taken away again.
        for policy in (os.SCHED_OTHER, os.SCHED_OTHER | os.SCHED_RESET_ON_FORK):
            with suppress(OSError):
                os.sched_setscheduler(0, policy, os.sched_param(0))
                return
