"""What the contract promises: an account of a history, kept independently of `decide`.

The account is based on what happened and what was decided, never on the core's state: who
leads, what runs, what was stopped and how it ended. From it follows what may be decided, and what
must be. The exit codes are the rows of the contract's table.
"""

import signal
from collections.abc import Callable, Sequence
from typing import NamedTuple

from core.world import ME

from leaderexec.core import actions, events
from leaderexec.core.actions import Job
from leaderexec.core.lifecycle import Policy, Restart, Unhealthy

# "What survives KILL for 5 s" is named and given up.
KILL_PATIENCE = 5.0
# "Exponential backoff 0.5 s doubling to 30 s, reset after 60 s up."
BACKOFF_FIRST = 0.5
BACKOFF_CAP = 30.0
HEALTHY_AFTER = 60.0
# How long it may take until the election has kept a success.
KEEP_PATIENCE = 20.0


class BrokenError(AssertionError):
    """A promise was broken."""


def promise(kept: bool, words: str) -> None:
    """Raise BrokenError unless the promise was kept."""
    if not kept:
        raise BrokenError(words)


class WarmEnd(NamedTuple):
    """How a warm command ended."""

    code: int
    by_itself: bool
    killed: bool
    lasted: bool


class Account:
    """The history so far. Times are on its own clock; `None` means never, or not yet."""

    def __init__(self) -> None:  # noqa: PLR0915 - one statement for each fact
        self.leader: str | None = None
        self.fence: int | None = None
        # The last one of ours that was announced: every new one is greater.
        self.last_fence = 0
        self.heard_at = 0.0
        self.confirmed = False
        # When the elector was last heard, and what the API server adds: whether it refuses;
        # the leader's Lease by its number, with the time when it was first seen; whether it
        # was seen since contact came back; and the previous leader's, whose Pod may have ended.
        self.announced_at: float | None = None
        self.refused = False
        self.lease: tuple[int, float] | None = None
        self.lease_stands = False
        self.former_since: float | None = None
        self.former_ended = False
        # The wait, if it waits, is the takeover delay.
        self.takes_over = False
        # Leadership was gained, and has been lost since.
        self.begun = False
        self.lost = False
        self.term = 0
        # With --wait: when this replica, which has never led, gives up.
        self.gives_up_at: float | None = None
        # With --once: the election has kept a success. By when it has to keep this replica's,
        # and whether it has said that it can't.
        self.done = self.not_kept = False
        self.keeps_by: float | None = None
        # The fence of the term in which the command has run, and when an order's grace is over.
        self.ran_with: int | None = None
        self.ends_by: float | None = None
        # What runs, whether its main process lives, and what was done to it.
        self.job: Job | None = None
        self.alive = self.stopped = False
        self.started_at = 0.0
        self.kill_due: float | None = None
        self.killed_at: float | None = None
        self.survivors = False
        # What happened in this term.
        self.ran = False
        self.code: int | None = None
        # What --on-stop is to be told, even if the term is over: the command's last exit code.
        self.to_tell: int | None = None
        self.ended_by_itself = False
        self.lasted = False
        self.our_kill = False
        self.restarts = 0
        # How many starts in a row have failed, or have been followed by an exit.
        self.tries = 0
        self.ready_at = 0.0
        self.waits = False
        self.prepared = False
        self.owes_on_stop = False
        self.owed_before = False
        self.hook_failed = False
        # With --warm: whether the command has said that it is ready, and by when it has to be after
        # a win; how a warm command ended, which matters once its whole tree is gone; and on
        # standby, when the next one is started, and how many in a row exited on their own.
        self.ready: bool | None = None
        self.ready_by: float | None = None
        self.warm_end: WarmEnd | None = None
        # --on-start runs next to the warm command.
        self.hook = False
        self.cool_until: float | None = None
        self.cooled = 0
        self.can_not_run: int | None = None
        # The probes' results for the command that runs, or ran last.
        self.healthy_since: float | None = None
        self.unhealthy = False
        # Whether it has to release leadership; the term that it has released.
        self.steps_down = False
        self.let_go: tuple[str | None, int | None] | None = None
        self.told = self.hung_up = False
        self.exit_code: int | None = None

    def copy(self) -> "Account":
        """Return a copy that continues independently."""
        other = object.__new__(Account)
        other.__dict__.update(self.__dict__)
        return other

    def leads(self) -> bool:
        """Return whether this replica is the confirmed leader."""
        return self.confirmed and self.leader == ME

    def waits_warm(self) -> bool:
        """Return whether a warm command waits to be told that this replica leads."""
        return self.job is Job.WARM and self.alive and not self.hook and not is_stopping(self)

    def in_term(self) -> bool:
        """Return whether a term has begun, and is not over."""
        return self.begun and not self.lost

    def on_standby(self) -> None:
        """Forget what happened in a term that is over."""
        self.ran = self.ended_by_itself = self.our_kill = self.prepared = False
        self.unhealthy = False
        self.code = None
        self.restarts = self.tries = 0
        self.hook_failed = False


