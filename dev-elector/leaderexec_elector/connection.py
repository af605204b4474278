"""One client's connection: reads its requests and writes responses, changed by the faults."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Protocol

from leaderexec_elector import wire
from leaderexec_elector.manner import Cut, Hold, Manner
from leaderexec_elector.request import BadRequestError, Request, parse

_BLOCK = 65536
_BLOCK_PAUSE = 0.01
_LONGEST_BODY = 1 << 20


class Elector(Protocol):
    """What a connection needs from the elector."""

    async def get(self, connection: "Connection", request: Request) -> None:
        """Respond to a request for the leader."""

    async def stream(self, connection: "Connection", request: Request) -> None:
        """Respond to a request for the stream."""

    async def control(self, connection: "Connection", request: Request) -> None:
        """Respond to a request under /dev/."""


class Connection:
    """A client's connection. `busy`: others wait for its control request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()
        self._spoken = 0
        self._done = False
        self._endless: asyncio.Task[None] | None = None
        self._shape = wire.Shape()
        self._chunked = True
        self.busy = False

    async def serve(self, elector: Elector, *, control_only: bool = False) -> None:
        """Serve requests until the client disconnects, or the last one."""
        try:
            while not self._done and (request := await self._request()) is not None:
                if control_only or request.path.startswith("/dev/") or request.path == "/dev":
                    await elector.control(self, request)
                elif request.path == "/sse":
                    await elector.stream(self, request)
                else:
                    await elector.get(self, request)
                self._done = self._done or request.shape.close
        except BadRequestError as error:
            body = f"400 Bad Request: {error}\n".encode()
            now, shape = wire.now(), wire.Shape(close=True)
            await self.write(wire.reply(now, shape, body, status=400, content_type=wire.TEXT))
        except ConnectionError:
            pass
        finally:
            if self._endless is not None:
                self._endless.cancel()
            self._writer.close()

    async def reply(self, request: Request, document: bytes, manner: Manner) -> None:
        """Send a whole response."""
        if manner.hold is not Hold.NOTHING:
            await self.until_gone()
            return
        body, content_type = manner.document(document), manner.content_type or wire.JSON
        if manner.whole:
            phrase = wire.reason(manner.status)
            body, content_type = f"{phrase}\n".encode(), manner.content_type or wire.TEXT
        data = wire.reply(
            wire.now(),
            request.shape,
            body,
            status=manner.status,
            content_type=content_type,
            location=manner.location,
        )
        if manner.cut is None:
            await self.write(data, manner.pace)
        else:
            await self.write(data[: len(data) - len(body) // 2 - 1], manner.pace)
            self._end(manner.cut)

    async def open_stream(self, request: Request, document: bytes, manner: Manner) -> None:
        """Send a stream's head and its first event."""
        self._shape = request.shape
        self._chunked = manner.chunked and request.shape.http11
        content_type = manner.content_type or wire.EVENT_STREAM
        head = wire.stream_head(wire.now(), request.shape, content_type, chunked=self._chunked)
        if manner.hold is Hold.NOTHING:
            await self._say(head, manner.prelude, [document], manner)
        elif manner.hold is Hold.BODY:
            await self.write(head, manner.pace)

    async def announce(self, documents: list[bytes], manner: Manner) -> None:
        """Write events to a stream, all at once."""
        if manner.hold is Hold.NOTHING and self._endless is None:
            await self._say(b"", b"", documents, manner)

    async def until_gone(self) -> None:
        """Wait until the client closes; discard what it sends."""
        self._done = True
        with suppress(ConnectionError):
            while await self._reader.read(_BLOCK):
                pass

    async def write(self, data: bytes, pace: float | None = None) -> None:
        """Write bytes, with a pause of `pace` seconds after each unless it is None."""
        async with self._turn:
            if pace is None:
                await self._send(data)
                return
            for byte in data:
                await self._send(bytes((byte,)))
                await asyncio.sleep(pace)

    def abort(self, *, reset: bool = False) -> None:
        """Close at once, as the kernel does when a process exits, or with RST."""
        self._done = True
        if reset:
            # With a linger time of 0, close() sends RST (socket(7), SO_LINGER).
            linger = struct.pack("ii", 1, 0)
            sock = self._writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._writer.transport.abort()

    async def _request(self) -> Request | None:
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
            request = parse(head)
            if request.body_length > _LONGEST_BODY:
                raise BadRequestError(f"send no body of more than {_LONGEST_BODY} bytes")
            await self._reader.readexactly(request.body_length)
        except asyncio.IncompleteReadError:
            return None
        except asyncio.LimitOverrunError:
            raise BadRequestError("send a shorter head") from None
        return request

    async def _say(
        self, head: bytes, prelude: bytes, documents: list[bytes], manner: Manner
    ) -> None:
        if not self._shape.body:
            await self.write(head, manner.pace)
            return
        events = []
        for document in documents:
            events.append(manner.event(manner.document(document), self._spoken))
            self._spoken += 1
        events[0] = prelude + events[0]
        if manner.endless:
            self._endless = asyncio.create_task(self._never_end(head))
        elif manner.cut is Cut.RESET:
            whole = self._framed(events[0])
            await self.write(head + whole[: len(whole) // 2], manner.pace)
            self._end(Cut.RESET)
        elif manner.cut is Cut.CLOSE:
            half = self._framed(events[0][: len(events[0]) // 2])
            last = wire.FINAL_CHUNK if self._chunked else b""
            await self.write(head + half + last, manner.pace)
            self._end(Cut.CLOSE)
        else:
            await self.write(head + b"".join(map(self._framed, events)), manner.pace)

    async def _never_end(self, head: bytes) -> None:
        with suppress(ConnectionError):
            await self.write(head + self._framed(b"data: "))
            while True:
                await self.write(self._framed(b"x" * _BLOCK))
                await asyncio.sleep(_BLOCK_PAUSE)

    def _framed(self, data: bytes) -> bytes:
        return wire.chunk(data) if self._chunked else data

    async def _send(self, data: bytes) -> None:
        if self._writer.is_closing():
            raise ConnectionResetError("the connection is closed")
        self._writer.write(data)
        await self._writer.drain()

    def _end(self, cut: Cut) -> None:
        if cut is Cut.RESET:
            self.abort(reset=True)
        else:
            self._done = True
            self._writer.close()
