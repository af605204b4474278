"""Receiving signals: all are blocked and read from a descriptor, so that none interrupts anything,
none is lost between a check and a wait, and their senders are known (signalfd(2)).

Genuine faults of ours still end us: the kernel unblocks a synchronous SIGSEGV and its like.
"""

import os
import signal

from leaderexec.process import kernel


def block_all() -> None:
    """Block every signal, first thing: as PID 1 an unblocked TERM without a handler is dropped by
    the kernel, and the runtime would wait its whole grace period for nothing."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    # A parent that ignored SIGCHLD hands that down, and the kernel would reap our children.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if hangup_is_ignored():
        # A blocked signal is queued even if it is ignored; nohup(1) means that it never comes.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])


def hangup_is_ignored() -> bool:
    """Tell whether we were started by nohup(1) or the like."""
    return signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def unblock_all() -> None:
    """Be an ordinary program after all: one that Ctrl-C, TERM and a closed pipe end at once."""
    for number in (signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def occupy_standard_descriptors() -> None:
    """Put /dev/null where 0, 1 or 2 is closed, or a descriptor of ours would get that number, and
    a log line would be written into it. Python closes it again when the command is executed, so
    that the command finds the descriptor closed, as it would without us.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


class Receiver:
    """The descriptor that signals are read from."""

    def __init__(self) -> None:
        numbers = set(signal.valid_signals())
        if hangup_is_ignored():
            numbers.discard(signal.SIGHUP)
        self._descriptor = kernel.open_signalfd(numbers)

    def fileno(self) -> int:
        """Return the descriptor, for poll(2)."""
        return self._descriptor

    def receive(self) -> list[kernel.SignalInfo]:
        """Return what has arrived, without waiting."""
        own = os.getpid()
        return [
            info
            for info in kernel.read_signalfd(self._descriptor)
            # Writing to a closed pipe raises EPIPE and also queues SIGPIPE, from ourselves.
            if not (info.number == signal.SIGPIPE and info.sender == own)
        ]