def judge(
    policy: Policy,
    account: Account,
    event: events.Event,
    wanted: Sequence[actions.Action],
    now: float,
) -> None:
    """Update the account with the event and what was decided about it; raise BrokenError if that
    was wrong."""
    ran = _is_running(account)
    had_to_stop = _happens(policy, account, event, now) and ran
    promise(
        not had_to_stop or any(isinstance(one, actions.Stop) for one in wanted),
        "what runs is not stopped at once on a loss or an order",
    )
    before = (account.kill_due, account.killed_at)
    planned = False
    for action in wanted:
        ends_warm = isinstance(action, actions.Stop) and account.waits_warm() and not had_to_stop
        if isinstance(action, actions.Start | actions.Exit | actions.Lead) or ends_warm:
            promise(
                isinstance(event, events.Tick), "a start or an exit while the inbox is not empty"
            )
            promise(not planned, "two things planned at once")
            beside = account.job is not None and not account.waits_warm()
            promise(not beside, "a start or an exit while something runs")
            _compare(account, action, _plan(policy, account, now), now)
            planned = True
            if isinstance(action, actions.Start):
                beside = account.job is not None and action.job is not Job.ON_START
                promise(not beside, "a start while a command waits")
                _start(policy, account, action, now)
            elif isinstance(action, actions.Lead):
                _lead(policy, account, action, now)
            elif ends_warm:
                account.stopped = True
        elif not isinstance(action, actions.Changed | actions.Ended | actions.Note):
            promise(not planned, "something is done after the plan")
            _obey(policy, account, action, now, may_stop=had_to_stop)
    if isinstance(event, events.Tick) and not planned:
        if account.job is None or account.waits_warm():
            _compare(account, None, _plan(policy, account, now), now)
        else:
            _in_time(account, before, now)


def judge_deadline(
    policy: Policy, account: Account, due: float | None, now: float, *, ticked: bool
) -> None:
    """Check when `decide` wants to be called again: nothing waits without a deadline."""
    if account.exit_code is not None:
        return
    latest = account.kill_due
    if account.killed_at is not None:
        latest = account.killed_at + KILL_PATIENCE
    if account.job is not None and latest is not None:
        promise(due is not None and due <= latest, "a stop without a deadline")
    if account.confirmed and policy.contact.timeout is not None:
        by = account.heard_at + policy.contact.timeout
        promise(due is not None and due <= by, "a belief that never expires")
    if ticked:
        promise(due is None or due > now, "a deadline that has passed is returned again")
        promise(not account.waits or due is not None, "a start that nothing wakes up for")
        if account.waits_warm() and account.ready_by is not None:
            late = due is None or due > account.ready_by
            promise(not late, "a leader whose warm command need never be ready")
        if account.job is None and account.cool_until is not None and not account.survivors:
            late = due is None or due > account.cool_until
            promise(not late, "a warm command that nothing restarts")
        if account.gives_up_at is not None and (account.job is None or account.waits_warm()):
            promise(due is not None and due <= account.gives_up_at, "a wait without an end")
        if account.keeps_by is not None and account.job is None:
            promise(due is not None and due <= account.keeps_by, "a record without an end")


def _is_running(account: Account) -> bool:
    return account.alive and account.job is not Job.ON_STOP and not is_stopping(account)


def is_stopping(account: Account) -> bool:
    """Return whether we have ordered what runs to stop."""
    return account.stopped or account.killed_at is not None


# What happened.


