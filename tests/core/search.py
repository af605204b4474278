"""Every history of a small world, to a depth: an exhaustive search of `decide`.

    python tests/core/search.py --depth 9

A history is a word of letters (`Letter`): what the election reports, signals, exits, time. The
search is breadth-first and checks each step against `oracle`. Two histories that have the same
possible futures count as one: their states differ only in the clock, the term's number and text
for people (`same_future`). So the number of words grows with the depth, but that of steps hardly
does; once it stops growing, histories of any length are covered.
"""

import argparse
import gc
import signal
import sys
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from operator import itemgetter
from typing import Any

from core import oracle
from core.oracle import Account, BrokenError
from core.world import ME, RIVAL

from leaderexec.core import actions, events, lifecycle
from leaderexec.core.actions import Job
from leaderexec.core.belief import Belief, ContactPolicy
from leaderexec.core.confirmation import Confirmation, Lease, LeaseRule
from leaderexec.core.lifecycle import Cooled, Last, Policy, Restart, State, Unhealthy
from leaderexec.core.record import Record
from leaderexec.core.run import Run, Stage, is_command


class Letter(StrEnum):
    """One thing that can happen."""

    WIN = "this replica is announced as leader"
    ANEW = "this replica is announced as leader with another fence"
    LOSE = "another replica is announced as leader"
    BREAK = "the election source breaks down"
    LEASE = "the API server names the leader, with the known Lease"
    LEASE_ANEW = "the API server names the leader, with another Lease"
    LEASE_OF_ANOTHER = "the API server names another replica"
    LEASE_REFUSED = "the API server refuses requests"
    POD_ENDED = "the former leader's Pod has ended"
    STEP_DOWN = "this replica is asked to step down"
    HEALTHY = "the command proves healthy"
    UNHEALTHY = "the command is found unhealthy"
    OUTDATED = "an earlier run of the command is found unhealthy"
    DONE = "the election has kept a success of the command"
    NOT_KEPT = "the election can't keep this replica's success"
    READY = "the command says that it is ready"
    NOT_READY = "the command says that it is stopping"
    TERM = "TERM arrives"
    HANG_UP = "the terminal hangs up"
    TICK = "the inbox is empty"
    DEADLINE = "the next deadline passes"
    LATE = "more time passes than any deadline allows"
    FROZEN = "as much time passes, and the events that arrived meanwhile come first"
    TICK_NO_FORK = "the inbox is empty, and no process can be created"
    DEADLINE_NO_FORK = "the next deadline passes, and no process can be created"
    HOOK_ENDS_0 = "the hook next to the warm command exits with 0"
    HOOK_ENDS_3 = "the hook next to the warm command exits with 3"
    ENDS_0 = "the main process exits with 0"
    ENDS_3 = "the main process exits with 3"
    ENDS_127 = "the main process exits with 127"
    ENDS_137 = "KILL ends the main process"
    LEAVES_0 = "the main process exits with 0 and leaves something behind"
    LEAVES_3 = "the main process exits with 3 and leaves something behind"
    LEAVES_137 = "KILL ends the main process, but not what it leaves behind"
    LAST_ENDS = "the last process that was left behind ends"


# Longer than any deadline, and a run of that length counts as healthy.
LATE_SECONDS = 100.0

_ENDS = {
    Letter.ENDS_0: (0, True),
    Letter.ENDS_3: (3, True),
    Letter.ENDS_127: (127, True),
    Letter.ENDS_137: (137, True),
    Letter.LEAVES_0: (0, False),
    Letter.LEAVES_3: (3, False),
    Letter.LEAVES_137: (137, False),
}
_HOOK_ENDS = {Letter.HOOK_ENDS_0: 0, Letter.HOOK_ENDS_3: 3}
_SAME_ALWAYS: dict[Letter, events.Event] = {
    Letter.STEP_DOWN: events.StepDown(30.0, "somebody"),
    Letter.DONE: events.Done(),
    Letter.NOT_KEPT: events.NotKept("another replica holds it"),
    Letter.READY: events.Ready(True),
    Letter.NOT_READY: events.Ready(False),
    Letter.TERM: events.Signalled(signal.SIGTERM),
    Letter.HANG_UP: events.Signalled(signal.SIGHUP, hung_up=True),
    Letter.LAST_ENDS: events.TreeGone(),
    Letter.BREAK: events.Failed("a bug", 0.0),
    Letter.LEASE_REFUSED: events.LeaseRefused(0.0),
    Letter.POD_ENDED: events.PodEnded("pod"),
}
_OF_THE_LEASE = {Letter.LEASE, Letter.LEASE_ANEW, Letter.LEASE_OF_ANOTHER}
NO_FORK = {Letter.TICK_NO_FORK, Letter.DEADLINE_NO_FORK}
_TO_DEADLINE = {Letter.DEADLINE, Letter.DEADLINE_NO_FORK}
_ALWAYS = (
    Letter.WIN,
    Letter.LOSE,
    Letter.TERM,
    Letter.HANG_UP,
    Letter.TICK,
    Letter.LATE,
)

