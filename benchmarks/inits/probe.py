"""The commands that are run below the compared programs: each reports what it sees.

Started without site-packages, so it uses little of the standard library, and nothing else.
"""

import os
import signal
import sys

BLOCKABLE = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


def say(*words: object) -> None:
    """Print a line at once; its format can't be mistaken for an echo of typed text."""
    print(f"<{' '.join(map(str, words))}>", flush=True)


def signals() -> None:
    """Report every signal that arrives."""
    signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKABLE)
    say("ready")
    while True:
        say("got", signal.sigwait(BLOCKABLE))


def stubborn() -> None:
    """Ignore TERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say("ready")
    while True:
        signal.pause()


def told() -> None:
    """Report the first TERM, and exit."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    say("ready")
    signal.sigwait([signal.SIGTERM])
    say("told")


def orphan() -> None:
    """Leave an orphan that exits when it gets a line, and continue."""
    if os.fork() == 0:
        if os.fork() == 0:
            os.execv(sys.executable, [*sys.orig_argv[:-1], "sleeper"])
        os._exit(0)
    os.wait()
    while True:
        signal.pause()


def sleeper() -> None:
    """Wait for a line."""
    say("ready")
    sys.stdin.readline()


KINDS = ("child", "setsid", "daemon", "stopped")


def leaver() -> None:
    """Leave processes of every kind behind: on TERM at once, otherwise after a line."""
    for kind in KINDS:
        if os.fork() == 0:
            if kind != "child":
                os.setsid()
            if kind == "daemon" and os.fork():
                os._exit(0)
            os.execv(sys.executable, [*sys.orig_argv[:-1], "leftover", kind])
    sys.stdin.readline()
    os._exit(0)


def leftover(kind: str) -> None:
    """Be left behind; report when TERM arrives, and exit."""
    # A stopped process of an orphaned group gets HUP from the kernel itself.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    say("ready", kind)
    if kind == "stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    signal.sigwait([signal.SIGTERM])
    say("told", kind)


def terminal() -> None:
    """Report what a terminal's command sees."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: say("got", signal.Signals(number).name))
    signal.signal(signal.SIGWINCH, lambda _number, _frame: say("size", *os.get_terminal_size(0)))
    try:
        say("foreground", os.tcgetpgrp(0) == os.getpgrp())
    except OSError:
        say("foreground", False)
    say("ready")
    while (line := sys.stdin.readline().strip()) != "quit":
        say("read", line)


def descriptors() -> None:
    """Report which descriptors are open."""
    listed = map(int, os.listdir("/proc/self/fd"))
    say("open", *(number for number in sorted(listed) if _is_open(number)))


def _is_open(number: int) -> bool:
    """Return whether it is still open; the one that listed the directory is not."""
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
