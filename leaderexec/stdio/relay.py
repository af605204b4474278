"""The command's own output, when it is not inherited: read from pipes, marked line by line, and
written to our stdout and stderr by a thread each.

The deciding thread only hands descriptors over and, at the end, waits for a bounded time. Threads
write as slowly as their reader reads; then the pipes fill up, and the command waits, as it would
for the reader itself.
"""

import base64
import codecs
import errno
import fcntl
import json
import os
import select
import struct
import termios
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from leaderexec import logs
from leaderexec.timestamps import rfc_3339

LONGEST_LINE = 2**20
# What a pipe holds (pipe(7)).
CHUNK = 65536
# Runs of the command whose output still waits for a reader, per stream. More than one only when
# the reader has stopped reading, or somebody outside the command's tree keeps its end open.
MOST_RUNS = 16
_TRY_AGAIN = 1.0
_PIECE = 4096
_SHOW = "backslashreplace"
_Utf8 = codecs.getincrementaldecoder("utf-8")
_NOT_FOR_EVER = {errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.ENOBUFS}


class Source(NamedTuple):
    """Whose output it is: which replica's, in which term, of which stream (stdout or stderr), and
    the command's pid."""

    identity: str
    term: int
    stream: str
    pid: int


class Lines(ABC):
    """Marks the lines of one stream. Pure: bytes in, bytes out, however they are cut.

    A line longer than `longest` bytes goes out in parts, each as a line of its own and all but the
    last marked as partial. Never more than such a line is kept.
    """

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self._longest = longest
        self._held = bytearray()
        self._cut = False

    @property
    def held(self) -> int:
        """How many bytes wait for their line's end."""
        return len(self._held)

    def feed(self, data: bytes) -> bytes:
        """Take bytes as they were read; return what can be written now."""
        end = data.rfind(b"\n") + 1
        if not end:
            self._held += data
            return self._parts()
        block = bytes(self._held) + data[:end] if self._held else data[:end]
        self._held[:] = data[end:]
        if self._cut or len(block) > self._longest:
            ready = b"".join(map(self._line, block[:-1].split(b"\n")))
        else:
            ready = self.whole(block)
        return ready + self._parts()

    def end(self) -> bytes:
        """Return what was still held, completed by a newline."""
        last = bytes(self._held)
        self._held.clear()
        return self._line(last) if last else b""

    def _line(self, line: bytes) -> bytes:
        """Mark one line, which may be too long, or the rest of one that was."""
        parts = []
        while len(line) > self._longest:
            at = _character_boundary(line, self._longest)
            parts.append(self.part(line[:at], last=False))
            line, self._cut = line[at:], True
        parts.append(self.part(line, last=True) if self._cut else self.whole(line + b"\n"))
        self._cut = False
        return b"".join(parts)

    def _parts(self) -> bytes:
        """Cut off what is too long to be held."""
        parts = []
        while len(self._held) > self._longest:
            at = _character_boundary(self._held, self._longest)
            parts.append(self.part(bytes(self._held[:at]), last=False))
            del self._held[:at]
            self._cut = True
        return b"".join(parts)

    @abstractmethod
    def whole(self, block: bytes) -> bytes:
        """Mark whole lines, each with its newline."""

    @abstractmethod
    def part(self, piece: bytes, *, last: bool) -> bytes:
        """Mark a part of a line that was too long."""


def _character_boundary(line: bytes | bytearray, at: int) -> int:
    """Return the last place up to `at` that does not divide a UTF-8 character."""
    for back in range(min(4, at)):
        if line[at - back] & 0xC0 != 0x80:  # noqa: PLR2004 - a continuation byte
            return at - back
    return at


class Prefixed(Lines):
    """Each line behind `app-a 3 | ` on stdout, `app-a 3 ! ` on stderr; the parts of a long line
    have a + for the last space if another follows. All else is left as it is, byte by byte."""

    def __init__(self, source: Source, longest: int = LONGEST_LINE) -> None:
        super().__init__(longest)
        mark = "!" if source.stream == "stderr" else "|"
        self._head = f"{source.identity} {source.term} {mark}".encode()
        self._between = b"\n" + self._head + b" "

    def whole(self, block: bytes) -> bytes:
        """Mark all of them by one search through the block."""
        return b"%b %b\n" % (self._head, block[:-1].replace(b"\n", self._between))

    def part(self, piece: bytes, *, last: bool) -> bytes:
        """Mark a part by what stands before it."""
        return b"%b%b%b\n" % (self._head, b" " if last else b"+", piece)


