"""A stand-in that takes an engine's port over, and answers as no engine does.

The engine itself goes on. What it could never take back is not forged: that a write of ours was
taken, or that leadership is free.
"""

import itertools
import random
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from moving.network import API_ADDRESS, WIRES

# An answer is sent piece by piece. The connection then stays open for the next question, unless the
# last piece is one of these.
Pieces = Iterator[bytes | None]
_END, _RESET = b"", None
_PIECE_APART = 0.1
_LONG = 16 << 20
# Where the client's library does not bound what it reads.
_UNBOUNDED = 1 << 20
_CHUNK = 64 << 10
_MOST_ASKED = 1 << 20

_SHAPES = (
    *("null", "[]", "{}", "7", '"x"', '{"kvs":7}', '{"kvs":[7]}', '{"header":[]}', '{"result":[]}'),
    *('{"spec":[]}', '{"kind":"Status"}', '{"metadata":7,"spec":7}', "[" * 100_000),
    '{"metadata":{"resourceVersion":7},"spec":{"holderIdentity":{},"renewTime":[]}}',
    '{"header":{"revision":[]},"ID":{},"TTL":[],"succeeded":7,"responses":[{"response_range":7}]}',
)
_REFUSALS = ("500 Internal Server Error", "429 Too Many Requests", "503 Service Unavailable")