def _happens(policy: Policy, account: Account, event: events.Event, now: float) -> bool:
    """Process the event; return whether it is a reason to stop what runs."""
    match event:
        case events.Signalled(number, _, hung_up):
            account.hung_up = account.hung_up or hung_up
            if number != signal.SIGTERM or account.told:
                return False
            account.told = True
            if policy.once:
                account.ends_by = now + policy.grace
                account.keeps_by = _not_later(account.keeps_by, account.ends_by)
            _has_to_end(policy, account, policy.grace, now)
            return True
        case events.StepDown():
            if account.steps_down or not account.leads() or _is_to_end(account):
                return False
            account.steps_down = account.lost = True
            return _ends_what_works(policy, account, policy.grace, now)
        case events.Health():
            return _is_judged(policy, account, event, now)
        case _:
            _happens_to_processes(policy, account, event, now)
    if not _loses(policy, account, event, now):
        return False
    account.lost = True
    return _ends_what_works(policy, account, policy.grace_lost, now)


def _happens_to_processes(
    policy: Policy, account: Account, event: events.Event, now: float
) -> None:
    match event:
        case events.Exited(job, code, _, alone):
            if account.hook and job is Job.ON_START:
                _hook_exits(policy, account, code)
            else:
                _exits(policy, account, code, now)
            if alone:
                _is_gone(policy, account, now)
        case events.TreeGone():
            account.survivors = False
            _is_gone(policy, account, now)
        case events.StartFailed():
            _is_not_made(account, now)
        case events.Ready(ready) if account.job in {Job.COMMAND, Job.WARM}:
            account.ready = ready
        case events.Done():
            account.done = True
        case events.NotKept():
            account.not_kept = True


def _ends_what_works(policy: Policy, account: Account, grace: float, now: float) -> bool:
    """A term is over. A warm command that was not told that it leads keeps waiting; anything else
    has to stop."""
    account.ready_by = None
    if account.waits_warm():
        return False
    _has_to_end(policy, account, grace, now)
    return True


def _is_judged(policy: Policy, account: Account, verdict: events.Health, now: float) -> bool:
    """Process a verdict about the command; return whether it is a reason to stop it."""
    judged = account.job is Job.COMMAND and verdict.started_at == account.started_at
    if not judged or not _is_running(account):
        return False
    if verdict.healthy:
        account.healthy_since = verdict.at
        return False
    since = account.healthy_since
    account.unhealthy = True
    account.lasted = since is not None and verdict.at - since >= HEALTHY_AFTER
    _has_to_end(policy, account, policy.grace_lost, now)
    return True


def _loses(policy: Policy, account: Account, event: events.Event, now: float) -> bool:
    """Process what is reported of leadership; return whether it ends a term."""
    led = account.leads()
    anew = False
    rule = policy.contact.lease
    if rule is not None:
        anew = _hears_api_server(account, event, stops=rule.stops)
    match event:
        case events.Announced(leader, at) if rule is not None:
            _hears_elector(account, leader, at, stops=rule.stops)
        case events.Announced(leader, at, fence) | events.Polled(leader, at, fence) if _is_let_go(
            account, leader, fence
        ):
            account.heard_at, account.confirmed = at, True
        case events.Announced(leader, at, fence) | events.Polled(leader, at, fence):
            account.let_go = None
            account.last_fence = max(account.last_fence, fence or 0)
            same = leader == account.leader
            anew = same and None not in {fence, account.fence} and fence != account.fence
            account.fence = account.fence if same and fence is None else fence
            if policy.once and account.ran_with is None and not account.lost and not anew:
                # It came late, and is that of the term that has begun.
                account.ran_with = account.fence
            account.leader, account.heard_at, account.confirmed = leader, at, True
        case events.Failed():
            account.confirmed = False
        case events.Tick():
            timeout = policy.contact.timeout
            if timeout is not None and now >= account.heard_at + timeout:
                account.confirmed = False
    if rule is not None and not account.confirmed:
        # Whose term it is has to be confirmed again after that.
        account.fence = None
    return led and (anew or not account.leads())


def _hears_elector(account: Account, leader: str | None, at: float, *, stops: bool) -> None:
    """Process whom the elector names. If the API server's answer may stop the command, it has to
    follow, unless we may not ask."""
    another = leader != account.leader
    if another:
        stood = account.confirmed and account.lease is not None and account.lease_stands
        account.former_since = account.lease[1] if stood and account.lease else None
        account.former_ended, account.lease, account.fence = False, None, None
    alone = not stops or account.refused
    if another or (alone and not account.confirmed):
        account.lease_stands = False
    account.leader, account.announced_at = leader, at
    if alone:
        account.heard_at, account.confirmed = max(account.heard_at, at), True
    elif another:
        account.confirmed = False