# A contact timeout that outlasts one long time, but not two.
_CONTACT = ContactPolicy(1.5 * LATE_SECONDS)
_FOR_EVER = ContactPolicy(None)
_DECIDES = LeaseRule(stops=True, hastens=False)
_ADVISES = LeaseRule(stops=False, hastens=True)
# Longer than any takeover delay.
_LONG_AGO = -10.0
_ON_START, _ON_STOP = 7.0, 2.0
_UNTIL_READY = 20.0


class Case(Record):
    """Options, and letters for them in addition to the common ones."""

    policy: Policy
    more: tuple[Letter, ...] = ()


# A handful of policies: each option that the lifecycle uses is in one of them, and those that
# meet in one question are combined.
CASES = {
    "the defaults, and step-downs": Case(
        Policy(ME, _CONTACT), (Letter.ANEW, Letter.BREAK, Letter.STEP_DOWN)
    ),
    "--on-lost exit --restart always, hooks, and step-downs": Case(
        Policy(
            ME,
            _FOR_EVER,
            on_start_timeout=_ON_START,
            on_stop_timeout=_ON_STOP,
            exit_when_lost=True,
            restart=Restart.ALWAYS,
        ),
        (Letter.STEP_DOWN,),
    ),
    "--on-lost exit --takeover-delay 2s": Case(
        Policy(ME, takeover_delay=2.0, exit_when_lost=True),
        (Letter.ANEW, Letter.BREAK, Letter.FROZEN),
    ),
    "--restart always --on-lost exit": Case(
        Policy(ME, _FOR_EVER, restart=Restart.ALWAYS, exit_when_lost=True),
        (Letter.FROZEN,),
    ),
    "--restart on-failure --restart-limit 1": Case(
        Policy(ME, _FOR_EVER, restart=Restart.ON_FAILURE, restart_limit=1)
    ),
    "--unhealthy restart --restart-limit 1": Case(
        Policy(ME, _CONTACT, restart_limit=1),
        (Letter.HEALTHY, Letter.UNHEALTHY, Letter.OUTDATED),
    ),
    "--unhealthy exit, and step-downs": Case(
        Policy(ME, _FOR_EVER, unhealthy=Unhealthy.EXIT, exit_when_lost=True),
        (Letter.UNHEALTHY, Letter.STEP_DOWN),
    ),
    "--unhealthy abdicate --abdicate-after 2 --restart always, a hook": Case(
        Policy(
            ME,
            _FOR_EVER,
            on_stop_timeout=_ON_STOP,
            restart=Restart.ALWAYS,
            unhealthy=Unhealthy.ABDICATE,
            abdicate_after=2,
        ),
        (Letter.HEALTHY, Letter.UNHEALTHY),
    ),
    "--unhealthy restart --abdicate-after 2 --restart on-failure, and step-downs": Case(
        Policy(
            ME,
            _FOR_EVER,
            restart=Restart.ON_FAILURE,
            abdicate_after=2,
        ),
        (Letter.UNHEALTHY, Letter.STEP_DOWN),
    ),
    "--unhealthy abdicate, where leadership can't be released": Case(
        Policy(ME, _FOR_EVER, unhealthy=Unhealthy.ABDICATE, can_release=False),
        (Letter.UNHEALTHY,),
    ),
    "--wait 30s --takeover-delay 2s --restart always": Case(
        Policy(ME, _CONTACT, takeover_delay=2.0, restart=Restart.ALWAYS, wait=30.0),
        (Letter.BREAK, Letter.FROZEN),
    ),
    "--once --restart on-failure --takeover-delay 2s": Case(
        Policy(ME, _CONTACT, takeover_delay=2.0, restart=Restart.ON_FAILURE, once=True),
        (Letter.DONE, Letter.UNHEALTHY),
    ),
    "--once --restart always --abdicate-after 1 --on-lost exit, a hook, and step-downs": Case(
        Policy(
            ME,
            _FOR_EVER,
            on_stop_timeout=_ON_STOP,
            restart=Restart.ALWAYS,
            abdicate_after=1,
            exit_when_lost=True,
            once=True,
        ),
        (Letter.ANEW, Letter.DONE, Letter.STEP_DOWN),
    ),
    "--confirm-lease NAME": Case(
        Policy(ME, ContactPolicy(1.5 * LATE_SECONDS, lease=_DECIDES), takeover_delay=2.0),
        (Letter.LEASE, Letter.LEASE_ANEW, Letter.LEASE_OF_ANOTHER, Letter.LEASE_REFUSED),
    ),
    "--confirm-lease auto --takeover-delay auto --restart always": Case(
        Policy(
            ME,
            ContactPolicy(1.5 * LATE_SECONDS, lease=_ADVISES),
            takeover_delay=2.0,
            restart=Restart.ALWAYS,
        ),
        (Letter.LEASE, Letter.LEASE_ANEW, Letter.LEASE_OF_ANOTHER, Letter.POD_ENDED),
    ),
    "--warm --takeover-delay 2s, and step-downs": Case(
        Policy(ME, _FOR_EVER, takeover_delay=2.0, warm=_UNTIL_READY),
        (Letter.READY, Letter.STEP_DOWN),
    ),
    "--warm --restart always --on-lost exit --unhealthy exit, a hook": Case(
        Policy(
            ME,
            _FOR_EVER,
            on_stop_timeout=_ON_STOP,
            restart=Restart.ALWAYS,
            exit_when_lost=True,
            unhealthy=Unhealthy.EXIT,
            warm=_UNTIL_READY,
        ),
        (Letter.READY,),
    ),
    "--warm --takeover-delay 2s --unhealthy abdicate --restart on-failure --wait 30s": Case(
        Policy(
            ME,
            _CONTACT,
            takeover_delay=2.0,
            restart=Restart.ON_FAILURE,
            unhealthy=Unhealthy.ABDICATE,
            wait=30.0,
            warm=_UNTIL_READY,
        ),
        (Letter.READY, Letter.ENDS_127),
    ),
    "--warm, hooks": Case(
        Policy(
            ME,
            _FOR_EVER,
            on_start_timeout=_ON_START,
            on_stop_timeout=_ON_STOP,
            warm=_UNTIL_READY,
        ),
        (Letter.READY, Letter.NOT_READY),
    ),
    "--warm, hooks that abort, --restart always": Case(
        Policy(
            ME,
            _CONTACT,
            on_start_timeout=_ON_START,
            hook_failure_aborts=True,
            restart=Restart.ALWAYS,
            warm=_UNTIL_READY,
        ),
        (Letter.READY,),
    ),
    "hooks": Case(Policy(ME, _CONTACT, on_start_timeout=_ON_START, on_stop_timeout=_ON_STOP)),
    "hooks that abort, --on-lost exit --restart always --restart-limit 1": Case(
        Policy(
            ME,
            _FOR_EVER,
            on_start_timeout=_ON_START,
            on_stop_timeout=_ON_STOP,
            hook_failure_aborts=True,
            exit_when_lost=True,
            restart=Restart.ALWAYS,
            restart_limit=1,
        )
    ),
}


