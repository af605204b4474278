"""The development elector: who leads, the clients that follow, and the faults' sequences.

Everything happens in one event loop; no method is safe to call from another thread.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from leaderexec_elector import control, faults, wire
from leaderexec_elector.connection import Connection
from leaderexec_elector.door import Door, turns
from leaderexec_elector.faults import Armed
from leaderexec_elector.manner import Manner, Moment
from leaderexec_elector.request import Request
from leaderexec_elector.state import Snapshot, State

_PATIENCE = 5.0
_OUTAGES = {"refuse", "restart"}
_ANYWHERE = ("127.0.0.1", 0)

Address = tuple[str, int]


class Elector:
    """An elector for a laptop and for tests.

    `listen` and `control` are addresses; port 0 is a free one. `told_from_within` allows `refuse`
    without an end though nothing could disarm it over HTTP.
    """

    def __init__(
        self,
        candidates: Sequence[str] = (),
        leader: str | None = None,
        *,
        listen: Address = _ANYWHERE,
        control: Address | None = None,
        told_from_within: bool = False,
    ) -> None:
        self.state = State([], None, wire.now())
        self.state.candidates += candidates
        self.state.lead(leader, wire.now())
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        self._streams: set[Connection] = set()
        # In order of arrival, as the real elector tells them.
        self._subscribers: dict[Connection, None] = {}
        self._courses: dict[str, asyncio.Task[None]] = {}
        self._tellings: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Condition()
        self._may_refuse_for_ever = told_from_within or control is not None
        self.door = Door(*listen, self._serve)
        try:
            self.control_door = Door(*control, self._serve_control) if control else None
        except BaseException:
            self.door.close()
            raise

    async def open(self) -> None:
        """Begin to listen."""
        if self.control_door is not None:
            await self.control_door.open()
        if not self._courses.keys() & _OUTAGES:
            await self.door.open()

    async def aclose(self) -> None:
        """Stop at once, as on SIGTERM: streams end without their final chunk."""
        for door in filter(None, (self.door, self.control_door)):
            door.close()
        # A connection that was just accepted is known only some turns of the loop later.
        await turns()
        tasks = [*self._courses.values(), *self._tellings, *self._connections.values()]
        for connection in list(self._connections):
            connection.abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # And one that was aborted is closed by the next.
        await turns()

    def snapshot(self) -> Snapshot:
        """Give the elector as it is now."""
        state = self.state
        return Snapshot(
            leader=state.leader,
            candidates=tuple(state.candidates),
            subscribers=len(self._subscribers),
            streams=len(self._streams),
            connects=state.connects,
            gets=state.gets,
            followed=state.followed,
            faults=tuple(armed.shown() for armed in state.armed),
        )

    async def wait_until(self, holds: Callable[[Snapshot], bool], timeout: float) -> Snapshot:  # noqa: ASYNC109 - the message tells the state
        """Wait until the snapshot is so. Raises TimeoutError with the state after `timeout` s."""
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(lambda: holds(self.snapshot()))
        except TimeoutError:
            raise TimeoutError(f"not within {timeout} s: {self.snapshot()}") from None
        return self.snapshot()

    async def lead(self, name: str | None) -> None:
        """Move leadership and announce it, twice, as every change is announced."""
        self.state.lead(name, wire.now())
        await self._tell(2)

    async def announce(self) -> None:
        """Announce the same leader again, once, as after a resync."""
        self.state.lead(self.state.leader, wire.now())
        await self._tell(1)

    async def arm(self, name: str, texts: Mapping[str, str]) -> None:
        """Arm a fault; one that was armed under this name is replaced. Raises FaultError."""
        armed = faults.arm(name, texts)
        if name == "refuse" and armed.values["for"] is None and not self._may_refuse_for_ever:
            raise faults.FaultError("refuse: nothing could end it: add for=DURATION, or --control")
        # Of two outages the first to end would open the door under the other.
        for each in _OUTAGES if name in _OUTAGES else {name}:
            await self.disarm(each)
        self.state.armed.append(armed)
        course = self._course(armed)
        if course is not None:
            task = asyncio.create_task(self._run(armed, course))
            self._courses[name] = task
            # A flap is waited for, so that the answer tells its end; the others only begin.
            await asyncio.wait({task}, timeout=_PATIENCE if name == "flap" else 0)
        elif armed.fault.strikes and self._streams:
            await self._strike(armed)
        await self._notify()

    async def disarm(self, name: str | None = None) -> None:
        """Disarm a fault, or all; nothing happens when it is not armed."""
        for armed in [each for each in self.state.armed if name in {None, each.fault.name}]:
            self.state.armed.remove(armed)
            course = self._courses.get(armed.fault.name)
            if course is not None:
                course.cancel()
                await asyncio.wait({course})
        await self._notify()

    async def get(self, connection: Connection, request: Request) -> None:
        """Answer a request for the leader."""
        self.state.gets += 1
        manner = Manner()
        if "followed" in request.query:
            self.state.followed += 1
        else:
            manner = self.state.manner(Moment.GET)
        document = self.state.announcement
        await self._notify()
        await connection.reply(request, document, manner)

    async def stream(self, connection: Connection, request: Request) -> None:
        """Answer a request for the stream, until the client leaves."""
        self.state.connects += 1
        manner = self.state.manner(Moment.CONNECT)
        if manner.whole:
            await self._notify()
            await connection.reply(request, self.state.announcement, manner)
            return
        # Nothing is awaited between reading the announcement and taking the stream's turn to
        # write, so that no later announcement comes first or is missed.
        document = self.state.announcement
        self._streams.add(connection)
        if not manner.forget:
            self._subscribers[connection] = None
        opening = self._begin(connection.open_stream(request, document, manner))
        try:
            await asyncio.sleep(0)
            await self._notify()
            await connection.until_gone()
        finally:
            opening.cancel()
            self._streams.discard(connection)
            self._subscribers.pop(connection, None)
            await self._notify()

    async def control(self, connection: Connection, request: Request) -> None:
        """Answer a request under /dev/."""
        connection.busy = True
        status, content_type, body = await control.answer(self, request)
        reply = wire.reply(
            wire.now(), request.shape, body, status=status, content_type=content_type
        )
        await connection.write(reply)
        connection.busy = False

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._attend(Connection(reader, writer), control_only=False)

    def _serve_control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._attend(Connection(reader, writer), control_only=True)

    def _attend(self, connection: Connection, *, control_only: bool) -> None:
        # Not asyncio's own task for a connection: Python 3.11 prints a traceback when that one is
        # cancelled.
        task = asyncio.create_task(connection.serve(self, control_only=control_only))
        self._connections[connection] = task
        task.add_done_callback(lambda _task: self._connections.pop(connection))

    async def _tell(self, times: int) -> None:
        if self._subscribers:
            manner = self.state.manner(Moment.ANNOUNCE)
            documents = [self.state.announcement] * times
            await self._all(
                [each.announce(documents, manner) for each in self._subscribers],
            )
        await self._notify()

    async def _strike(self, armed: Armed) -> None:
        struck = list(self._streams)
        manner = armed.change(Manner(), Moment.ANNOUNCE)
        self.state.use(armed)
        if manner.forget:
            for each in struck:
                self._subscribers.pop(each, None)
        if manner.cut is not None:
            await self._all([each.announce([self.state.announcement], manner) for each in struck])

    async def _all(self, tellings: Iterable[Coroutine[Any, Any, None]]) -> None:
        # Not for ever: a client may not read, and an endless line has no end.
        await asyncio.wait({self._begin(each) for each in tellings}, timeout=_PATIENCE)

    def _begin(self, telling: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        async def tell() -> None:
            with suppress(ConnectionError):
                await telling

        task = asyncio.create_task(tell())
        self._tellings.add(task)
        task.add_done_callback(self._tellings.discard)
        return task

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _course(self, armed: Armed) -> Awaitable[None] | None:
        values = armed.values
        match armed.fault.name:
            case "refuse":
                return self._refuse(values["for"])
            case "restart":
                return self._restart(values["for"], values["empty"])
            case "flap":
                return self._flap(values)
            case _:
                return None

    async def _run(self, armed: Armed, course: Awaitable[None]) -> None:
        try:
            await course
        finally:
            self._courses.pop(armed.fault.name, None)
            if armed in self.state.armed:
                self.state.armed.remove(armed)
            await self._notify()

    async def _refuse(self, seconds: float | None) -> None:
        self.door.shut()
        try:
            await (asyncio.Event().wait() if seconds is None else asyncio.sleep(seconds))
        finally:
            await self.door.open()

    async def _restart(self, seconds: float, empty: float) -> None:
        self.door.shut()
        for connection in list(self._connections):
            if not connection.busy:
                connection.abort()
        self.state.booting = empty > 0
        try:
            await asyncio.sleep(seconds)
            await self.door.open()
            await asyncio.sleep(empty)
        finally:
            self.state.booting = False
            await self.door.open()
        if empty:
            await self._tell(2)

    async def _flap(self, values: Mapping[str, Any]) -> None:
        before = self.state.leader
        names = values["names"] or self.state.candidates[:2]
        final = before if values["final"] is None else values["final"] or None
        for name in [*names] * values["times"]:
            await self.lead(name)
            await asyncio.sleep(values["gap"])
        await self.lead(final)