def _hears_api_server(account: Account, event: events.Event, *, stops: bool) -> bool:
    """Process the API server's answer; return whether it shows a new Lease for the current term,
    which is then a new term."""
    if account.announced_at is None:
        return False
    match event:
        case events.PodEnded():
            account.former_ended = account.former_since is not None
        case events.LeaseRefused() if not account.refused:
            account.refused = True
            if stops:
                account.heard_at = max(account.heard_at, account.announced_at)
                account.confirmed = True
        case events.LeaseSeen(_, leader) if leader != account.leader:
            account.refused = False
            account.confirmed = account.confirmed and not stops
        case events.LeaseSeen():
            account.refused = False
            return _sees_lease(account, event, stops=stops)
    return False


def _sees_lease(account: Account, seen: events.LeaseSeen, *, stops: bool) -> bool:
    """Process a Lease that names the leader; return whether it ends the term."""
    number = seen.version
    if account.lease is None or account.lease[0] != number:
        if account.lease is not None:
            account.former_since, account.former_ended = None, False
        account.lease = number, seen.asked_at
    account.lease_stands = True
    anew = stops and account.confirmed and account.fence not in {None, number}
    if stops:
        account.heard_at, account.confirmed, account.fence = seen.asked_at, True, number
    elif account.fence is None and account.confirmed:
        account.fence = number
    return anew


def _hasten(policy: Policy, account: Account, now: float) -> None:
    """Wait only until no former leader's command can be running, if there is proof: "unbroken
    leadership by the same Lease", or "the former holder's Pod has ended"."""
    rule = policy.contact.lease
    hastens = rule is not None and rule.hastens and account.takes_over
    if not hastens or account.lease is None or not account.lease_stands:
        return
    began = account.lease[1]
    if account.former_since is not None and account.former_ended:
        began = account.former_since
    account.ready_at = min(account.ready_at, max(now, began + policy.takeover_delay))


def _is_let_go(account: Account, leader: str | None, fence: int | None) -> bool:
    """Return whether the source still reports the term that was released."""
    if account.let_go is None:
        return False
    return leader == account.let_go[0] and fence in {None, account.let_go[1]}


def _has_to_end(policy: Policy, account: Account, grace: float, now: float) -> None:
    """The whole stop has one deadline, --on-stop included; the earliest one holds."""
    if account.job not in {None, Job.ON_STOP} and account.killed_at is None:
        by = now + max(0.0, grace - (policy.on_stop_timeout or 0.0))
        account.kill_due = by if account.kill_due is None else min(account.kill_due, by)


def _exits(policy: Policy, account: Account, code: int, now: float) -> None:
    by_itself = not is_stopping(account)
    account.alive = False
    if account.job is Job.WARM:
        lasted = by_itself and now - account.started_at >= HEALTHY_AFTER
        account.warm_end = WarmEnd(code, by_itself, account.killed_at is not None, lasted)
        if by_itself:
            _has_to_end(policy, account, policy.grace, now)
    elif account.job is Job.COMMAND:
        account.code, account.ended_by_itself = code, by_itself
        if not account.unhealthy:
            account.lasted = now - account.started_at >= HEALTHY_AFTER
        if by_itself:
            # "A command that ends on its own gets the same treatment."
            _has_to_end(policy, account, policy.grace, now)
    elif by_itself and code:
        account.hook_failed = True


def _hook_exits(policy: Policy, account: Account, code: int) -> None:
    """--on-start ends next to a warm command; a hook that is being stopped has not prepared
    anything."""
    account.hook = False
    account.ran = True
    if account.alive and not is_stopping(account):
        account.kill_due = None
        _prepares(policy, account, failed=code != 0)


def _prepares(policy: Policy, account: Account, *, failed: bool) -> None:
    account.hook_failed = policy.hook_failure_aborts and (failed or account.hook_failed)
    account.prepared = not account.hook_failed