class Moment(Record):
    """The end of a history; the moments before it and their letters are that history."""

    state: State
    account: Account
    now: float
    before: "Moment | None" = None
    letter: Letter | None = None


class Found(Record):
    """The result of a search. `new`: how many moments each depth but the last has added; `closed`:
    one added none, so longer histories add nothing new."""

    steps: int
    new: tuple[int, ...]
    closed: bool


def depth_for(case: Case, depth: int) -> int:
    """Return how deep to search it: a warm command, or a hook after one that runs once, has more
    histories of a length than all other cases together, and is searched one letter less deep."""
    policy = case.policy
    many = policy.warm is not None or (policy.once and policy.on_stop_timeout is not None)
    return depth - 1 if many else depth


@contextmanager
def _collecting_no_cycles() -> Iterator[None]:
    """To look for cycles among all moments, which have none, takes a third of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@_collecting_no_cycles()
def search(case: Case, depth: int) -> Found:
    """Judge every history of up to `depth` letters; raise BrokenError with one of the shortest
    histories that break a promise."""
    first = Moment(State(), Account(), 1000.0)
    seen = {same_future(first)}
    edge = [first]
    steps, new = 0, []
    for _ in range(depth - 1):
        following = []
        for moment in edge:
            for after in what_follows(case, moment).values():
                steps += 1
                if after.account.exit_code is None and (key := same_future(after)) not in seen:
                    seen.add(key)
                    following.append(after)
        edge = following
        new.append(len(edge))
        if not edge:
            break
    # What is new after the last letter does not matter: it is judged, and that is all.
    steps += sum(len(what_follows(case, moment)) for moment in edge)
    return Found(steps, tuple(new), not edge)


def what_follows(case: Case, moment: Moment) -> dict[Letter, Moment]:
    """Return the moment after each letter; raise BrokenError, with the history, if a promise is
    broken."""
    found = {}
    for letter in letters(case, moment):
        try:
            after = follow(case.policy, moment, letter)
        except BrokenError as broken:
            story = "\n".join(f"  {one}" for one in (*_told(moment), letter.value))
            raise BrokenError(f"{broken}, after:\n{story}\nwith {case.policy}") from None
        found[letter] = after
    return found


def letters(case: Case, moment: Moment) -> Iterator[Letter]:
    """Yield what can happen now."""
    account = moment.account
    yield from _ALWAYS
    may_end = account.alive and not account.hook
    yield from (one for one in case.more if may_end or one not in _ENDS)
    due = lifecycle.next_deadline(case.policy, moment.state)
    comes = due is not None and due > moment.now
    if comes:
        yield Letter.DEADLINE
    beside = account.waits_warm() and case.policy.on_start_timeout is not None
    if (account.job is None or beside) and not account.survivors:
        yield Letter.TICK_NO_FORK
        if comes:
            yield Letter.DEADLINE_NO_FORK
    if account.hook:
        yield from _HOOK_ENDS
    if account.alive:
        ends = [Letter.ENDS_0, Letter.ENDS_3, Letter.LEAVES_0, Letter.LEAVES_3]
        if account.killed_at is not None:
            ends += [Letter.ENDS_137, Letter.LEAVES_137]
        # A hook next to it is left behind.
        yield from (one for one in ends if not account.hook or not _ENDS[one][1])
    elif account.hook:
        return
    elif account.job is not None or account.survivors:
        yield Letter.LAST_ENDS
    if account.keeps_by is not None:
        yield Letter.NOT_KEPT


def follow(policy: Policy, moment: Moment, letter: Letter) -> Moment:
    """Return the moment after the letter; raise BrokenError if a promise is broken."""
    state, account = moment.state, moment.account.copy()
    now = time_of(policy, state, letter, moment.now)
    if letter is Letter.FROZEN:
        return Moment(state, account, now, moment, letter)
    event = event_of(account, letter, now)
    state, wanted = step(policy, state, account, event, now)
    if letter in NO_FORK and any(isinstance(one, actions.Start) for one in wanted):
        state, _ = step(policy, state, account, events.StartFailed("EAGAIN"), now)
        state, _ = step(policy, state, account, events.Tick(), now)
    return Moment(state, account, now, moment, letter)


def time_of(policy: Policy, state: State, letter: Letter, now: float) -> float:
    """Return the time at which the letter happens, or at which it ends if it is only time."""
    if letter in _TO_DEADLINE:
        return lifecycle.next_deadline(policy, state) or now
    return now + LATE_SECONDS if letter in (Letter.LATE, Letter.FROZEN) else now


def step(
    policy: Policy, state: State, account: Account, event: events.Event, now: float
) -> lifecycle.Decision:
    """Decide, and judge what was decided; raise BrokenError if a promise is broken."""
    state, wanted = lifecycle.decide(policy, state, event, now)
    oracle.judge(policy, account, event, wanted, now)
    due = lifecycle.next_deadline(policy, state)
    ticked = isinstance(event, events.Tick)
    oracle.judge_deadline(policy, account, due, now, ticked=ticked)
    return state, wanted


def event_of(account: Account, letter: Letter, now: float) -> events.Event:
    """Return what `decide` is told."""
    if letter in _HOOK_ENDS or letter in _ENDS:
        return _exited(account, letter)
    match letter:
        case Letter.WIN:
            return events.Announced(ME, now)
        case Letter.ANEW:
            return events.Announced(ME, now, account.last_fence + 1)
        case Letter.LOSE:
            return events.Announced(RIVAL, now)
        case Letter.HEALTHY | Letter.UNHEALTHY:
            return events.Health(letter is Letter.HEALTHY, account.started_at, now)
        case Letter.OUTDATED:
            return events.Health(False, account.started_at - 1.0, now)
    if letter in _OF_THE_LEASE:
        return _lease(account, letter, now)
    return _SAME_ALWAYS.get(letter, events.Tick())


def _exited(account: Account, letter: Letter) -> events.Exited:
    if letter in _HOOK_ENDS:
        return events.Exited(Job.ON_START, _HOOK_ENDS[letter], alone=not account.alive)
    assert account.job is not None
    code, alone = _ENDS[letter]
    # Reaping does not show whether the command leads.
    job = Job.COMMAND if account.job is Job.WARM else account.job
    return events.Exited(job, code, alone=alone)


def _lease(account: Account, letter: Letter, now: float) -> events.LeaseSeen:
    known = 1 if account.lease is None else account.lease[0]
    number = known + (letter is Letter.LEASE_ANEW)
    leader = account.leader
    if letter is Letter.LEASE_OF_ANOTHER:
        leader = RIVAL if leader == ME else ME
    # Each leader has one Pod, so that of a former leader is always the right one.
    return events.LeaseSeen(now, leader, f"{number}", number, events.Pod("pod", "pod"))


def _told(moment: Moment) -> list[str]:
    words = []
    while moment.before is not None and moment.letter is not None:
        words.append(moment.letter.value)
        moment = moment.before
    return words[::-1]


# How two histories may differ and still have the same future.

Field = Callable[[Any, Any, float], Hashable]


def _inner(_record: Any, value: Record | None, now: float) -> Hashable:
    return None if value is None else _key(value, now)


def _from_now(_record: Any, value: float | None, now: float) -> float | None:
    return None if value is None else round(value - now, 6)


def _still_to_come(_record: Any, value: float, now: float) -> float:
    return max(0.0, round(value - now, 6))


def _ever(_record: Any, term: int, _now: float) -> bool:
    return term > 0


def _whether(_record: Any, value: object, _now: float) -> bool:
    return value is not None


def _while_confirmed(belief: Any, value: float | None, now: float) -> float | None:
    return _from_now(belief, value, now) if belief.confirmed else None


def _since(_record: Any, value: float | None, now: float) -> float | None:
    return None if value is None else max(_LONG_AGO, round(value - now, 6))


def _lease_since(_account: Account, value: tuple[int, float] | None, now: float) -> Hashable:
    return None if value is None else max(_LONG_AGO, round(value[1] - now, 6))


def _where_it_may_be_refused(record: Any, value: float | None, now: float) -> float | None:
    """When the elector was heard matters if no other source may be asked, until the timeout."""
    asked = not isinstance(record, Belief) or record.confirmation is not None
    return None if value is None or not asked else max(-2 * LATE_SECONDS, round(value - now, 6))


def _while_killing(run: Run, value: float, now: float) -> float | None:
    return round(value - now, 6) if run.stage is Stage.KILLING else None


def _health(run: Run, value: float, now: float) -> Hashable:
    """A run's length decides whether it was a healthy one, which matters if it exits on its own."""
    if run.by_itself and run.exited_at is not None:
        return run.exited_at - value >= oracle.HEALTHY_AFTER
    if is_command(run) and run.stage is Stage.RUNNING:
        return max(-oracle.HEALTHY_AFTER, round(value - now, 6))
    return None


