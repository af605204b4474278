"""Simulated time, machines with their own clocks, and who led when: common to the searches of
elections.

On each machine the core's real belief runs on top of the search's own campaign. True
time is in seconds. Each machine's boot time is true time plus an offset, while its monotonic
time stops when it sleeps.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from leaderexec.core.belief import Belief, ContactPolicy, contact_deadline, expire, hear
from leaderexec.core.events import Announced
from leaderexec.election.renewing import Now, Term

GRACE_LOST = 10.0


class Reign(NamedTuple):
    """How long a candidate believed to lead, in true time; at `gone` its command is gone."""

    who: str
    fence: int
    begin: float
    end: float
    gone: float
    slot: int | None = None


class Time:
    """The schedule of what will happen, and the record of who has led."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.reigns: list[Reign] = []
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    @property
    def machines(self) -> "Sequence[Machine]":
        """All machines."""
        raise NotImplementedError

    def at(self, when: float, work: Callable[[], None]) -> None:
        """Schedule work."""
        heapq.heappush(self._due, (max(when, self.now), next(self._order), work))

    def run(self, until: float) -> None:
        """Let time pass."""
        while self._due and self._due[0][0] <= until:
            self.now, _, work = heapq.heappop(self._due)
            work()
        self.now = until
        for machine in self.machines:
            machine.look()


class Machine:
    """One replica's machine: its clocks, and the core's belief."""

    def __init__(self, time: Time, identity: str, timeout: float) -> None:
        """`timeout`: seconds of silence after which contact is lost."""
        self.time = time
        self.identity = identity
        self.lives = True
        self._policy = ContactPolicy(timeout)
        self._belief = Belief()
        self._offset = time.random.uniform(0, 1e6)
        self._slept = 0.0
        self._asleep_since: float | None = None
        self._sleeps: list[tuple[float, float]] = []
        self._waiting: list[Callable[[], None]] = []
        self._begin: float | None = None
        # The slot of that, with --slots.
        self.slot: int | None = None

    def clocks(self) -> Now:
        """Return this machine's clocks."""
        slept = self._slept
        if self._asleep_since is not None:
            slept += self.time.now - self._asleep_since
        return Now(self.time.now - slept + 7 * self._offset, self.time.now + self._offset)

    def go_on(self) -> None:
        """Do the campaign's next step."""
        raise NotImplementedError

    def sleep(self, seconds: float) -> None:
        """Suspend the machine; what arrives meanwhile is processed when it wakes."""
        if self._asleep_since is not None or not self.lives:
            return
        self._asleep_since = self.time.now
        self._sleeps.append((self.time.now, self.time.now + seconds))
        self.time.at(self.time.now + seconds, self._wake)

    def _wake(self) -> None:
        assert self._asleep_since is not None
        self._slept += self.time.now - self._asleep_since
        self._asleep_since = None
        waiting, self._waiting = self._waiting, []
        # The main thread has its own timer, which is due by now.
        self.look()
        for work in waiting:
            work()
        self.go_on()

    @property
    def is_asleep(self) -> bool:
        """Tell whether it is suspended."""
        return self._asleep_since is not None

    def when_awake(self, work: Callable[[], None]) -> None:
        """Do something at once, or when it wakes; never if it is dead."""
        if not self.lives:
            return
        if self._asleep_since is not None:
            self._waiting.append(work)
        else:
            work()

    # What the deciding core makes of it.

    def _believe(self, term: Term | None) -> None:
        """Process what the campaign reports of leadership."""
        if term is None:
            self.look()
        else:
            self._hear(Announced(term.leader, term.at, term.fence))

    def _hear(self, said: Announced) -> None:
        self.look()
        before = self._belief
        self._belief = now = hear(before, said, self._policy)
        is_same = (now.fence, now.slot) == (before.fence, before.slot)
        if self._begin is not None and not (self.leads() and is_same):
            self._reigned(before.fence or 0, self.time.now, GRACE_LOST)
        self.look()

    def leads(self) -> bool:
        """Return whether the command may run here."""
        return self._belief.confirmed and self._belief.leader == self.identity

    def look(self) -> None:
        """Process that time has passed, as the core's timer does."""
        if not self.lives:
            return
        before = self._belief
        ends = contact_deadline(before, self._policy)
        if self._asleep_since is None:
            self._belief = expire(before, self._policy, self.clocks().boot)
        if self._begin is not None and ends is not None:
            ends -= self._offset
            # By either clock: they differ by a rounding error.
            if ends <= self.time.now or not self.leads():
                self._reigned(before.fence or 0, ends, GRACE_LOST)
        elif self._begin is None and self.leads() and self._asleep_since is None:
            self._begin, self.slot = self.time.now, self._belief.slot

    def _end(self, *, grace: float) -> None:
        """Stop its command, within a grace period."""
        if self._begin is not None:
            self._reigned(self._belief.fence or 0, self.time.now, grace)

    def _reigned(self, fence: int, end: float, grace: float) -> None:
        assert self._begin is not None
        gone = end + grace
        if any(begin < gone and end < wakes for begin, wakes in self._sleeps):
            # A frozen holder: what does not run can't be stopped; only the fence protects.
            gone = end
        self.time.reigns.append(Reign(self.identity, fence, self._begin, end, gone, self.slot))
        self._begin = None

    def close(self) -> None:
        """Record the term that is still going on."""
        self._end(grace=0.0)


def overlaps(time: Time, slot: int | None = None) -> list[str]:
    """Return who led, in this slot, before the previous leader's command was gone."""
    for machine in time.machines:
        machine.close()
    ours = [reign for reign in time.reigns if reign.slot == slot]
    reigns = sorted(ours, key=lambda reign: reign.begin)
    found = []
    for before, after in pairwise(reigns):
        # Under one name the core itself waits for the end of the old command.
        until = before.end if before.who == after.who else before.gone
        if after.begin < until - 1e-6:
            found.append(f"{after} began before {before}")
        if after.fence <= before.fence:
            found.append(f"{after} has no greater fence than {before}")
    return found