def _is_gone(policy: Policy, account: Account, now: float) -> None:
    """None of its processes is left, or the rest was given up."""
    account.hook = False
    if account.job is Job.ON_START:
        account.prepared = not (policy.hook_failure_aborts and account.hook_failed)
    elif account.job in {Job.COMMAND, Job.ON_STOP}:
        account.prepared = False
    if account.job is Job.COMMAND:
        account.to_tell = account.code
    account.hook_failed = account.hook_failed and policy.hook_failure_aborts
    account.ran = account.ran or account.job in {Job.ON_START, Job.COMMAND}
    if account.job is Job.WARM:
        _warm_is_gone(account, now)
    account.job, account.alive, account.stopped = None, False, False
    account.kill_due = account.killed_at = None


def _warm_is_gone(account: Account, now: float) -> None:
    """In a term it counts like any command that exits on its own, or was unhealthy; on standby only
    its own exit counts, and another one follows with backoff."""
    end = account.warm_end
    assert end is not None
    account.warm_end = account.ready_by = None
    if account.in_term():
        if end.by_itself or account.unhealthy:
            account.ran, account.code, account.lasted = True, end.code, end.lasted
            account.to_tell = end.code
            account.prepared = False
            account.ended_by_itself = end.by_itself
            account.our_kill = account.our_kill or end.killed
        return
    account.unhealthy = False
    if end.by_itself:
        account.can_not_run = end.code if end.code in {126, 127} else None
        _cools(account, now, lasted=end.lasted)


def _cools(account: Account, now: float, *, lasted: bool) -> None:
    count = 0 if lasted else account.cooled
    account.cooled = count + 1
    delay = min(BACKOFF_CAP, BACKOFF_FIRST * 2.0**count)
    account.cool_until = now + delay


def _is_not_made(account: Account, now: float) -> None:
    """The fork failed: nothing has run. It is retried with backoff, but --on-stop is not."""
    if account.job is Job.ON_STOP:
        account.hook_failed, account.prepared = True, False
    elif account.job is Job.WARM and not account.hook and not account.in_term():
        _cools(account, now, lasted=False)
    else:
        account.owes_on_stop = account.owed_before
        _backs_off(account, now)
    account.kill_due = account.ready_by = None
    if account.hook:
        # The command keeps waiting.
        account.hook = False
        return
    account.job, account.alive = None, False


def _backs_off(account: Account, now: float) -> None:
    delay = BACKOFF_FIRST * 2.0 ** min(account.tries, 6)
    account.tries += 1
    account.ready_at = max(account.ready_at, now + min(BACKOFF_CAP, delay))
    account.takes_over = False


# What was done.


def _obey(
    policy: Policy, account: Account, action: actions.Action, now: float, *, may_stop: bool
) -> None:
    match action:
        case actions.Stop():
            promise(may_stop, "a stop for no reason")
            account.stopped = True
        case actions.StopLeftovers():
            promise(account.job is not None and not account.alive, "leftovers of nothing")
        case actions.Forward():
            of_command = account.job in {Job.COMMAND, Job.WARM}
            promise(account.alive and of_command, "a signal to a reaped pid")
        case actions.KillTree():
            _kill(policy, account, now)
        case actions.NameSurvivors():
            _give_up(policy, account, now)
        case actions.Release():
            _let_go_for_health(policy, account)
            promise(account.steps_down, "leadership is released for no reason")
            works = account.job is not None and not account.waits_warm()
            promise(not works, "leadership is released while something runs")
            promise(not account.survivors, "leadership is released while something survives")
            account.steps_down = False
            if account.leader == ME:
                account.let_go = (account.leader, account.fence)
                account.leader = account.fence = None
        case actions.KeepSuccess(fence):
            promise(account.job is None, "a success is kept beside what runs")
            promise(_has_succeeded(policy, account), "what is no success is kept")
            promise(fence == account.ran_with, "a success is kept for another term")
            promise(account.keeps_by is None, "a success is kept twice")
            account.keeps_by = _not_later(now + KEEP_PATIENCE, account.ends_by)
        case _:
            pass


def _give_up(policy: Policy, account: Account, now: float) -> None:
    killed_at = account.killed_at
    promise(killed_at is not None and now >= killed_at + KILL_PATIENCE, "given up too early")
    if account.alive and account.job is Job.COMMAND:
        account.code = 128 + signal.SIGKILL
    if account.alive and account.job is Job.WARM:
        account.warm_end = WarmEnd(128 + signal.SIGKILL, False, True, False)
    account.survivors = True
    _is_gone(policy, account, now)


