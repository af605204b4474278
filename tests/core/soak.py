"""Long lives of `decide`: drawn at random, and judged like the short histories of `search`.

    python tests/core/soak.py --moves 1000000 --hours 24 --seed 1

Each case of the search goes on until its share of the moves is done and this much simulated time
has passed: leadership moves, the elector is polled, commands run, stop, hang and exit, and time
passes from one deadline of `decide` to the next. After every step the oracle judges, and where this
replica leads something has to be planned. Nothing that `decide` or the counters keep may grow with
the number of moves.
"""

import argparse
import random
import statistics
import sys
import time
from collections import deque
from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple

from core import oracle, search
from core.oracle import Account, BrokenError, promise
from core.search import CASES, Case, Letter
from core.world import ME, RIVAL

from leaderexec.config.settings import load
from leaderexec.core import actions, events, lifecycle
from leaderexec.core.lifecycle import Restart, State
from leaderexec.logs import Log
from leaderexec.status.transition_log import TransitionLog

# Between two things that happen, in seconds.
_PAUSES = (0.0, 0.0, 0.01, 0.1, 0.5, 1.0, 1.0, 3.0, 10.0, 30.0)
# How often nothing more arrives, so that it is planned.
_ALONE = 0.8
_POLL_EVERY = 10.0
# How often the size is measured.
_MEASURED = 0.02
# A shorter life does not tell.
_ENOUGH = 40
# In bytes: texts for people differ in length, and what is counted for the first time needs a place.
MAY_GROW = 5000
_TOLD = 25

_RUNS = {Letter.ENDS_0, Letter.ENDS_3, Letter.ENDS_127, Letter.LEAVES_0, Letter.LEAVES_3}
_SELDOM = {
    Letter.TERM: 0.002,
    Letter.HANG_UP: 0.002,
    Letter.DONE: 0.02,
    Letter.NOT_KEPT: 0.5,
    Letter.ENDS_127: 0.01,
    Letter.BREAK: 0.3,
    Letter.LATE: 0.2,
    Letter.FROZEN: 0.2,
    Letter.TICK_NO_FORK: 0.3,
    Letter.DEADLINE_NO_FORK: 0.3,
    Letter.UNHEALTHY: 0.3,
    Letter.STEP_DOWN: 0.3,
    Letter.LEASE_REFUSED: 0.3,
    Letter.NOT_READY: 0.3,
    Letter.HOOK_ENDS_0: 20.0,
    Letter.LAST_ENDS: 20.0,
    Letter.READY: 5.0,
    Letter.LEASE: 5.0,
}


class Soaked(NamedTuple):
    """What became of one case. `starts` are the command's, or how often a warm one was told that
    it leads; `simulated` is in seconds, `took` in seconds of CPU time; `size` is what is kept in
    bytes at the end of the longest life, the median of its last quarter, and `grew` how much more
    that is than in its second one, 0 if even that was short."""

    moves: int
    starts: int
    steps: int
    lives: int
    simulated: float
    took: float
    size: int
    grew: int


class Life:
    """A replica of this case, with a world that lets something happen; one that has exited is
    started anew."""

    def __init__(self, case: Case, chance: random.Random) -> None:
        self.now = 1000.0
        self.moves = self.starts = self.steps = self.lives = 0
        self.told: deque[tuple[float, str]] = deque(maxlen=_TOLD)
        # How much was kept, in the longest life and in this one.
        self.longest: list[int] = []
        self._sizes: list[int] = []
        self._case = case
        self._chance = chance
        self._config = load({"election": "off"}, ("true",), {}, ME)
        self._log = Log("error", "json")
        self._begin()

    def _begin(self) -> None:
        self.state, self._account = State(), Account()
        self._counts = TransitionLog(self._config, self._log, lambda: self.now)
        self._poll_at = self.now
        self._sizes = []
        self._measure()
        self.lives += 1

    def go_on(self) -> None:
        """Let time pass, and one thing happen. Raises BrokenError if a promise was broken."""
        self._pass(self._chance.choice(_PAUSES))
        self._do(self._drawn())
        if self._chance.random() < _ALONE:
            self._do(Letter.TICK)
        if self._account.exit_code is not None:
            self._begin()
        if self._chance.random() < _MEASURED:
            self._measure()

    def _measure(self) -> None:
        self._sizes.append(_size(self.state) + _size(self._counts.counters))
        self.longest = max(self.longest, self._sizes, key=len)

    def _pass(self, seconds: float) -> None:
        """Let time pass, as it does for the supervisor: it ticks at each deadline."""
        until = self.now + seconds
        while self._account.exit_code is None:
            due = lifecycle.next_deadline(self._case.policy, self.state)
            if due is None or due > until:
                break
            self.now = max(self.now, due)
            self._do(Letter.TICK)
        self.now = until
        # With a Lease to confirm it, what a poll means depends on that; the oracle leaves it out.
        if self._poll_at <= self.now and self._case.policy.contact.lease is None:
            self._poll_at = self.now + _POLL_EVERY
            self._poll()

    def _poll(self) -> None:
        """Poll the elector, which usually says what its stream has said."""
        known = self._account.leader or RIVAL
        other = RIVAL if known == ME else ME
        missed = self._chance.random() < 0.1
        self._take(events.Polled(other if missed else known, self.now), "a poll is answered")

    def _drawn(self) -> Letter:
        moment = search.Moment(self.state, self._account, self.now)
        found = [one for one in search.letters(self._case, moment) if one is not Letter.DEADLINE]
        return self._chance.choices(found, [self._weight(one) for one in found])[0]

    def _weight(self, letter: Letter) -> float:
        account = self._account
        leading = account.leader == ME
        if letter in (Letter.WIN, Letter.LOSE):
            return 8.0 if leading is (letter is Letter.LOSE) else 1.0
        if letter in _RUNS and account.job in (actions.Job.COMMAND, actions.Job.WARM):
            if not oracle.is_stopping(account):
                # Otherwise most lives would be short.
                ends = self._case.policy.restart is Restart.NEVER or letter is Letter.ENDS_127
                return 0.002 if ends else 0.2
            return 10.0
        if letter is Letter.DONE and account.keeps_by is not None:
            return 5.0
        return _SELDOM.get(letter, 1.0)

    def _do(self, letter: Letter) -> None:
        if self._account.exit_code is not None:
            return
        self.now = search.time_of(self._case.policy, self.state, letter, self.now)
        if letter is Letter.FROZEN:
            return
        event = search.event_of(self._account, letter, self.now)
        wanted = self._take(event, letter.value)
        if letter in search.NO_FORK and any(isinstance(one, actions.Start) for one in wanted):
            self._take(events.StartFailed("EAGAIN"), "no process can be created")
            self._take(events.Tick(), Letter.TICK.value)

    def _take(self, event: events.Event, told: str) -> tuple[actions.Action, ...]:
        policy, led = self._case.policy, self._account.leader == ME
        self.told.append((self.now, told))
        self.state, wanted = search.step(policy, self.state, self._account, event, self.now)
        self.steps += 1
        self.moves += led is not (self._account.leader == ME)
        self._counts.count(event)
        for action in wanted:
            if isinstance(action, actions.Start):
                self._counts.started(action, 1)
                self.starts += action.job is actions.Job.COMMAND
            elif isinstance(action, actions.Lead):
                self.starts += 1
            elif isinstance(action, actions.Note | actions.Changed | actions.Ended):
                self._counts.tell(action)
        if isinstance(event, events.Tick) and self.state.exit_code is None:
            self._has_a_plan()
        return wanted

    def _has_a_plan(self) -> None:
        """Check that a leader runs something, or that it is known when, or after what, it will."""
        state, policy = self.state, self._case.policy
        rests = state.run is None and not state.survivors
        if rests and lifecycle.leads(policy, state.belief):
            due = lifecycle.next_deadline(policy, state)
            promise(due is not None, "a leader for which nothing is planned")


