"""The source that campaigns for an advisory lock: one thread, one session.

It passes what it saw to the campaign, and puts what that says about leadership into the inbox. Our
own leadership is reported with the time at which the last successful query was sent, so that the
deciding thread itself ends leadership at the renew deadline, wherever this thread hangs.
"""

import os
import select
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from leaderexec import jitter
from leaderexec.election.complaints import Complaints, Trouble
from leaderexec.election.postgres.answers import SessionOver
from leaderexec.election.postgres.campaign import Campaign, Step, Times
from leaderexec.election.postgres.kind import Target
from leaderexec.election.postgres.lock import Lock, Name
from leaderexec.election.renewing import Now
from leaderexec.election.watched import start_watched

if TYPE_CHECKING:
    from leaderexec.core.events import Event
    from leaderexec.logs import Log

# How long an exit may wait for the release to be recorded.
_RELEASE_WITHIN = 3.0
_LEAST = 0.1


class PostgresElection:
    """Campaigns for one lock."""

    def __init__(
        self,
        identity: str,
        target: Target,
        name: Name,
        times: Times,
        put: "Callable[[Event], None]",
        log: "Log",
        clock: Callable[[], float],
    ) -> None:
        self._target = target
        self._name = name
        self._times = times
        self._put = put
        self._log = log
        self._clock = clock
        self._campaign = Campaign(identity, os.urandom(8).hex(), times)
        self._complaints = Complaints(log, "postgres", server=str(target))
        self._lock: Lock | None = None
        self._is_direct = False
        self._told: object = None
        # At our exit: we had the lock, and the next holder has to know that nothing runs any more.
        self._owes_record = False
        self._closing = threading.Event()
        self._closed = threading.Event()
        # Readable when this should end: also wakes a thread that waits for the server.
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        # Seconds to hold off, once the lock has been released.
        self._hold_off: float | None = None
        self._said_namesake = False

    def start(self, _now: float) -> None:
        """Begin to campaign."""
        start_watched("postgres", self._run, self._put, self._log, self._clock)

    def resubscribe(self) -> None:
        """Do nothing: there is no stream."""

    def inherited(self) -> tuple[int, ...]:
        """Return nothing: this leadership is not tied to a descriptor."""
        return ()

    def troubles(self) -> Mapping[tuple[str, str], int]:
        """Return how often each kind of trouble occurred."""
        return dict(self._complaints.counts.copy())

    def release(self) -> None:
        """Record that the command's whole tree has exited, and release the lock, if we have it;
        wait for a few seconds at most. Without that record the next holder has to wait."""
        self._owes_record = self._campaign.fence is not None
        self._closing.set()
        os.eventfd_write(self._wake, 1)
        if self._lock is not None and not self._closed.wait(_RELEASE_WITHIN) and self._owes_record:
            self._say_not_released("an earlier request has not been answered")

    def step_down(self, hold_off: float) -> None:
        """Have the lock released, and wait before trying for it again."""
        self._hold_off = hold_off
        os.eventfd_write(self._wake, 1)

    def _now(self) -> Now:
        return Now(time.monotonic(), self._clock())

    def _run(self) -> None:
        # After a restart because of a failure, nothing known before can be relied on.
        self._end_session()
        while not self._closing.is_set():
            now = self._now()
            plan = self._campaign.plan(now)
            try:
                if self._hold_off is not None:
                    self._step_down(self._hold_off)
                elif plan.step is Step.WAIT:
                    self._wait(plan.until - now.monotonic)
                else:
                    self._do(plan.step, now)
            except Trouble as trouble:
                self._failed(plan.step, trouble)
            self._tell()
        self._let_go()
        self._closed.set()

    def _wait(self, seconds: float) -> None:
        if self._lock is None:
            select.select([self._wake], [], [], max(0.0, seconds))
        elif self._lock.session.wait(seconds, self._wake):
            self._campaign.notified()
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake)

    def _step_down(self, hold_off: float) -> None:
        self._hold_off = None
        lock, fence, ready = self._lock, self._campaign.fence, self._campaign.is_ready(self._now())
        self._campaign.let_go(hold_off, self._now())
        if lock is not None and fence is not None:
            self._release(lock, fence, ready=ready)

    def _do(self, step: Step, now: Now) -> None:
        lock = self._lock
        if step is Step.CONNECT or lock is None:
            self._connect()
        elif step is Step.DROP:
            self._end_session()
        elif step is Step.TRY:
            self._try(lock)
        elif self._campaign.fence is not None:
            fence, seconds = self._campaign.fence, self._campaign.patience(now)
            ready = self._campaign.is_ready(now)
            lock.beat(self._campaign.identity, fence, max(_LEAST, seconds), ready=ready)
            self._campaign.answered(now, self._now())
            self._complaints.settle("session")

    def _connect(self) -> None:
        self._lock = Lock(
            self._target,
            self._name,
            self._campaign.life,
            self._times,
            prove_direct=not self._is_direct,
        )
        self._is_direct = True
        self._campaign.opened()

    def _try(self, lock: Lock) -> None:
        sent = self._now()
        seen = lock.look(take=self._campaign.may_take(sent))
        if not seen.ours:
            self._look_for_namesake(seen.holder, seen.life)
            self._campaign.refused(self._shown(seen.holder, seen.life), sent, jitter=jitter.share())
        else:
            sent = self._now()
            taken = lock.take(self._campaign.identity)
            wait = self._campaign.taken(taken, sent, self._now())
            if wait:
                self._log.info(
                    "waiting for the old command",
                    seconds=wait,
                    holder=taken.former.holder or None,
                    reason="this replica has the lock, but its last holder has not recorded that"
                    " its command had exited"
                    + self._of_server(taken.former.started, taken.started),
                )
        self._complaints.settle("session")

    @staticmethod
    def _of_server(before: str, after: str) -> str:
        if before == after:
            return ""
        return ", and may not know yet that the server was restarted or replaced"

    def _shown(self, holder: str | None, life: str | None) -> str | None:
        if life == self._campaign.life:
            # A session of ours that the server has not ended yet.
            return None
        if holder == self._campaign.identity:
            return f"{holder} (an earlier or another process)"
        return holder

    def _look_for_namesake(self, holder: str | None, life: str | None) -> None:
        ours = self._campaign
        if self._said_namesake or holder != ours.identity or life == ours.life:
            return
        self._said_namesake = True
        self._log.warning(
            "identity is not unique",
            reason=f"another session has the lock as {holder!r}; a former instance of this replica"
            f" keeps it for at most {self._times.session_timeout:g}s",
            remedy="give each replica its own --identity, or none",
        )

    def _failed(self, step: Step, trouble: Trouble) -> None:
        if not self._closing.is_set():
            self._complaints.say("session", trouble)
        if isinstance(trouble, SessionOver) or (step is not Step.BEAT and step is not Step.WAIT):
            self._end_session(trouble.pause)
        else:
            self._campaign.failed(self._now(), jitter=jitter.share(), not_before=trouble.pause)

    def _end_session(self, pause: float = 0.0) -> None:
        """Close it; what it held is free, so we no longer lead."""
        lock, self._lock = self._lock, None
        self._campaign.lost(self._now(), jitter=jitter.share(), not_before=pause)
        self._tell()
        if lock is not None:
            lock.close()

    def _tell(self) -> None:
        from leaderexec.core.events import Announced

        term = self._campaign.term(self._now())
        if term is not None and term != self._told:
            self._told = term
            self._put(Announced(term.leader, term.at, term.fence))

    def _let_go(self) -> None:
        lock, fence = self._lock, self._campaign.fence
        if lock is None:
            if self._owes_record:
                self._say_not_released("the session has ended")
            return
        try:
            if fence is not None:
                self._release(lock, fence, ready=self._campaign.is_ready(self._now()))
        except Trouble as trouble:
            self._say_not_released(str(trouble))
        finally:
            lock.close()

    def _say_not_released(self, reason: str) -> None:
        self._log.warning(
            "lock not released",
            election=self._name.election,
            reason=reason,
            remedy="nothing: the server ends the session, and the next leader waits"
            f" {self._times.gone_after:g}s",
        )

    def _release(self, lock: Lock, fence: int, *, ready: bool) -> None:
        lock.release(fence, ready=ready)
        self._log.info("lock released", election=self._name.election)
