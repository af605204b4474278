"""Receiving signals: all are blocked and read from a descriptor, so that none interrupts anything,
none is lost between a check and a wait, and their senders are known (signalfd(2)).

Genuine faults of ours still end us: the kernel unblocks a synchronous SIGSEGV and its like.
"""

import os
import signal

from leaderexec.process import syscalls


def block_all() -> None:
    """Block every signal, first thing: as PID 1 an unblocked TERM without a handler is dropped by
    the kernel, and the runtime would wait its whole grace period for nothing."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    # A parent that ignored SIGCHLD hands that down, and the kernel would reap our children.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # A blocked signal is queued even if it is ignored; a parent that ignored it meant it never to
    # arrive.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, inherited_ignored())


def inherited_ignored() -> set[signal.Signals]:
    """Return the signals that whoever started us has had ignored: HUP by nohup(1), INT and QUIT by
    a non-interactive shell for its background jobs (POSIX.1-2017 XCU 2.11)."""
    return {
        number
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
        if signal.getsignal(number) is signal.SIG_IGN
    }


def unblock_all() -> None:
    """Be an ordinary program after all: one that Ctrl-C, TERM and a closed pipe end at once."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
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
        numbers = set(signal.valid_signals()) - inherited_ignored()
        self._descriptor = syscalls.open_signalfd(numbers)

    def fileno(self) -> int:
        """Return the descriptor, for poll(2)."""
        return self._descriptor

    def receive(self) -> list[syscalls.SignalInfo]:
        """Return what has arrived, without waiting."""
        own = os.getpid()
        return [
            info
            for info in syscalls.read_signalfd(self._descriptor)
            # Writing to a closed pipe raises EPIPE and also queues SIGPIPE, from ourselves.
            if not (info.number == signal.SIGPIPE and info.sender == own)
        ]