def _as_believed(state: State, fence: int | None, _now: float) -> Hashable:
    """The term of what ran has to be told from the one that leads now, and from the next."""
    return fence is None, fence == state.belief.fence


def _as_now(account: Account, fence: int | None, _now: float) -> Hashable:
    return fence is None, fence == account.fence


def _still_left(_record: Any, until: float | None, now: float) -> float | None:
    return None if until is None else max(0.0, round(until - now, 6))


def _well(state: State, value: float | None, now: float) -> Hashable:
    """How long the command was healthy matters once it is found unhealthy."""
    if value is None:
        return None
    if state.unhealthy_since is not None:
        return state.unhealthy_since - value >= oracle.HEALTHY_AFTER
    return max(-oracle.HEALTHY_AFTER, round(value - now, 6))


def _still_well(account: Account, value: float | None, now: float) -> Hashable:
    running = account.alive and account.job is Job.COMMAND and not oracle.is_stopping(account)
    return max(-oracle.HEALTHY_AFTER, round(value - now, 6)) if running and value else None


def _age(account: Account, value: float, now: float) -> Hashable:
    of_command = account.job in {Job.COMMAND, Job.WARM}
    running = account.alive and of_command and not oracle.is_stopping(account)
    return max(-oracle.HEALTHY_AFTER, round(value - now, 6)) if running else None


