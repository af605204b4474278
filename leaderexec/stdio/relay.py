"""The command's own output, if it is not inherited: read from pipes, marked line by line
(`framing`), and written to our stdout and stderr by one thread each.

The deciding thread only passes descriptors and, at exit, waits for a limited time. The threads
write as slowly as their reader reads; then the pipes fill up, and the command waits, as it would
for the reader itself.
"""

import errno
import fcntl
import os
import select
import struct
import termios
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from leaderexec import logs
from leaderexec.stdio.framing import Json, Lines, Prefixed, Source
from leaderexec.timestamps import rfc_3339

# The capacity of a pipe (pipe(7)).
CHUNK = 65536
# Runs of the command with unread output, per stream. There is more than one only if the reader
# has stopped reading, or a process outside the command's tree keeps its end open.
MOST_RUNS = 16
_TRY_AGAIN = 1.0
_NOT_FOR_EVER = {errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.ENOBUFS}


class _Pipe(NamedTuple):
    descriptor: int
    lines: Lines


class _Stream:
    """The thread that writes one of our two streams, from one pipe for each run of the command."""

    def __init__(self, name: str, descriptor: int, turn: threading.Lock, log: logs.Logger) -> None:
        self._name = name
        self._descriptor = descriptor
        self._turn = turn
        self._log = log
        self._new: deque[_Pipe] = deque()
        self._pipes: dict[int, _Pipe] = {}
        self._woken = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._ready = select.poll()
        self._ready.register(self._woken, select.POLLIN)
        self._unwritten = 0
        self._finishing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def add(self, pipe: _Pipe) -> None:
        """Read from this pipe, too; never waits."""
        self._new.append(pipe)
        os.eventfd_write(self._woken, 1)
        if len(self._new) > MOST_RUNS:
            # Only a thread that is stuck leaves so many; each may hold a full pipe.
            with suppress(IndexError):
                given_up = self._new.popleft()
                self._tell_given_up(_waiting(given_up))
                os.close(given_up.descriptor)

    def finish(self) -> None:
        """Make the thread pass on what is in the pipes now, and exit."""
        self._finishing = True
        os.eventfd_write(self._woken, 1)

    def join(self, timeout: float) -> None:
        """Wait until the thread exits; if that takes too long, log what is discarded."""
        self._thread.join(max(0.0, timeout))
        if self._thread.is_alive():
            pipes = [*self._new, *self._pipes.copy().values()]
            self._tell_given_up(self._unwritten + sum(map(_waiting, pipes)))

    def _tell_given_up(self, count: int) -> None:
        if not count:
            return
        self._log.warning(
            "command output dropped",
            stream=self._name,
            about_bytes=count,
            reason="it was not read fast enough",
            remedy=f"check what reads leaderexec's {self._name}",
        )

    def _run(self) -> None:
        try:
            while not self._finishing:
                for descriptor, _ in self._ready.poll():
                    if descriptor == self._woken:
                        self._take_new()
                        # What else was ready may now be closed, and its number reused.
                        break
                    self._pass_on(self._pipes[descriptor], CHUNK)
            self._take_new()
            for pipe in list(self._pipes.values()):
                self._drain(pipe)
        except Exception as error:  # noqa: BLE001 - a bug of ours must not block the command
            self._log.warning(
                "command output closed",
                stream=self._name,
                reason=str(error) if isinstance(error, OSError) else repr(error),
                remedy=f"check what reads leaderexec's {self._name}",
            )
            self._refuse()

    def _take_new(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._woken)
        while self._new:
            pipe = self._new.popleft()
            self._pipes[pipe.descriptor] = pipe
            self._ready.register(pipe.descriptor, select.POLLIN)
            if len(self._pipes) > MOST_RUNS:
                self._drain(next(iter(self._pipes.values())))

    def _pass_on(self, pipe: _Pipe, most: int) -> int:
        """Pass on what one read(2) returns; return how much that was."""
        data = os.read(pipe.descriptor, most)
        if data:
            self._write(pipe.lines.feed(data))
        else:
            self._forget(pipe)
        return len(data)

    def _drain(self, pipe: _Pipe) -> None:
        """Pass on what is in the pipe by now, and no more: a process outside the command's tree may
        keep writing forever."""
        left = _in_pipe(pipe.descriptor)
        while left > 0:
            left -= self._pass_on(pipe, min(left, CHUNK))
        self._forget(pipe)

    def _forget(self, pipe: _Pipe) -> None:
        self._ready.unregister(pipe.descriptor)
        del self._pipes[pipe.descriptor]
        os.close(pipe.descriptor)
        self._write(pipe.lines.end())

    def _refuse(self) -> None:
        """Close every pipe, now and later: the command's next write fails as if it wrote to our
        reader directly (EPIPE)."""
        while True:
            for pipe in self._pipes.values():
                os.close(pipe.descriptor)
            self._pipes.clear()
            if self._finishing:
                return
            self._ready = select.poll()
            self._ready.register(self._woken, select.POLLIN)
            self._ready.poll()
            self._take_new()

    def _write(self, data: bytes) -> None:
        """Write all of it, waiting as long as the reader takes."""
        if not data:
            return
        left = memoryview(data)
        # Whole lines, in case our own log or the other stream goes to the same place.
        with self._turn:
            while left:
                self._unwritten = len(left)
                left = left[self._write_some(left) :]
            self._unwritten = 0

    def _write_some(self, data: memoryview) -> int:
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            # Another user of this open file description made it non-blocking.
            waiting = select.poll()
            waiting.register(self._descriptor, select.POLLOUT)
            waiting.poll()
        except OSError as error:
            if error.errno not in _NOT_FOR_EVER:
                raise
            time.sleep(_TRY_AGAIN)
        return 0


