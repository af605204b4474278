"""The source that campaigns for a Lease: one thread requests and writes, one watches.

Both pass what they saw to the campaign, and put what it says about leadership into the inbox.
"""

import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from leaderexec import jitter
from leaderexec.core.backoff import full_jitter
from leaderexec.election.campaigner import OPEN_WITHIN, WATCH_BASE, WATCH_CAP, Campaigner, left
from leaderexec.election.complaints import Complaints, Trouble
from leaderexec.election.lease import record
from leaderexec.election.lease.answers import Conflict
from leaderexec.election.lease.campaign import Campaign, Plan, Step
from leaderexec.election.lease.client import Leases, Watch
from leaderexec.election.lease.cluster import Cluster
from leaderexec.election.lease.record import Candidate, Lease, Name
from leaderexec.election.renewing import Now, Terms

if TYPE_CHECKING:
    from leaderexec.core.events import Event
    from leaderexec.logs import Log

# For a watch that is not permitted: the Role may be fixed meanwhile.
_FORBIDDEN_AGAIN = 60.0
_NAMESAKE_WRITES = 2


class LeaseElection(Campaigner):
    """Campaigns for one Lease."""

    _campaign: Campaign

    def __init__(
        self,
        us: Candidate,
        terms: Terms,
        cluster: Cluster,
        name: Name,
        put: "Callable[[Event], None]",
        log: "Log",
        clock: Callable[[], float],
        once_key: str | None = None,
        turn: threading.Condition | None = None,
    ) -> None:
        """`turn`: a lock that is shared with the campaigns for other Leases."""
        campaign = Campaign(us, terms, once_key)
        which = {} if turn is None else {"lease": str(name)}
        complaints = Complaints(log, "lease", api_server=cluster.where, **which)
        super().__init__("lease", campaign, terms, complaints, put, log, clock, turn)
        self._us = us
        self._cluster = cluster
        self._name = name
        self._namesake_versions: set[int] = set()
        self._said_absent = False
        self._said_penance = False
        self._said_whether_done = False

    def keep_success(self, fence: int | None) -> None:
        """Have the Lease keep that the command has succeeded in the term of this fence."""
        with self._turn:
            self._campaign.keep_success(fence)
            self._tell_whether_done()
            self._turn.notify_all()

    def _tell(self, now: Now, asked_at: float | None = None) -> None:
        # First: nobody must hear that we lead and not that there is nothing to do.
        self._tell_whether_done()
        super()._tell(now, asked_at)

    def _tell_whether_done(self) -> None:
        """Report, once, that the command has succeeded, or that the success of ours can't be kept.
        Call it with the lock."""
        if self._said_whether_done:
            return
        from leaderexec.core.events import Done, NotKept

        why_not = self._campaign.not_kept
        if self._campaign.is_done:
            self._put(Done())
        elif why_not is not None:
            self._put(NotKept(why_not))
        self._said_whether_done = self._campaign.is_done or why_not is not None

    # The thread that requests and writes.

    def _run(self) -> None:
        with self._turn:
            # After a restart because of a failure, nothing known before can be relied on.
            self._campaign.forget()
        with closing(Leases(self._cluster, self._name)) as leases:
            self._campaign_by(leases)
            self._let_go(leases)
        self._closed.set()

    def _campaign_by(self, leases: Leases) -> None:
        while not self._closing.is_set():
            if self._steps_down():
                self._let_go(leases)
            with self._turn:
                plan = self._plan()
                now = self._now()
                if plan.step is Step.WAIT:
                    self._rest(plan.until, now)
                    continue
                lease, seconds = self._campaign.lease, self._patience(now)
            self._do(leases, plan.step, lease, seconds)

    def _plan(self) -> Plan:
        return self._campaign.plan(self._now(), watched=self._stream is not None)

    def _do(self, leases: Leases, step: Step, lease: Lease | None, seconds: float) -> None:
        sent = self._now()
        part = "reads" if step is Step.READ else "writes"
        try:
            if step is Step.READ:
                found = leases.get(seconds)
                with self._turn:
                    self._have_read(found, sent)
            else:
                written = self._write(leases, step, lease, seconds)
                with self._turn:
                    now = self._now()
                    self._campaign.wrote(step, written, sent, now)
                    self._tell(now)
        except Conflict:
            with self._turn:
                self._campaign.conflicted(self._now())
        except Trouble as trouble:
            with self._turn:
                self._campaign.failed(step, self._now(), not_before=trouble.pause)
            self._complaints.say(part, trouble)
        else:
            self._complaints.settle(part)

    def _write(self, leases: Leases, step: Step, lease: Lease | None, seconds: float) -> Lease:
        moment = datetime.now(UTC)
        if step is Step.RENEW and lease is not None:
            return leases.put(record.renewed(lease, self._us, moment), seconds)
        key = self._campaign.once_key
        if step is Step.KEEP and lease is not None and key is not None:
            return leases.put(record.done(lease, self._us, key, moment), seconds)
        document = record.taken(lease, self._name, self._us, moment)
        return leases.post(document, seconds) if lease is None else leases.put(document, seconds)

    def _have_read(self, lease: Lease | None, sent: Now) -> None:
        now = self._now()
        first = self._told is None
        news = self._campaign.heard(lease, now)
        if lease is None and not self._said_absent:
            self._said_absent = True
            wait = max(0.0, self._campaign.free_at() - now.monotonic)
            self._log.info(
                "no lease yet",
                lease=str(self._name),
                reason=f"it is created in {wait:.0f}s: another replica may have held it just now",
                remedy="to start sooner: create an empty one with the manifests",
            )
        self._say_penance()
        self._look_for_namesakes()
        self._tell(now, sent.boot)
        if news and not first:
            # The watch should have shown it.
            self.resubscribe()

    def _say_penance(self) -> None:
        """Log, once, that this container holds off because it keeps being killed."""
        lease = self._campaign.lease
        if self._said_penance or lease is None or not self._us.follows(lease):
            return
        self._said_penance = True
        if (seconds := self._campaign.penance(lease)) > 0:
            self._log.warning(
                "holding off",
                lease=str(self._name),
                reason=f"this container was killed {self._us.killed(lease)} times in a row, soon"
                " after it had taken the Lease",
                hold_off_seconds=seconds,
                remedy="another replica may lead now; if none does, this one tries again; look for"
                " what kills it (OOMKilled?)",
            )

    def _look_for_namesakes(self) -> None:
        """Log, once, that another process renews under our name; the Lease of a former instance is
        not renewed."""
        lease = self._campaign.lease
        if lease is None or self._campaign.is_ours or lease.holder != self._us.identity:
            return
        seen = self._namesake_versions
        if len(seen) >= _NAMESAKE_WRITES:
            return
        seen.add(lease.version)
        if len(seen) == _NAMESAKE_WRITES:
            self._log.error(
                "identity is not unique",
                lease=str(self._name),
                reason=f"another process holds the Lease as {self._us.identity!r}, and renews it",
                remedy="give each replica its own --identity, or none",
            )

    def _let_go(self, leases: Leases) -> None:
        if self._campaign.may_hold:
            self._release(partial(self._let_go_by, leases), (Conflict, Trouble))

    def _let_go_by(self, leases: Leases, until: float) -> None:
        """Release it, if the current record names us; another holder's is not touched. Raises
        Conflict and Trouble."""
        found = leases.get(left(until))
        if found is None or not self._us.wrote(found):
            return
        leases.put(record.released(found, datetime.now(UTC)), left(until))
        self._log.info("lease released", lease=str(self._name))

    def _say_not_released(self, reason: str) -> None:
        self._log.warning(
            "lease not released",
            lease=str(self._name),
            reason=reason[:300],
            remedy=f"nothing: it expires {self._us.duration}s after its last renewal",
        )

    # The thread that watches.

    def _follow(self) -> None:
        failures = 0
        while not self._closing.is_set():
            delay = jitter.share() * WATCH_BASE
            try:
                self._watch_once()
                failures = 0
            except Trouble as trouble:
                delay = full_jitter(
                    failures,
                    base=WATCH_BASE,
                    cap=WATCH_CAP,
                    rand=jitter.share(),
                )
                failures += 1
                if trouble.kind == "forbidden":
                    delay = _FORBIDDEN_AGAIN
                delay = max(delay, trouble.pause)
                if not self._closing.is_set():
                    self._complaints.say("watch", trouble)
            self._closing.wait(delay)

    def _watch_once(self) -> None:
        from leaderexec.core.events import StreamClosed, StreamOpened

        watch = Watch(self._cluster, self._name, OPEN_WITHIN)
        with self._turn:
            self._stream = watch
            self._put(StreamOpened(self._clock()))
            self._turn.notify_all()
        if self._closing.is_set():
            # Closed while it was being opened: nothing else will close it.
            watch.close()
        try:
            for lease, was_deleted in watch.events():
                self._complaints.settle("watch")
                self._have_seen(lease, was_deleted=was_deleted)
        finally:
            with self._turn:
                self._stream = None
                self._put(StreamClosed(self._clock()))
                # From now on it is polled.
                self._turn.notify_all()

    def _have_seen(self, lease: Lease, *, was_deleted: bool) -> None:
        with self._turn:
            now = self._now()
            if was_deleted:
                news = self._campaign.deleted(lease.version, now)
            else:
                news = self._campaign.heard(lease, now, by_watch=True)
            if news:
                self._say_penance()
                self._look_for_namesakes()
                self._tell(now)
                self._turn.notify_all()