def _owed(record: State | Account, code: int | None, _now: float) -> Hashable:
    return code if record.owes_on_stop else None


def _to_restart(last: Last, value: bool, _now: float) -> bool:
    return last.to_restart and value


def _by_itself(account: Account, value: bool, _now: float) -> bool:
    return (account.ended_by_itself or account.unhealthy) and value


def _up_to_the_cap(_record: Any, attempt: int, _now: float) -> int:
    # 0.5 s doubled this often is above 30 s.
    return min(attempt, 6)


# How a field counts; None if it does not. All others count unchanged.
DIFFERENT: dict[type, dict[str, Field | None]] = {
    State: {
        "belief": _inner,
        "run": _inner,
        "last": _inner,
        "cooled": _inner,
        "term": _ever,
        "fence": _as_believed,
        "code": _owed,
        "end_by": _still_left,
        "reason": None,
        "cause": None,
        "start_at": _from_now,
        "give_up_at": _from_now,
        "keep_by": _from_now,
        "not_kept": _whether,
        "hook_failure": _whether,
        "step_down": _whether,
        "healthy_since": _well,
        "unhealthy_since": _whether,
        "abdications": None,
        "attempt": _up_to_the_cap,
    },
    Belief: {
        "since": None,
        "announced_at": _where_it_may_be_refused,
        "confirmation": _inner,
        "failure": None,
        "fence": _whether,
        "let_go": _whether,
        "contact_at": _while_confirmed,
    },
    Confirmation: {
        "since": None,
        "lease": _inner,
        "seen_at": _whether,
        "former": _inner,
    },
    Lease: {"uid": None, "fence": None, "version": None, "at": _since},
    Run: {
        "started_at": _health,
        "exited_at": _whether,
        "deadline": _from_now,
        "killing_since": _while_killing,
        "failure": _whether,
        "ready_by": _from_now,
    },
    Cooled: {"again_at": _from_now, "in_a_row": _up_to_the_cap},
    Last: {"lasted": _to_restart, "unhealthy": _to_restart},
    Account: {
        "lasted": _by_itself,
        "term": _ever,
        "tries": _up_to_the_cap,
        "gives_up_at": _from_now,
        "keeps_by": _from_now,
        "fence": _whether,
        "last_fence": None,
        "ran_with": _as_now,
        "to_tell": _owed,
        "ends_by": _still_left,
        "let_go": _whether,
        "heard_at": _while_confirmed,
        "announced_at": _where_it_may_be_refused,
        "lease": _lease_since,
        "former_since": _since,
        "started_at": _age,
        "healthy_since": _still_well,
        "kill_due": _from_now,
        "killed_at": _from_now,
        "ready_at": _still_to_come,
        "ready_by": _from_now,
        "cool_until": _from_now,
        "cooled": _up_to_the_cap,
        "owed_before": None,
    },
}