class Json(Lines):
    r"""Each line as the event of a JSON object, with leaderexec's own names of fields; a line that
    is a JSON object gets the missing ones.

    Its own text stays as it is, to the last digit, and its own fields win. Bytes that are no UTF-8
    are shown as \xff, and the line is there once more in base64.
    """

    def __init__(
        self,
        source: Source,
        longest: int = LONGEST_LINE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(longest)
        self._clock = clock
        self._fields = {
            name: json.dumps(value, ensure_ascii=False).encode()
            for name, value in source._asdict().items()
        }
        self._names = {"timestamp", *self._fields}
        self._tail = b"".join(
            b', "%b": %b' % (name.encode(), value) for name, value in self._fields.items()
        )

    def whole(self, block: bytes) -> bytes:
        """Mark them, as far as possible all at once."""
        try:
            block.decode()
        except UnicodeDecodeError:
            if block.count(b"\n") == 1:
                return self._event(block[:-1])
            return b"".join(self.whole(line + b"\n") for line in block[:-1].split(b"\n"))
        now = self._now()
        head, tail = _head(now), b'"%b}\n' % self._tail
        events = _escaped(block[:-1])
        if b"{" not in block:
            return b"%b%b%b" % (head, events.replace(b"\n", tail + head), tail)
        lines = zip(block[:-1].split(b"\n"), events.split(b"\n"), strict=True)
        return b"".join(
            [self._merged(line, now) or b"%b%b%b" % (head, event, tail) for line, event in lines]
        )

    def part(self, piece: bytes, *, last: bool) -> bytes:
        """Mark a part by a field."""
        return self._event(piece, b"" if last else b', "partial": true')

    def _event(self, line: bytes, more: bytes = b"") -> bytes:
        """Return an object with the line as its event, whatever the line is."""
        text = _shown(line)
        if text != line:
            more = b', "event_base64": "%b"%b' % (base64.b64encode(line), more)
        return b'%b%b"%b%b}\n' % (_head(self._now()), _escaped(text), more, self._tail)

    def _merged(self, line: bytes, now: bytes) -> bytes | None:
        """Return the object with our fields behind its own; None if it is no JSON object."""
        line = line.strip(b" \t\r")
        if not line.startswith(b"{"):
            return None
        text = line.decode()
        try:
            own, end = _decoder.raw_decode(text)
        except (ValueError, RecursionError):
            return None
        if end != len(text):
            return None
        if own and self._names.isdisjoint(own):
            return b'%b, "timestamp": "%b"%b}\n' % (line[:-1], now, self._tail)
        ours = {"timestamp": b'"%b"' % now, **self._fields}
        missing = [b'"%b": %b' % (name.encode(), ours[name]) for name in ours if name not in own]
        return b"{%b}\n" % b", ".join([line[1:-1], *missing] if own else missing)

    def _now(self) -> bytes:
        return rfc_3339(self._clock()).encode()


def _head(now: bytes) -> bytes:
    return b'{"timestamp": "%b", "level": "info", "event": "' % now


def _shown(line: bytes) -> bytes:
    r"""Return the line with what is no UTF-8 written as \xff. This is slow where much is to be
    written so, and piece by piece, because the other threads have to wait for each piece."""
    if len(line) <= _PIECE:
        return line.decode(errors=_SHOW).encode()
    decoder = _Utf8(_SHOW)
    pieces = (line[at : at + _PIECE] for at in range(0, len(line), _PIECE))
    text = [decoder.decode(piece) for piece in pieces]
    return "".join([*text, decoder.decode(b"", final=True)]).encode()


_NO_CONTROLS = bytes(range(0x20, 0x100)) + b"\n"


def _escaped(block: bytes) -> bytes:
    """Escape lines as JSON strings (RFC 8259, 7), but for the newlines between them. A search for
    each such character through all of them is many times faster than a walk through each line."""
    block = block.replace(b"\\", rb"\\").replace(b'"', rb"\"")
    for control in set(block.translate(None, _NO_CONTROLS)):
        block = block.replace(bytes([control]), json.dumps(chr(control))[1:-1].encode())
    return block


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse)


