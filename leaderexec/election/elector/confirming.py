"""Queries the API server for the elector's Lease, in a thread that decides nothing.

What to query, and from when on a response counts, follows from the belief (`core.confirmation`). A
Lease named by the user is queried at each poll interval; another one only for each new leader, and
again if that failed. No API client and no TLS is loaded before the first query.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from leaderexec.config.options import UsageError
from leaderexec.core.backoff import doubling
from leaderexec.core.belief import Belief
from leaderexec.core.events import LeaseRefused, LeaseSeen, Pod, PodEnded
from leaderexec.election.complaints import Complaints, Trouble
from leaderexec.election.elector.announcement import in_full
from leaderexec.election.watched import start_watched
from leaderexec.process import fork_guard

if TYPE_CHECKING:
    from leaderexec.core.events import Event
    from leaderexec.election.lease.client import Leases
    from leaderexec.election.lease.cluster import Cluster
    from leaderexec.election.lease.record import Lease
    from leaderexec.logs import Log

# A Lease that was named must not expire for lack of queries; what is only advice can wait.
AGAIN_BASE, AGAIN_CAP = 0.1, 1.0
ADVICE_AGAIN_BASE, ADVICE_AGAIN_CAP = 1.0, 60.0
# The parts that trouble is reported for.
_LEASE, _POD = "lease", "pod"
REFUSALS = ("unauthorized", "forbidden")


class Question(NamedTuple):
    """What has to be known: the current Lease, for the leader named at `since`, and the state of
    the former leader's Pod, if the new leader is us."""

    since: float
    former: Pod | None


def named_by(found: "Lease", identity: str) -> str | None:
    """Return the replica that the Lease names, None if nobody. Not this one if the Lease belongs to
    another Pod: a StatefulSet's has the name of the one before it, which may still be running."""
    with fork_guard.importing():
        from leaderexec.election.elector import owner
        from leaderexec.election.identity import pod_uid

    leader = in_full(found.holder, identity) if found.holder else None
    pod = owner.owner(found)
    if leader == identity and pod is not None and pod_uid() not in (None, pod.uid):
        return f"{leader} (another Pod of this name)"
    return leader


def ask_lease(cluster: "Cluster", lease: str, identity: str, timeout: float) -> str | None:
    """Return the replica that the Lease names, asked once; None if nobody, or if there is no such
    Lease. Raises Trouble if that can't be determined, `timeout` in seconds."""
    with closing(_reader(cluster, lease)) as api:
        found = api.get(timeout)
    return None if found is None else named_by(found, identity)


def _reader(cluster: "Cluster", lease: str) -> "Leases":
    """Return the client of a Lease that is only read."""
    with fork_guard.importing():
        from leaderexec.election.lease.answers import reading_role
        from leaderexec.election.lease.client import Leases
        from leaderexec.election.lease.kind import name_in
    return Leases(cluster, name_in(cluster, lease), reading_role)


