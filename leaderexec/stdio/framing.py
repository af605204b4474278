"""The command's lines, marked with their origin: by a prefix, or as JSON.

Pure: bytes in, bytes out. Reading, waiting, writing and the clock are in `relay`.
"""

import base64
import codecs
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

LONGEST_LINE = 2**20
_PIECE = 4096
_SHOW = "backslashreplace"
_Utf8 = codecs.getincrementaldecoder("utf-8")


class Source(NamedTuple):
    """The origin of the output: the replica, its term, the stream (stdout or stderr), and the
    command's pid."""

    identity: str
    term: int
    stream: str
    pid: int


class Lines(ABC):
    """Marks the lines of one stream, independently of how their bytes are split.

    A line longer than `longest` bytes is written in parts, each as a line of its own and all but
    the last marked as partial. No more than such a line is buffered.
    """

    def __init__(self, source: Source, longest: int = LONGEST_LINE) -> None:
        self._longest = longest
        self._held = bytearray()
        self._cut = False
        self.source = source
        self.mark(source)

    @property
    def held(self) -> int:
        """How many bytes wait for the end of their line."""
        return len(self._held)

    def feed(self, data: bytes) -> bytes:
        """Take in bytes as they were read; return what can be written now."""
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
        """Return what is still buffered, completed by a newline."""
        last = bytes(self._held)
        self._held.clear()
        return self._line(last) if last else b""

    def _line(self, line: bytes) -> bytes:
        """Mark one line, which may be too long, or the rest of a line that was."""
        parts = []
        while len(line) > self._longest:
            at = _character_boundary(line, self._longest)
            parts.append(self.part(line[:at], last=False))
            line, self._cut = line[at:], True
        parts.append(self.part(line, last=True) if self._cut else self.whole(line + b"\n"))
        self._cut = False
        return b"".join(parts)

    def _parts(self) -> bytes:
        """Cut off what is too long to be buffered."""
        parts = []
        while len(self._held) > self._longest:
            at = _character_boundary(self._held, self._longest)
            parts.append(self.part(bytes(self._held[:at]), last=False))
            del self._held[:at]
            self._cut = True
        return b"".join(parts)

    @abstractmethod
    def mark(self, source: Source) -> None:
        """Mark what follows with this origin."""

    @abstractmethod
    def whole(self, block: bytes) -> bytes:
        """Mark whole lines, each with its newline."""

    @abstractmethod
    def part(self, piece: bytes, *, last: bool) -> bytes:
        """Mark a part of a line that was too long."""


def _character_boundary(line: bytes | bytearray, at: int) -> int:
    """Return the last position up to `at` that does not split a UTF-8 character."""
    for back in range(min(4, at)):
        if line[at - back] & 0xC0 != 0x80:  # noqa: PLR2004 - a continuation byte
            return at - back
    return at


class Prefixed(Lines):
    """Each line after `app-a 3 | ` on stdout, `app-a 3 ! ` on stderr; every part of a long line but
    the last has a + in place of the last space. The line itself is unchanged, byte by byte."""

    def mark(self, source: Source) -> None:
        """Make the prefix."""
        mark = "!" if source.stream == "stderr" else "|"
        self._head = f"{source.identity} {source.term} {mark}".encode()
        self._between = b"\n" + self._head + b" "

    def whole(self, block: bytes) -> bytes:
        """Mark all of them with a single search through the block."""
        return b"%b %b\n" % (self._head, block[:-1].replace(b"\n", self._between))

    def part(self, piece: bytes, *, last: bool) -> bytes:
        """Mark a part by its prefix."""
        return b"%b%b%b\n" % (self._head, b" " if last else b"+", piece)


class Json(Lines):
    r"""Each line as the event of a JSON object, with leaderexec's own field names; a line that
    is a JSON object gets the missing ones.

    Its own text is unchanged, to the last digit, and its own fields win. Bytes that are not UTF-8
    are shown as \xff, and the line is added once more in base64. `now` returns the time in the
    format of the lines.
    """

    def __init__(self, source: Source, now: Callable[[], str], longest: int = LONGEST_LINE) -> None:
        super().__init__(source, longest)
        self._told = now

    def mark(self, source: Source) -> None:
        """Make the fields."""
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
        """Return an object with the line as its event, whatever its content."""
        text = _shown(line)
        if text != line:
            more = b', "event_base64": "%b"%b' % (base64.b64encode(line), more)
        return b'%b%b"%b%b}\n' % (_head(self._now()), _escaped(text), more, self._tail)

    def _merged(self, line: bytes, now: bytes) -> bytes | None:
        """Return the object with our fields appended; None if it is not a JSON object."""
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
        return self._told().encode()


def _head(now: bytes) -> bytes:
    return b'{"timestamp": "%b", "level": "info", "event": "' % now


def _shown(line: bytes) -> bytes:
    r"""Return the line with bytes that are not UTF-8 written as \xff. This is slow for many such
    bytes, so it is done in pieces: the other threads have to wait for each piece."""
    if len(line) <= _PIECE:
        return line.decode(errors=_SHOW).encode()
    decoder = _Utf8(_SHOW)
    pieces = (line[at : at + _PIECE] for at in range(0, len(line), _PIECE))
    text = [decoder.decode(piece) for piece in pieces]
    return "".join([*text, decoder.decode(b"", final=True)]).encode()


_NO_CONTROLS = bytes(range(0x20, 0x100)) + b"\n"


def _escaped(block: bytes) -> bytes:
    """Escape lines as JSON strings (RFC 8259, 7), but not the newlines between them. Searching all
    of them for each such character is many times faster than walking through each line."""
    block = block.replace(b"\\", rb"\\").replace(b'"', rb"\"")
    for control in set(block.translate(None, _NO_CONTROLS)):
        block = block.replace(bytes([control]), json.dumps(chr(control))[1:-1].encode())
    return block


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse)