def same_future(moment: Moment) -> Hashable:
    """Return a key that is equal for moments with the same future."""
    return _key(moment.state, moment.now), _key(moment.account, moment.now)


def _key(record: Any, now: float) -> Hashable:
    as_they_are, others = _COUNT[type(record)]
    fields = record.__dict__
    return as_they_are(fields), *[count(record, fields[name], now) for name, count in others]


def _counting(kind: type) -> tuple[Callable[[Any], Hashable], list[tuple[str, Field]]]:
    names = getattr(kind, "__match_args__", None) or tuple(vars(kind()))
    different = DIFFERENT[kind]
    assert different.keys() <= set(names)
    others = [(name, count) for name, count in different.items() if count is not None]
    return itemgetter(*[name for name in names if name not in different]), others


_COUNT = {kind: _counting(kind) for kind in DIFFERENT}


def main() -> None:
    """Search each policy, and print the results."""
    parser = argparse.ArgumentParser(description="Judge every history of decide to a depth.")
    parser.add_argument("--depth", type=int, default=9, help="letters of the longest history")
    depth = parser.parse_args().depth
    broke = False
    for name, case in CASES.items():
        started = time.monotonic()
        try:
            found = search(case, depth_for(case, depth))
        except BrokenError as broken:
            broke = True
            print(f"{name}: {broken}")
            continue
        seconds = time.monotonic() - started
        end = "nothing new after that" if found.closed else f"{found.new[-1]} at the edge"
        print(
            f"{name}: {len(found.new) + 1} letters, {sum(found.new)} moments, {found.steps} steps, "
            f"{end}, {seconds:.1f} s"
        )
    sys.exit(broke)


if __name__ == "__main__":
    main()
