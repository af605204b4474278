"""Receive signals: all are blocked and read from a descriptor, so that none interrupts anything,
none is lost between a check and a wait, and their senders are known (signalfd(2)).

Genuine faults still terminate us: the kernel unblocks a synchronous SIGSEGV and similar.
"""

import os
import signal

from leaderexec.process import syscalls


def block_all() -> None:
    """Block every signal, before anything else: as PID 1, an unblocked TERM without a handler is
    dropped by the kernel, and the runtime would wait for its whole grace period."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    # If our parent ignored SIGCHLD, we inherit that, and the kernel would reap our children.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # A blocked signal is queued even if it is ignored; a parent that ignored it wants it never to
    # arrive.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, inherited_ignored())


def inherited_ignored() -> set[signal.Signals]:
    """Return the signals that our parent had set to ignored: HUP by nohup(1), INT and QUIT by
    a non-interactive shell for its background jobs (POSIX.1-2017 XCU 2.11)."""
    return {
        number
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
        if signal.getsignal(number) is signal.SIG_IGN
    }


def unblock_all() -> None:
    """Behave like an ordinary program again, which Ctrl-C, TERM and a closed pipe terminate."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


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