def _kill(policy: Policy, account: Account, now: float) -> None:
    promise(account.job is not None, "a KILL while nothing runs")
    if account.killed_at is not None:
        return
    promise(account.kill_due is not None and now >= account.kill_due, "a KILL before the deadline")
    account.killed_at = now
    if account.alive and account.job is Job.COMMAND:
        account.our_kill = True
    elif account.job is Job.WARM:
        if account.hook and account.alive and not account.stopped:
            # The hook took too long: the command that waits next to it is killed as well.
            account.ran = True
            _prepares(policy, account, failed=True)
    elif account.alive and not account.stopped:
        # A hook that took too long has failed; one that we stopped has not.
        account.hook_failed = True


def _in_time(account: Account, before: tuple[float | None, float | None], now: float) -> None:
    """Check that a Tick that leaves something running has done what was due."""
    kill_due, killed_at = before
    if killed_at is None:
        due = kill_due is not None and now >= kill_due
        promise(not due or account.killed_at is not None, "no KILL when the grace is over")
    else:
        promise(now < killed_at + KILL_PATIENCE, "survivors of KILL are not given up")


def _start(policy: Policy, account: Account, start: actions.Start, now: float) -> None:
    if account.waits_warm() and start.job is Job.ON_START:
        promise(account.ready is True, "--on-start while the warm command is not ready")
        account.hook, account.ready_by = True, None
    else:
        account.job, account.alive, account.started_at = start.job, True, now
        account.ready = None
    if start.job is Job.WARM:
        account.unhealthy, account.healthy_since = False, None
        account.cool_until, account.owed_before = None, account.owes_on_stop
        return
    cold = policy.warm is not None and start.job is not Job.ON_STOP and not account.hook
    promise(not cold, "a cold start with --warm")
    account.takes_over = False
    if start.job is Job.COMMAND:
        account.healthy_since, account.unhealthy = None, False
        account.ran_with = account.fence if policy.once else None
    account.owed_before = account.owes_on_stop
    if start.job is Job.ON_STOP:
        promise(start.code == account.to_tell, "--on-stop is told another exit code")
        account.owes_on_stop = False
        timeout = policy.on_stop_timeout
    else:
        promise(start.leader == ME, "a start for another leader")
        promise(start.term == account.term, "a start in another term")
        account.to_tell = account.code
        account.owes_on_stop = policy.on_stop_timeout is not None
        timeout = policy.on_start_timeout if start.job is Job.ON_START else None
    account.kill_due = None if timeout is None else now + timeout


def _lead(policy: Policy, account: Account, lead: actions.Lead, now: float) -> None:
    """The line is written: from now on it is the term's command."""
    promise(account.ready is True, "a command that is not ready is told that it leads")
    promise(lead.start.leader == ME, "a line for another leader")
    promise(lead.start.term == account.term, "a line in another term")
    account.job, account.started_at, account.ready_by = Job.COMMAND, now, None
    account.takes_over = False
    account.healthy_since, account.unhealthy = None, False
    account.to_tell = account.code
    account.owes_on_stop = policy.on_stop_timeout is not None


# What is next.

END_WARM = "stop the warm command first"
WAIT = "wait for the takeover delay or the backoff"
REST = "stand by"
KEEP = "have the election keep the success"
RECORD = "wait until the election keeps the success"
Plan = actions.Exit | Job | str


def _compare(account: Account, found: actions.Action | None, right: Plan, now: float) -> None:
    account.waits = right == WAIT
    match found:
        case actions.Start(job):
            ahead = right == WAIT and now < account.ready_at
            promise(not ahead, f"{job.value} is started too early")
            promise(right is job, f"{job.value} is started, but this was to come: {right}")
            account.waits = account.waits or (job is Job.WARM and account.in_term())
        case actions.Lead():
            promise(right is Job.COMMAND, f"a line is written, but this was to come: {right}")
        case actions.Stop():
            promise(right == END_WARM, f"a stop, but this was to come: {right}")
        case actions.Exit(code):
            account.exit_code = code
            promise(right == found, f"an exit with {code}, but this was to come: {right}")
        case _:
            rests = right in {WAIT, REST, RECORD}
            promise(rests, f"nothing is planned, but this was to come: {right}")