def soak(case: Case, moves: int, seconds: float, seed: str) -> Soaked:
    """Go on until there were so many moves, and so much simulated time; raise BrokenError, with
    what happened last, if a promise was broken."""
    life = Life(case, random.Random(seed))
    began, first = time.process_time(), life.now
    try:
        while life.moves < moves or life.now - first < seconds:
            life.go_on()
    except BrokenError as broken:
        story = "\n".join(f"  {at:.3f}: {what}" for at, what in life.told)
        when = f"after {life.moves} moves with seed {seed!r}, at last"
        raise BrokenError(f"{broken}, {when}:\n{story}\nwith {case.policy}") from None
    quarter = len(life.longest) // 4
    after = statistics.median_low(life.longest[3 * quarter :])
    is_long = len(life.longest) >= _ENOUGH
    before = statistics.median_low(life.longest[quarter : 2 * quarter]) if is_long else after
    took = time.process_time() - began
    counts = (life.moves, life.starts, life.steps, life.lives)
    return Soaked(*counts, life.now - first, took, after, after - before)


def _size(value: Any) -> int:
    """Return the bytes of a value and what it is made of."""
    if isinstance(value, Enum | type):
        # It is there once.
        return 0
    return sys.getsizeof(value) + sum(map(_size, _parts(value)))


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value
        yield from value.values()
    elif isinstance(value, tuple | list | set | frozenset | deque):
        yield from value
    elif hasattr(value, "__dict__"):
        yield vars(value)


def main() -> None:
    """Soak the cases, and print the results."""
    parser = argparse.ArgumentParser(description="Judge long random histories of decide.")
    parser.add_argument("--moves", type=int, default=1_000_000, help="of all cases together")
    parser.add_argument("--hours", type=float, default=24.0, help="simulated, of each case")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--case", choices=CASES, help="this one alone, as it is among all")
    given = parser.parse_args()
    print(f"soaking for {given.moves} moves with --seed {given.seed}", flush=True)
    broke = False
    found = []
    for name in CASES if given.case is None else [given.case]:
        share = -(-given.moves // len(CASES))
        try:
            one = soak(CASES[name], share, given.hours * 3600, f"{given.seed} {name}")
        except BrokenError as broken:
            broke = True
            print(f"{name}: {broken}")
            continue
        found.append(one)
        broke = broke or one.grew > MAY_GROW
        print(f"{name}: {_told(one)}", flush=True)
    if not found:
        sys.exit(1)
    total = Soaked(*map(sum, zip(*found, strict=True)))
    most = {"size": max(one.size for one in found), "grew": max(one.grew for one in found)}
    print(f"all, the size at most: {_told(total._replace(**most))}")
    sys.exit(broke)


def _told(one: Soaked) -> str:
    return (
        f"{one.moves} moves, {one.starts} starts, {one.steps} steps, {one.lives} lives, "
        f"{one.simulated / 3600:.0f} hours in {one.took:.1f} s, "
        f"{one.size} bytes, {'GREW by' if one.grew > MAY_GROW else 'grew by'} {one.grew}"
    )


if __name__ == "__main__":
    main()