def _http(manner: str, chance: random.Random) -> Pieces:
    json, shape = "application/json", chance.choice(_SHAPES)
    if manner == "garbage":
        yield from (chance.randbytes(300), _END)
    elif manner == "errors":
        yield _head(chance.choice(_REFUSALS), "text/plain", 4, "Retry-After: 1") + b"down"
    elif manner == "slow":
        whole = _head("200 OK", json, 2000) + b" " * 2000
        yield from (whole[place : place + 1] for place in range(len(whole)))
    elif manner == "long" and chance.random() < 1 / 2:
        yield b"HTTP/1.1 200 OK\r\nX-Long: "
        yield from itertools.repeat(b"x" * _CHUNK, _LONG // _CHUNK)
    elif manner == "long":
        yield _head("200 OK", json, 1 << 30)
        yield from itertools.repeat(b" " * _CHUNK, _LONG // _CHUNK)
    elif manner == "reset":
        yield from (_head("200 OK", json, 2000)[: chance.randrange(1, 90)], _RESET)
    elif chance.random() < 1 / 4:
        page = b"<html>Welcome! Please log in.</html>"
        yield _head("200 OK", "text/html", len(page)) + page
    else:
        yield _head("200 OK", json, len(shape)) + shape.encode()


def _head(status: str, kind: str, length: int, *more: str) -> bytes:
    lines = (f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {length}", *more)
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


_REDIS_SHAPES = (
    *(b"*0\r\n", b"+QUEUED\r\n", b"*1\r\n*1\r\n*1\r\n*0\r\n", b"*2\r\n$1\r\nx\r\n$1\r\nx\r\n"),
    *(
        b"*3\r\n$1\r\nx\r\n*0\r\n$1\r\nx\r\n",
        b"*3\r\n$0\r\n\r\n$1\r\nx\r\n$1\r\nx\r\n",
        b"$1\r\n\xff\r\n",
    ),
)
_REDIS_REFUSALS = (
    *("LOADING Redis is loading the dataset in memory", "BUSY Redis is busy running a script."),
    *("OOM command not allowed", "READONLY You can't write against a read only replica."),
    *("ERR max number of clients reached", "MASTERDOWN Link with MASTER is down", "NOAUTH", "?"),
)


def _redis(manner: str, chance: random.Random) -> Pieces:
    if manner == "garbage":
        yield from (chance.randbytes(300), _END)
    elif manner == "errors":
        yield f"-{chance.choice(_REDIS_REFUSALS)}\r\n".encode()
    elif manner == "slow":
        whole = b"$200\r\n" + b"x" * 200
        yield from (whole[place : place + 1] for place in range(len(whole)))
    elif manner == "long" and chance.random() < 1 / 2:
        yield b"*1000000000\r\n" + b"+x\r\n" * (_CHUNK // 4)
    elif manner == "long":
        yield b"$536870912\r\n"
        yield from itertools.repeat(b"x" * _CHUNK, _UNBOUNDED // _CHUNK)
    elif manner == "reset":
        yield from (b"$2000\r\nx", _RESET)
    else:
        yield chance.choice(_REDIS_SHAPES)


def _message(kind: bytes, body: bytes = b"", length: int | None = None) -> bytes:
    return kind + struct.pack("!i", 4 + (len(body) if length is None else length)) + body


_READY = _message(b"Z", b"I")
_WELCOME = _message(b"R", struct.pack("!i", 0)) + _READY
_COLUMN = b"x\0" + struct.pack("!ihihih", 0, 0, 25, -1, -1, 0)
_NO_ROWS = _message(b"1") + _message(b"2") + _message(b"n") + _message(b"C", b"SELECT 0\0") + _READY
_ODD_ROW = (
    *(_message(b"1") + _message(b"2"), _message(b"T", struct.pack("!h", 1) + _COLUMN)),
    *(_message(b"D", struct.pack("!hi", 1, 1) + b"x"), _message(b"C", b"SELECT 1\0"), _READY),
)
_PG_REFUSALS = (
    *(b"SFATAL\0C53300\0Msorry, too many clients already\0\0", b"SFATAL\0C57P03\0Mstarting up\0\0"),
    *(b"SFATAL\0C57P01\0Mterminating connection\0\0", b"SERROR\0CXX000\0Mcache lookup failed\0\0"),
)


def _postgres(manner: str, chance: random.Random, *, starts: bool) -> Pieces:
    """Answer the start-up packet, or a query."""
    if starts and chance.random() < 1 / 2 and manner != "slow":
        yield _WELCOME
    elif manner == "garbage":
        yield from (chance.randbytes(300), _END)
    elif manner == "errors":
        yield from (_message(b"E", chance.choice(_PG_REFUSALS)), _END)
    elif manner == "slow":
        whole = _message(b"S", b"a\0" + b"x" * 200 + b"\0")
        yield from (whole[place : place + 1] for place in range(len(whole)))
    elif manner == "long":
        yield _message(b"D", length=chance.choice((2 * _UNBOUNDED, 1 << 30)))
        yield from itertools.repeat(b"x" * _CHUNK, _UNBOUNDED // _CHUNK)
    elif manner == "reset":
        yield from ((_WELCOME if starts else _NO_ROWS)[: chance.randrange(1, 10)], _RESET)
    elif starts:
        yield from (b"R", struct.pack("!ii", 8, 77), _END)
    else:
        yield chance.choice((_NO_ROWS, b"".join(_ODD_ROW)))


_SSL_ASKED = (struct.pack("!ii", 8, 80877103), struct.pack("!ii", 8, 80877104))


class Hostile:
    """The stand-in of the engine at these ports, which speaks "http", "redis" or "postgres".
    `manner` is how it answers, and `asked` how often it was asked."""

    def __init__(
        self, ports: Sequence[int], speaks: str, tls: ssl.SSLContext | None = None
    ) -> None:
        self.manner = "garbage"
        self.asked = 0
        self._ports = ports
        self._speaks = speaks
        self._tls = tls
        self._open: set[socket.socket] = set()
        self._over = threading.Event()
        self._chance = random.Random(random.random())

    @contextmanager
    def answering(self, manner: str) -> Iterator[None]:
        """Answer in place of the engine: connections to it are reset, new ones come here."""
        self.manner = manner
        with self.listening() as ours, ExitStack() as stack:
            for rule in itertools.chain(*(_rules(port, ours) for port in self._ports)):
                _iptables("-A", rule)
                stack.callback(_iptables, "-D", rule)
            yield

    @contextmanager
    def listening(self) -> Iterator[int]:
        """Answer at a port of our own, on all addresses."""
        self._over.clear()
        listener = socket.create_server(("", 0))
        accepting = threading.Thread(target=self._accept, args=(listener,), daemon=True)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            self._over.set()
            # Wakes up who accepts.
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            listener.close()
            for one in list(self._open):
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while not self._over.is_set():
                one, _ = listener.accept()
                self._open.add(one)
                threading.Thread(target=self._serve, args=(one,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        one = raw
        try:
            if self._tls is not None:
                one = self._tls.wrap_socket(raw, server_side=True)
                self._open.discard(raw)
                self._open.add(one)
            starts = True
            while asked := one.recv(_MOST_ASKED):
                if self._speaks == "postgres" and asked in _SSL_ASKED:
                    one.sendall(b"N")
                    continue
                self.asked += 1
                if not self._say(one, self._pieces(starts=starts)):
                    return
                starts = False
        except (OSError, ValueError):
            pass
        finally:
            self._open.discard(one)
            one.close()

    def _pieces(self, *, starts: bool) -> Pieces:
        if self._speaks == "postgres":
            return _postgres(self.manner, self._chance, starts=starts)
        return (_http if self._speaks == "http" else _redis)(self.manner, self._chance)

    def _say(self, one: socket.socket, pieces: Pieces) -> bool:
        """Return whether the next question is answered, too."""
        for piece in pieces:
            if piece is _RESET:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            if piece == _END:
                return False
            one.sendall(piece)
            if len(piece) == 1 and self._over.wait(_PIECE_APART):
                return False
            # As much as a network lets through, not as loopback does.
            if len(piece) == _CHUNK and self._over.wait(_CHUNK / _LONG):
                return False
        return True


def _rules(port: int, ours: int) -> tuple[tuple[str, ...], ...]:
    """New connections come here; what still arrives at the port belongs to an older one."""
    to = ("-i", WIRES, "-p", "tcp", "--destination", API_ADDRESS, "--dport", str(port))
    return (
        ("PREROUTING", "-t", "nat", *to, "-j", "REDIRECT", "--to-ports", str(ours)),
        ("INPUT", *to, "-j", "REJECT", "--reject-with", "tcp-reset"),
    )


def _iptables(how: str, rule: Sequence[str]) -> None:
    subprocess.run(("iptables", "-w", how, *rule), check=True)
