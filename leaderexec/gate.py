"""For a program that leaderexec starts with ``--warm``: wait until this replica leads.

    from leaderexec import gate

    prepare()           # what takes time, and changes nothing that others see
    lead = gate.wait()  # says that it is ready, and waits
    work(lead.fence)

Without ``--warm`` leaderexec starts a program only once it leads, and `wait` returns at once: the
program can be the same.
"""

import os

from leaderexec.core.record import Record

_CHUNK = 4096


class Lead(Record):
    """This replica leads. `term` counts this leaderexec's terms; `fence` is greater in every later
    term of the election, whichever replica leads, and None if the kind of election has none."""

    term: int
    fence: int | None = None


class Closed(SystemExit):
    """This replica will not lead any more with this process: it is to end. Where nobody catches
    this, Python ends with exit code 0."""


_told: Lead | None = None


def wait(*, say_ready: bool = True) -> Lead:
    """Return once this replica leads; until then the program must not work.

    First says that the program is ready, as `ready` does; with ``say_ready=False`` the program says
    so itself, for example by sd_notify(3). Afterwards LEADEREXEC_TERM and LEADEREXEC_FENCE are set
    in `os.environ`, as in a program that is started without ``--warm``. Call it in one thread; a
    second call returns the same.

    Raises Closed if this process will not lead, LookupError if it was not started by leaderexec,
    and OSError if leaderexec is gone before it could be told.
    """
    global _told  # noqa: PLW0603 - there is one gate for the whole process
    if _told is None:
        gate = os.environ.get("LEADEREXEC_GATE")
        if gate is None:
            _told = _as_started()
        else:
            if say_ready:
                ready()
            _told = _read(int(gate))
    return _told


def ready() -> None:
    """Tell leaderexec that this program is ready to lead (READY=1, sd_notify(3)); return when it
    was heard. Raises LookupError without NOTIFY_SOCKET, OSError if nobody is there to hear it."""
    import socket

    name = os.environ.get("NOTIFY_SOCKET")
    if name is None:
        raise LookupError(
            "there is no NOTIFY_SOCKET to say READY=1 to; run this under leaderexec --warm, and"
            " pass its environment on"
        )
    address = f"\0{name[1:]}" if name.startswith("@") else name
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as telling:
        telling.connect(address)
        telling.send(b"READY=1")
        # Who has just said something must be there while it is heard, or is not believed. The
        # reader closes what comes with this message.
        heard, kept = os.pipe()
        try:
            socket.send_fds(telling, [b"BARRIER=1"], [kept])
        finally:
            os.close(kept)
        os.read(heard, 1)
        os.close(heard)


def _as_started() -> Lead:
    """Return the term that the environment tells of."""
    term = os.environ.get("LEADEREXEC_TERM")
    if term is None:
        raise LookupError("there is no LEADEREXEC_GATE; run this under leaderexec --warm")
    fence = os.environ.get("LEADEREXEC_FENCE")
    return Lead(int(term), int(fence) if fence else None)


def _read(gate: int) -> Lead:
    """Wait for the line. What ends without a newline is none: it was taken back."""
    os.set_inheritable(gate, False)
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(gate, _CHUNK)
        if not part:
            raise Closed(0)
        line += part
    os.close(gate)
    # Its number is free for others, and a program that this one becomes is told by what follows.
    del os.environ["LEADEREXEC_GATE"]
    term, fence = line.decode().rstrip("\n").split(" ")
    os.environ["LEADEREXEC_TERM"] = term
    if fence:
        os.environ["LEADEREXEC_FENCE"] = fence
    return Lead(int(term), int(fence) if fence else None)