class LeaseConfirming:
    """Queries one Lease. `interval` is None if the user did not name it."""

    def __init__(
        self,
        lease: str,
        identity: str,
        interval: float | None,
        timeout: float,
        find: "Callable[[], Cluster]",
        put: "Callable[[Event], None]",
        log: "Log",
        clock: Callable[[], float],
    ) -> None:
        self._lease = lease
        self._identity = identity
        self._interval = interval
        self._timeout = timeout
        self._find = find
        self._put = put
        self._log = log
        self._clock = clock
        self._complaints = Complaints(log, "lease", lease=lease)
        self._turn = threading.Condition()
        self._question: Question | None = None
        self._api: Leases | None = None
        # How many seconds the API server asked us to wait.
        self._asked_to_wait = 0.0
        self._looked_for: Question | None = None

    def start(self) -> None:
        """Be ready for queries. Raises RuntimeError if no thread can be created."""
        stops = self._interval is not None
        start_watched("lease", self._run, self._put, self._log, self._clock, stops=stops)

    def follow(self, belief: Belief) -> None:
        """Query what this belief requires, unless that was done already."""
        said = belief.confirmation
        if said is None or (self._question is not None and self._question.since == said.since):
            return
        with self._turn:
            former = None if said.former is None else said.former.pod
            self._question = Question(said.since, former)
            self._turn.notify()

    def troubles(self) -> Mapping[tuple[str, str], int]:
        """Return how often each kind of trouble occurred, with the Lease and with the Pod."""
        return dict(self._complaints.counts.copy())

    def _run(self) -> None:
        asked: Question | None = None
        again_at: float | None = None
        failed = 0
        while True:
            question = self._next(asked, again_at)
            if question != asked:
                asked, failed = question, 0
            if self._ask(question):
                again_at = None if self._interval is None else time.monotonic() + self._interval
                failed = 0
            else:
                again_at = time.monotonic() + max(self._pause(failed), self._asked_to_wait)
                failed += 1

    def _next(self, asked: Question | None, again_at: float | None) -> Question:
        """Wait for another question, or until this one is due again (monotonic)."""
        with self._turn:
            while self._question is None or self._question == asked:
                left = None if again_at is None else again_at - time.monotonic()
                if left is not None and left <= 0 and self._question is not None:
                    break
                self._turn.wait(left)
            return self._question

    def _pause(self, failed: int) -> float:
        if self._interval is None:
            return doubling(failed, base=ADVICE_AGAIN_BASE, cap=ADVICE_AGAIN_CAP)
        return min(self._interval, doubling(failed, base=AGAIN_BASE, cap=AGAIN_CAP))

    def _ask(self, question: Question) -> bool:
        """Query, and report; return whether that suffices until the next interval, or for good."""
        asked_at, self._asked_to_wait = self._clock(), 0.0
        try:
            api = self._opened()
            found = api.get(self._timeout)
        except Trouble as trouble:
            self._complaints.say(_LEASE, trouble)
            self._asked_to_wait = trouble.pause
            if trouble.kind not in REFUSALS:
                return False
            self._put(LeaseRefused(asked_at))
            return self._interval is not None
        if found is None:
            self._complaints.say(_LEASE, self._missing())
            self._put(LeaseSeen(asked_at, None))
            return self._interval is not None
        self._complaints.settle(_LEASE)
        return self._tell(found, asked_at, api, question)

    def _tell(self, found: "Lease", asked_at: float, api: "Leases", question: Question) -> bool:
        with fork_guard.importing():
            from leaderexec.election.elector import owner

        leader, pod = named_by(found, self._identity), owner.owner(found)
        self._put(LeaseSeen(asked_at, leader, owner.uid_of(found), found.version, pod))
        answered = True
        if leader == self._identity and self._looked_for != question:
            answered = question.former is None or self._look_at(question.former, api)
            self._looked_for = question if answered else None
        if self._interval is None:
            # The next question may come in a week.
            api.close()
        return answered

    def _look_at(self, pod: Pod, api: "Leases") -> bool:
        """Check, once, whether the former leader's Pod has ended; return whether there was a
        response."""
        from leaderexec.election.elector import owner

        try:
            found = api.pod(pod.name, self._timeout)
        except Trouble as trouble:
            self._complaints.say(_POD, trouble)
            return trouble.kind in REFUSALS
        self._complaints.settle(_POD)
        if owner.has_ended(found, pod.uid):
            self._put(PodEnded(pod.uid))
        return True

    def _opened(self) -> "Leases":
        """Return the client. Raises Trouble if no API server is known."""
        if self._api is not None:
            return self._api
        try:
            cluster = self._find()
        except UsageError as error:
            raise Trouble("no-api-server", str(error), "or --confirm-lease off") from None
        if cluster.tls is not None:
            _load_tls()
        self._api = _reader(cluster, self._lease)
        return self._api

    def _missing(self) -> Trouble:
        return Trouble(
            "not-found",
            f"there is no Lease {self._lease}",
            "nothing, while nobody leads; else check its name, which is the election's"
            " (--confirm-lease), and its namespace",
        )


def _load_tls() -> None:
    with fork_guard.importing():
        import ssl  # noqa: F401 - what the connection will load, while no fork is under way
