"""System calls for which Python has no function on every supported version."""

import ctypes
import os
import struct
from collections.abc import Iterable

from leaderexec.core.record import Record

_libc = ctypes.CDLL(None, use_errno=True)

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_PR_SET_CHILD_SUBREAPER = 36
_SIGSET_BYTES = 128  # sizeof(sigset_t), glibc and musl
_SFD_FLAGS = os.O_CLOEXEC | os.O_NONBLOCK  # SFD_CLOEXEC and SFD_NONBLOCK are the same bits
_SIGINFO = struct.Struct("=IiiI112x")  # struct signalfd_siginfo: signo, errno, code, pid
_TFD_TIMER_ABSTIME = 1
_AF_UNIX, _SOCK_DGRAM, _SOL_SOCKET, _SO_PASSCRED = 1, 2, 1, 16
_SOCKADDR_BYTES = 110  # sizeof(struct sockaddr_un)
_CLOCK_BOOTTIME = 7


def _checked(call: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), call)
    return result


def set_parent_death_signal(number: int) -> None:
    """Have the kernel send signal `number` to this process when the thread that forked it exits
    (prctl(2), PR_SET_PDEATHSIG). Kept across execve(2), except of set-user-ID files and files with
    capabilities.
    """
    _checked("prctl", _libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0))


def become_subreaper() -> None:
    """Adopt orphaned descendants, as PID 1 would (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    _checked("prctl", _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


class SignalInfo(Record):
    """One received signal; `sender` is 0 for the kernel or another PID namespace."""

    number: int
    sender: int


def open_signalfd(numbers: Iterable[int]) -> int:
    """Return a non-blocking descriptor that delivers these (blocked) signals (signalfd(2))."""
    mask = bytearray(_SIGSET_BYTES)
    for number in numbers:
        mask[(number - 1) // 8] |= 1 << (number - 1) % 8
    buffer = (ctypes.c_char * _SIGSET_BYTES).from_buffer(mask)
    return _checked("signalfd", _libc.signalfd(-1, buffer, _SFD_FLAGS))


def read_signalfd(descriptor: int) -> list[SignalInfo]:
    """Return the signals that are pending, in the order the kernel gives them."""
    try:
        data = os.read(descriptor, 32 * _SIGINFO.size)
    except BlockingIOError:
        return []
    return [SignalInfo(number, pid) for number, _, _, pid in _SIGINFO.iter_unpack(data)]


def open_boottime_timer() -> int:
    """Return a timer descriptor on the clock that also counts while the machine is suspended
    (timerfd_create(2), CLOCK_BOOTTIME), so that a deadline missed while suspended fires on resume.
    """
    return _checked("timerfd_create", _libc.timerfd_create(_CLOCK_BOOTTIME, _SFD_FLAGS))


def set_timer(descriptor: int, deadline: float | None) -> None:
    """Make the descriptor readable at `deadline` (seconds of CLOCK_BOOTTIME), or never."""
    seconds, nanoseconds = 0, 0
    if deadline is not None:
        # All zero would disarm the timer; a deadline in the past fires at once.
        nanoseconds_total = max(1, int(deadline * 1e9))
        seconds, nanoseconds = divmod(nanoseconds_total, 10**9)
    spec = (ctypes.c_long * 4)(0, 0, seconds, nanoseconds)
    _checked("timerfd_settime", _libc.timerfd_settime(descriptor, _TFD_TIMER_ABSTIME, spec, None))


class NotifySocket(Record):
    """Where the command can tell of itself; `name` as NOTIFY_SOCKET has it."""

    descriptor: int
    name: str


def open_notify_socket() -> NotifySocket:
    """Return a datagram socket that tells who has sent what, under an abstract name that the kernel
    has chosen (unix(7), autobind): there is no file that needs a place, or is left behind. Python's
    own module for sockets takes longer to load than all of this. Raises OSError.
    """
    kind = _SOCK_DGRAM | _SFD_FLAGS  # SOCK_CLOEXEC and SOCK_NONBLOCK are the same bits
    descriptor = _checked("socket", _libc.socket(_AF_UNIX, kind, 0))
    try:
        yes = ctypes.c_int(1)
        size = ctypes.c_uint32(_SOCKADDR_BYTES)
        address = ctypes.create_string_buffer(struct.pack("=H", _AF_UNIX), _SOCKADDR_BYTES)
        _checked(
            "setsockopt",
            _libc.setsockopt(descriptor, _SOL_SOCKET, _SO_PASSCRED, ctypes.byref(yes), 4),
        )
        _checked("bind", _libc.bind(descriptor, address, 2))
        _checked("getsockname", _libc.getsockname(descriptor, address, ctypes.byref(size)))
    except OSError:
        os.close(descriptor)
        raise
    # The family, a NUL, and five digits.
    return NotifySocket(descriptor, "@" + address.raw[3 : size.value].decode())


_IN_ATTRIB = 0x4  # the number of links has changed, among others
_IN_MOVE_SELF = 0x800


def watch_file(path: str) -> int | None:
    """Return a descriptor that is readable once the file was moved, removed or replaced
    (inotify(7)); None if that can't be watched. A file that is kept open is not "deleted" when
    its last name is removed, but its link count changes.
    """
    descriptor = _libc.inotify_init1(os.O_CLOEXEC)
    if descriptor < 0:
        return None
    if _libc.inotify_add_watch(descriptor, os.fsencode(path), _IN_ATTRIB | _IN_MOVE_SELF) < 0:
        os.close(descriptor)
        return None
    return int(descriptor)