def _plan(policy: Policy, account: Account, now: float) -> Plan:
    """Return what has to come next, once nothing runs and the inbox is empty."""
    goes_on = account.prepared and not account.lost and not _is_to_end(account)
    if account.owes_on_stop and not account.survivors and not goes_on:
        if account.job is None:
            return Job.ON_STOP
        _has_to_end(policy, account, policy.grace_lost, now)
        return END_WARM
    return _once(policy, account, now) or _after_the_stop(policy, account, now)


def _after_the_stop(policy: Policy, account: Account, now: float) -> Plan:
    _let_go_for_health(policy, account)
    if _is_to_follow(account) and not _is_to_end(account) and _restarts(policy, account):
        account.ended_by_itself = account.unhealthy = False
        if account.lasted:
            account.restarts = account.tries = 0
        account.restarts += 1
        _backs_off(account, now)
    for _row, code_of in EXIT_CODES:
        code = code_of(policy, account)
        if code is not None:
            # Survivors may still do the leader's work, so leadership is kept.
            return _end(policy, account, code, now)
    promise(not account.steps_down or account.survivors, "leadership is not released")
    if account.can_not_run is not None and account.job is None and not account.survivors:
        return _end(policy, account, account.can_not_run, now)
    if _gives_up(policy, account, now):
        return _end(policy, account, policy.wait_exit_code, now)
    if account.lost or not account.leads():
        account.on_standby()
    if not account.leads() or account.survivors:
        return _or_warm_up(policy, account, REST, now)
    return _lead_on(policy, account, now)


def _lead_on(policy: Policy, account: Account, now: float) -> Plan:
    """It leads, and nothing prevents a start."""
    _begins(policy, account, now)
    _hasten(policy, account, now)
    if now < account.ready_at:
        return _or_warm_up(policy, account, WAIT, now)
    if policy.warm is not None and not (account.waits_warm() and account.ready is True):
        return _or_warm_up(policy, account, _await_ready(policy, account, now), now)
    if policy.on_start_timeout is not None and not account.prepared:
        return Job.ON_START
    return Job.COMMAND


def _once(policy: Policy, account: Account, now: float) -> Plan | None:
    """Return what --once requires: "done: 0", and that a success of this replica is kept before
    anything else happens, "125 if it can't be"."""
    if account.done:
        return actions.Exit(0, release=not account.survivors)
    if not _has_succeeded(policy, account):
        return None
    in_time = account.ends_by is None or now < account.ends_by
    if account.keeps_by is None and in_time and not account.not_kept:
        return KEEP
    if account.keeps_by is not None and now < account.keeps_by and not account.not_kept:
        return RECORD
    return actions.Exit(125, release=not account.survivors)


def _not_later(one: float | None, other: float | None) -> float | None:
    return one if one is None or other is None else min(one, other)


def _has_succeeded(policy: Policy, account: Account) -> bool:
    """Return whether there is a success for --once: "it ended on its own"."""
    by_itself = account.ended_by_itself and not account.unhealthy
    return policy.once and by_itself and account.code in policy.success_codes


def _end(policy: Policy, account: Account, code: int, now: float) -> Plan:
    """Exit, but stop a waiting command first."""
    if account.job is None:
        return actions.Exit(code, release=not account.survivors)
    _has_to_end(policy, account, policy.grace, now)
    return END_WARM


def _or_warm_up(policy: Policy, account: Account, otherwise: Plan, now: float) -> Plan:
    """A warm command runs from the start, also during the takeover delay; after one that
    exited on its own there is a backoff."""
    if policy.warm is None or account.job is not None or account.survivors:
        return otherwise
    if account.in_term():
        starts = account.takes_over or now >= account.ready_at
    else:
        starts = account.cool_until is None or now >= account.cool_until
    return Job.WARM if starts else otherwise


def _await_ready(policy: Policy, account: Account, now: float) -> Plan:
    """It leads, and its command is not ready: "bounded by --health-start-period"."""
    assert policy.warm is not None
    if account.ready_by is None:
        account.ready_by = now + policy.warm
    if now < account.ready_by:
        return WAIT
    account.unhealthy = True
    _has_to_end(policy, account, policy.grace_lost, now)
    return END_WARM


def _begins(policy: Policy, account: Account, now: float) -> None:
    """It leads; a term begins unless one is going on."""
    if account.lost or not account.begun:
        account.begun, account.lost = True, False
        account.gives_up_at = None
        account.term += 1
        account.cool_until, account.cooled = None, 0
        account.ready_at = now + policy.takeover_delay
        account.takes_over = True


