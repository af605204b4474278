"""``--slots N``: up to N replicas lead at once, each in a slot of its own.

Each slot is an ordinary election, by its own Lease or its own lock file. A replica takes part in
all of them, but claims one slot at a time, so it never leads in two. Whoever decides hears of one
election: that this replica leads, and in which slot, or that it does not.
"""

import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from leaderexec.core.events import Announced, Event, Failed, StreamClosed, StreamOpened
from leaderexec.core.record import replace
from leaderexec.election.kind import Put, Source
from leaderexec.light_typing import Protocol
from leaderexec.logs import Log


class Claim:
    """The slot that this replica holds, or tries to take; the others are left alone meanwhile.

    Guarded by `turn`, which is notified when there is none any more."""

    def __init__(self) -> None:
        self.turn = threading.Condition()
        self.slot: int | None = None
        self._closed = False

    def is_open_to(self, slot: int) -> bool:
        """Return whether this slot is claimed, or may be."""
        return self.slot == slot or (self.slot is None and not self._closed)

    def take(self, slot: int) -> bool:
        """Claim a slot, unless another one is; return whether it is claimed now."""
        with self.turn:
            if not self.is_open_to(slot):
                return False
            self.slot = slot
            return True

    def leave(self, slot: int) -> None:
        """Give up the claim on this slot, if there is one: it is certainly not held."""
        with self.turn:
            if self.slot == slot:
                self.slot = None
                self.turn.notify_all()

    def wait(self, slot: int) -> None:
        """Wait until this slot may be claimed."""
        with self.turn:
            self.turn.wait_for(lambda: self.is_open_to(slot))

    def close(self) -> None:
        """Let nothing be claimed any more; what is claimed remains so."""
        with self.turn:
            self._closed = True


class Part(Source, Protocol):
    """The election of one slot. It keeps to the claim."""

    def holder(self) -> str | None:
        """Return who holds the slot, as far as it is known. For any thread."""

    def end(self) -> None:
        """Stop competing. Never waits."""


class SlotsElection:
    """The source that names us while we hold a slot."""

    def __init__(
        self,
        identity: str,
        count: int,
        claim: Claim,
        make: Callable[[int, Put], Part],
        put: Put,
        log: Log,
        shared: tuple[int, ...] = (),
    ) -> None:
        """`make` opens the election of a slot; `shared`: descriptors that a command inherits in
        whichever slot it runs."""
        self._identity = identity
        self._claim = claim
        self._put = put
        self._log = log
        self._shared = shared
        # The slot in which we lead, as reported, and the last one in which we did.
        self._slot: int | None = None
        self._last: int | None = None
        self._said_none_is_free = False
        self._streams: set[int] = set()
        self._parts = [make(slot, partial(self._hear, slot)) for slot in range(count)]

    def start(self, now: float) -> None:
        """Begin to compete, in an order of our own: others begin with other slots."""
        for part in random.sample(self._parts, len(self._parts)):
            part.start(now)

    def resubscribe(self) -> None:
        """Reopen all streams."""
        for part in self._parts:
            part.resubscribe()

    def release(self) -> None:
        """Release the slot, or what may have become ours by now, and take no other."""
        self._claim.close()
        slot = self._claim.slot
        if slot is not None:
            self._parts[slot].release()
        for part in self._parts:
            part.end()

    def step_down(self, hold_off: float) -> None:
        """Have the slot released, and wait before any is taken again."""
        # What is free by the first must not be taken by another that has not heard of it.
        with self._claim.turn:
            for part in self._parts:
                part.step_down(hold_off)

    def inherited(self) -> tuple[int, ...]:
        """Return the descriptors of the slot that was reported."""
        return () if self._last is None else (*self._parts[self._last].inherited(), *self._shared)

    def troubles(self) -> Mapping[tuple[str, str], int]:
        """Return the sums."""
        total: Counter[tuple[str, str]] = Counter()
        for part in self._parts:
            total.update(part.troubles())
        return total

    def holders(self) -> Sequence[str | None]:
        """Return who holds each slot."""
        return [part.holder() for part in self._parts]

    def _hear(self, slot: int, event: Event) -> None:
        """Pass on what one slot's election reports, as far as it matters to the one election that
        all of them are."""
        with self._claim.turn:
            if isinstance(event, Announced):
                self._hear_leader(slot, event)
            elif isinstance(event, StreamOpened | StreamClosed):
                self._hear_stream(slot, event)
            elif not isinstance(event, Failed) or self._slot in (None, slot):
                # Where we lead, another slot's failure is none of the command's business.
                self._put(event)
        if isinstance(event, Announced):
            # Without the claim's lock: to look at a lock file may take long.
            self._say_if_none_is_free()

    def _hear_leader(self, slot: int, event: Announced) -> None:
        if event.leader == self._identity:
            self._slot = self._last = slot
            self._said_none_is_free = False
            self._put(replace(event, slot=slot))
        elif self._slot in (None, slot):
            self._slot = None
            self._put(Announced(None, event.at))

    def _say_if_none_is_free(self) -> None:
        if self._slot is not None or self._said_none_is_free:
            return
        if None not in (holders := self.holders()):
            self._said_none_is_free = True
            self._log.info("no slot is free", holders=holders)

    def _hear_stream(self, slot: int, event: StreamOpened | StreamClosed) -> None:
        """There is a stream as long as there is one of each slot."""
        before = len(self._streams)
        (self._streams.add if isinstance(event, StreamOpened) else self._streams.discard)(slot)
        if len(self._parts) in (before, len(self._streams)) and before != len(self._streams):
            self._put(event)