class _Pipe(NamedTuple):
    descriptor: int
    lines: Lines


class _Stream:
    """The thread that writes one of our two streams, from one pipe per run of the command."""

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
            # Only a thread that is stuck leaves so many; each may hold what a pipe holds.
            with suppress(IndexError):
                given_up = self._new.popleft()
                self._tell_given_up(_waiting(given_up))
                os.close(given_up.descriptor)

    def finish(self) -> None:
        """Let the thread pass on what is in the pipes now, and end."""
        self._finishing = True
        os.eventfd_write(self._woken, 1)

    def join(self, timeout: float) -> None:
        """Wait for the thread's end; say what was given up if that takes too long."""
        self._thread.join(max(0.0, timeout))
        if self._thread.is_alive():
            pipes = [*self._new, *self._pipes.copy().values()]
            self._tell_given_up(self._unwritten + sum(map(_waiting, pipes)))

    def _tell_given_up(self, count: int) -> None:
        if not count:
            return
        self._log.warning(
            "command output given up",
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
                        # What else was ready may now be closed, and its number be another's.
                        break
                    self._pass_on(self._pipes[descriptor], CHUNK)
            self._take_new()
            for pipe in list(self._pipes.values()):
                self._drain(pipe)
        except Exception as error:  # noqa: BLE001 - a bug of ours must not hold the command up
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
        """Pass on what one read(2) returns; tell how much that was."""
        data = os.read(pipe.descriptor, most)
        if data:
            self._write(pipe.lines.feed(data))
        else:
            self._forget(pipe)
        return len(data)

    def _drain(self, pipe: _Pipe) -> None:
        """Pass on what is in the pipe by now, and no more: somebody outside the command's tree may
        go on writing for ever."""
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
        """Close every pipe, now and later: the command's next write fails as if it were its own to
        our reader (EPIPE)."""
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
        """Write all of it, waiting as long as the reader does."""
        if not data:
            return
        left = memoryview(data)
        # Whole lines, where our own log or the other stream goes to the same place.
        with self._turn:
            while left:
                self._unwritten = len(left)
                left = left[self._write_some(left) :]
            self._unwritten = 0

    def _write_some(self, data: memoryview) -> int:
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            # Whoever shares this open file description made it non-blocking.
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
    """Count what of a pipe was not passed on; its thread may be at it."""
    with suppress(OSError):
        return _in_pipe(pipe.descriptor) + pipe.lines.held
    return pipe.lines.held


class ChildLogs:
    """Both streams of the command, run after run."""

    def __init__(self, form: str, identity: str, log: logs.Logger) -> None:
        """`form` is json or prefix. Raises RuntimeError where no thread can be made."""
        self._lines: Callable[[Source], Lines] = Json if form == "json" else Prefixed
        self._identity = identity
        shared = os.path.sameopenfile(1, 2)
        turn = logs.STDERR_TURN if shared else threading.Lock()
        self._streams = (
            _Stream("stdout", 1, turn, log),
            _Stream("stderr", 2, logs.STDERR_TURN, log),
        )

    def follow(self, outputs: tuple[int, ...], pid: int, environ: Mapping[str, str]) -> None:
        """Read what a newly started command writes, from these ends of its two pipes; never
        waits."""
        term = int(environ["LEADEREXEC_TERM"])
        for stream, name, descriptor in zip(
            self._streams, ("stdout", "stderr"), outputs, strict=True
        ):
            source = Source(self._identity, term, name, pid)
            stream.add(_Pipe(descriptor, self._lines(source)))

    def finish(self, timeout: float) -> None:
        """Pass on what was written until now; give up after `timeout` seconds, and say so."""
        give_up = time.monotonic() + timeout
        for stream in self._streams:
            stream.finish()
        for stream in self._streams:
            stream.join(give_up - time.monotonic())