def _in_pipe(descriptor: int) -> int:
    count = fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4))
    return int(struct.unpack("i", count)[0])


def _waiting(pipe: _Pipe) -> int:
    """Return how many bytes of a pipe were not passed on; its thread may be running."""
    with suppress(OSError):
        return _in_pipe(pipe.descriptor) + pipe.lines.held
    return pipe.lines.held


def _json(source: Source) -> Lines:
    return Json(source, lambda: rfc_3339(time.time()))


class ChildLogs:
    """Both streams of the command, over all its runs."""

    def __init__(self, form: str, identity: str, log: logs.Logger) -> None:
        """`form` is json or prefix. Raises RuntimeError if no thread can be created."""
        self._lines: Callable[[Source], Lines] = _json if form == "json" else Prefixed
        self._identity = identity
        self._warm: list[Lines] = []
        shared = os.path.sameopenfile(1, 2)
        turn = logs.STDERR_TURN if shared else threading.Lock()
        self._streams = (
            _Stream("stdout", 1, turn, log),
            _Stream("stderr", 2, logs.STDERR_TURN, log),
        )

    def follow(self, outputs: tuple[int, ...], pid: int, environ: Mapping[str, str]) -> None:
        """Read what a newly started command writes, from these ends of its two pipes; never
        waits."""
        # A warm command has no term yet.
        term = int(environ.get("LEADEREXEC_TERM", 0))
        marked = []
        for stream, name, descriptor in zip(
            self._streams, ("stdout", "stderr"), outputs, strict=True
        ):
            lines = self._lines(Source(self._identity, term, name, pid))
            marked.append(lines)
            stream.add(_Pipe(descriptor, lines))
        if term == 0:
            self._warm = marked

    def lead(self, term: int) -> None:
        """Mark what the warm command writes from now on as of this term."""
        for lines in self._warm:
            lines.mark(lines.source._replace(term=term))

    def finish(self, timeout: float) -> None:
        """Pass on what was written until now; stop after `timeout` seconds, and log that."""
        give_up = time.monotonic() + timeout
        for stream in self._streams:
            stream.finish()
        for stream in self._streams:
            stream.join(give_up - time.monotonic())
