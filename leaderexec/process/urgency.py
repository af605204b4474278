"""Higher priority on the CPU while a command runs that may have to be stopped. Among thousands of
runnable processes, a stop signal or a deadline would wait for seconds."""

import os
from contextlib import suppress


class Urgency:
    """The scheduling policy of the calling thread (sched(7)).

    Real-time scheduling needs root, CAP_SYS_NICE or RLIMIT_RTPRIO; without them nothing changes. A
    policy that was set for this process is kept, and started processes are not affected."""

    def __init__(self) -> None:
        self._raised = False

    def hurry(self) -> None:
        """Run before everything that is not real-time."""
        if self._raised:
            return
        with suppress(OSError):
            if os.sched_getscheduler(0) == os.SCHED_OTHER:
                real_time = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
                os.sched_setscheduler(0, real_time, os.sched_param(1))
                self._raised = True

    def relax(self) -> None:
        """Restore the original policy."""
        if not self._raised:
            return
        self._raised = False
        # Without privileges the flag can't be cleared again.
        for policy in (os.SCHED_OTHER, os.SCHED_OTHER | os.SCHED_RESET_ON_FORK):
            with suppress(OSError):
                os.sched_setscheduler(0, policy, os.sched_param(0))
                return
