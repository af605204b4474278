"""A development elector in this process, for tests and experiments.

with RunningElector("app-a", "app-b") as elector:
    client = connect(elector.sse_url)
    elector.wait_subscribers(1)
    elector.lead("app-b")
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from leaderexec_elector.server import Elector
from leaderexec_elector.state import Snapshot

_PATIENCE = 30.0
_T = TypeVar("_T")


class RunningElector:
    """An elector on a free loopback port, in its own thread, while the context lasts.

    The candidates are the names that can lead; the first one leads, unless `leader` is another, or
    None for no leader. Its methods may be called from any thread; each returns when the requested
    change was written to the subscribers.
    """

    def __init__(self, *candidates: str, leader: str | None = "") -> None:
        first = candidates[0] if candidates else None
        self._candidates = candidates
        self._leader = first if leader == "" else leader
        self._thread = threading.Thread(target=self._run, name="development-elector", daemon=True)
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop
        self._elector: Elector
        self._stop: asyncio.Event
        self.url = ""
        self.sse_url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error
        self.url = self._elector.door.url
        self.sse_url = f"{self.url}sse"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @property
    def address(self) -> tuple[str, int]:
        """The host and port on which it listens."""
        return self._elector.door.host, self._elector.door.port

    def lead(self, name: str | None) -> None:
        """Move leadership and announce it, twice, as every change is announced."""
        self._do(self._elector.lead(name))

    def announce(self) -> None:
        """Announce the same leader again, once, as after a resync."""
        self._do(self._elector.announce())

    def fault(self, name: str, **settings: object) -> None:
        """Set a fault.

        A setting whose name is a Python keyword takes an underscore: `for_="1s"`.
        Raises FaultError for an unknown fault, setting or value.
        """
        texts = {key.rstrip("_"): str(value) for key, value in settings.items()}
        self._do(self._elector.arm(name, texts))

    def clear(self, name: str | None = None) -> None:
        """Clear a fault, or all."""
        self._do(self._elector.disarm(name))

    def state(self) -> Snapshot:
        """Return the elector's current state."""
        return self.wait_until(lambda _state: True)

    def wait_until(self, holds: Callable[[Snapshot], bool], timeout: float = 10) -> Snapshot:
        """Wait until the state satisfies the condition; raises TimeoutError with the state."""
        return self._do(self._elector.wait_until(holds, timeout), timeout + _PATIENCE)

    def wait_subscribers(self, count: int, timeout: float = 10) -> Snapshot:
        """Wait until exactly `count` streams receive announcements."""
        return self.wait_until(lambda state: state.subscribers == count, timeout)

    def wait_connects(self, count: int, timeout: float = 10) -> Snapshot:
        """Wait until the stream has been requested at least `count` times in total."""
        return self.wait_until(lambda state: state.connects >= count, timeout)

    def wait_gets(self, count: int, timeout: float = 10) -> Snapshot:
        """Wait until the leader has been requested at least `count` times in total."""
        return self.wait_until(lambda state: state.gets >= count, timeout)

    def _do(self, asked: Coroutine[Any, Any, _T], timeout: float = _PATIENCE) -> _T:
        return asyncio.run_coroutine_threadsafe(asked, self._loop).result(timeout)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._elector = Elector(self._candidates, self._leader, told_from_within=True)
        try:
            await self._elector.open()
            self._ready.set()
            await self._stop.wait()
        finally:
            await self._elector.aclose()