def _gives_up(policy: Policy, account: Account, now: float) -> bool:
    """Return whether it has never led, and has waited for as long as --wait allows."""
    if account.leads() or account.term > 0 or policy.wait is None:
        account.gives_up_at = None
        return False
    if account.gives_up_at is None:
        account.gives_up_at = now + policy.wait
    return now >= account.gives_up_at


def _is_to_follow(account: Account) -> bool:
    """Return whether something has to follow from how the command ended."""
    return account.ended_by_itself or account.unhealthy


def _lets_go_for_health(policy: Policy, account: Account) -> bool:
    """Return whether it abdicates: "--unhealthy abdicate", and "--abdicate-after COUNT"."""
    if not policy.can_release or account.lost or _is_to_end(account):
        return False
    if account.unhealthy and policy.unhealthy is Unhealthy.ABDICATE:
        return True
    count = policy.abdicate_after
    again = 1 + (0 if account.lasted else account.restarts)
    often = count is not None and again >= count
    return often and _is_to_follow(account) and _is_wanted_again(policy, account)


def _let_go_for_health(policy: Policy, account: Account) -> None:
    owes = account.owes_on_stop and not account.survivors
    if not owes and _lets_go_for_health(policy, account):
        account.ended_by_itself = account.unhealthy = False
        account.steps_down = account.lost = True


def _is_wanted_again(policy: Policy, account: Account) -> bool:
    if account.unhealthy:
        return policy.unhealthy is not Unhealthy.EXIT
    failed = account.code not in policy.success_codes
    return policy.restart is Restart.ALWAYS or (policy.restart is Restart.ON_FAILURE and failed)


def _restarts(policy: Policy, account: Account) -> bool:
    wanted = _is_wanted_again(policy, account)
    if account.unhealthy and policy.unhealthy is Unhealthy.ABDICATE and not account.lost:
        # Leadership could not be released.
        return False
    limit = policy.restart_limit
    return wanted and (limit is None or account.lasted or account.restarts < limit)


def _is_to_end(account: Account) -> bool:
    return account.told or account.hung_up


def _after_an_order(policy: Policy, account: Account) -> int | None:
    if not _is_to_end(account) or account.code is None:
        return None
    return account.code or _stopped(policy, account)


def _told_on_standby(policy: Policy, account: Account) -> int | None:
    return _stopped(policy, account) if account.told else None


def _stopped(policy: Policy, account: Account) -> int:
    """Return 0; "with --once 0 means done", and the signal counts."""
    number = signal.SIGTERM if account.told else signal.SIGHUP
    return 128 + number if policy.once else 0


def _hung_up_on_standby(_policy: Policy, account: Account) -> int | None:
    return 128 + signal.SIGHUP if account.hung_up else None


def _ended_by_itself(_policy: Policy, account: Account) -> int | None:
    return account.code if account.ended_by_itself else None


def _was_unhealthy(_policy: Policy, account: Account) -> int | None:
    return 123 if account.unhealthy else None


def _lost_after_a_kill(policy: Policy, account: Account) -> int | None:
    lost = policy.exit_when_lost and account.lost and account.ran
    return 128 + signal.SIGKILL if lost and account.our_kill else None


def _lost_after_a_clean_stop(policy: Policy, account: Account) -> int | None:
    return 124 if policy.exit_when_lost and account.lost and account.ran else None


def _hook_aborts(policy: Policy, account: Account) -> int | None:
    return 125 if policy.hook_failure_aborts and account.hook_failed else None


# The rows of the contract's table that the core decides; the first that applies counts.
EXIT_CODES: tuple[tuple[str, Callable[[Policy, Account], int | None]], ...] = (
    ("the command's: after a stop that was ordered", _after_an_order),
    ("0: ordered to stop while on standby", _told_on_standby),
    ("129: hung up while on standby", _hung_up_on_standby),
    ("123: the command was unhealthy", _was_unhealthy),
    ("the command's: it exited on its own", _ended_by_itself),
    ("137: --on-lost exit, our own KILL ended the command", _lost_after_a_kill),
    ("124: --on-lost exit, after a clean stop", _lost_after_a_clean_stop),
    ("125: a hook failed, nothing else decides", _hook_aborts),
)
