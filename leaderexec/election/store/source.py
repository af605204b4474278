"""The source that campaigns in a store: one thread asks, one waits for news.

That we lead is told with the moment at which the last good renewal was sent, so that the deciding
thread itself takes leadership away at the renew deadline, whatever these threads hang in. News only
make the asking come sooner: what is lost of them costs a retry period.
"""

import random
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from leaderexec.core.backoff import doubling, full_jitter
from leaderexec.election.complaints import Complaints, Trouble
from leaderexec.election.renewing import Now, Terms
from leaderexec.election.store.campaign import Campaign, Step
from leaderexec.election.watched import start_watched

if TYPE_CHECKING:
    from leaderexec.core.events import Event
    from leaderexec.logs import Log

# A request has at least so long; less would be no try.
_LEAST = 0.1
_OPEN_WITHIN = 5.0
_WATCH_BASE = 0.1
_WATCH_CAP = 5.0
# How long the end may wait for leadership to be let go of.
_RELEASE_WITHIN = 3.0
_RELEASE_TRIES = 10


class Answer(NamedTuple):
    """What came of an attempt to lead: our fence; or who leads (nobody: ""), and the seconds until
    that ends if it is not renewed, where the store tells."""

    fence: int | None
    holder: str = ""
    free_in: float | None = None
    # Why nobody can have it yet, for people.
    waits: str = ""


class News(Protocol):
    """What tells, unasked, that something has changed."""

    def events(self) -> Iterator[None]:
        """Yield whenever something may have. Ends when there is no more to come, or after a while;
        raises Trouble."""

    def close(self) -> None:
        """End it: the reader wakes up. Any thread may call this."""


class Store(Protocol):
    """Where the election is held; asked by one thread. `seconds` bounds all that a call does. What
    fails raises Trouble, and may be done again."""

    def look(self, seconds: float) -> str:
        """Return who leads; "" for nobody."""

    def take(self, seconds: float) -> Answer:
        """Compete, and take leadership if it is free or ours."""

    def renew(self, seconds: float) -> bool:
        """Renew what was taken; tell whether it is still ours."""

    def let_go(self, seconds: float) -> bool:
        """Compete no more, and let go of what is ours and nobody else's; tell whether there was
        leadership to be let go of."""

    def close(self) -> None:
        """Close the connections; the next request opens others."""

    @property
    def topic(self) -> Hashable:
        """What news there can be of; None for nothing."""

    def watch(self, topic: Hashable, seconds: float) -> News:
        """Open a stream of news within `seconds`. By another thread."""


class StoreElection:
    """Campaigns in one store. `where` names it in log lines."""

    def __init__(
        self,
        campaign: Campaign,
        store: Store,
        kind: str,
        where: Mapping[str, object],
        duration: float,
        put: "Callable[[Event], None]",
        log: "Log",
        clock: Callable[[], float],
    ) -> None:
        self._campaign = campaign
        self._terms: Terms = campaign.terms
        self._store = store
        self._kind = kind
        self._where = where
        self._duration = duration
        self._put = put
        self._log = log
        self._clock = clock
        self._complaints = Complaints(log, kind, **where)
        # Guards the campaign and the order of what is put; waited on for news.
        self._turn = threading.Condition()
        self._told: tuple[object, ...] | None = None
        self._topic: Hashable = None
        self._watched_topic: Hashable = None
        self._news: News | None = None
        # Seconds to hold off, once leadership was let go.
        self._hold_off: float | None = None
        self._closing = threading.Event()
        self._closed = threading.Event()
        self._said_namesake = self._said_waits = False

    def start(self, _now: float) -> None:
        """Begin to campaign."""
        for name, work in ((self._kind, self._run), ("watch", self._follow)):
            start_watched(name, work, self._put, self._log, self._clock)

    def resubscribe(self) -> None:
        """Open the watch anew."""
        news = self._news
        if news is not None:
            news.close()

    def inherited(self) -> tuple[int, ...]:
        """Return nothing: no descriptor stands for this leadership."""
        return ()

    def troubles(self) -> Mapping[tuple[str, str], int]:
        """Return how often each kind of trouble came up, in requests and on the watch."""
        return dict(self._complaints.counts.copy())

    def release(self) -> None:
        """Let go, if it is ours; the command's whole tree must be gone. Returns within some
        seconds: what could not be let go of runs out."""
        self._closing.set()
        with self._turn:
            self._turn.notify_all()
        self.resubscribe()
        self._closed.wait(_RELEASE_WITHIN)

    def step_down(self, hold_off: float) -> None:
        """Have leadership let go of, and wait before it is taken again."""
        with self._turn:
            self._hold_off = hold_off
            self._turn.notify_all()

    def _now(self) -> Now:
        return Now(time.monotonic(), self._clock())

    # The thread that asks.

    def _run(self) -> None:
        with self._turn:
            # Begun anew after a failure: nothing that was known can be relied on.
            self._campaign.forget()
        try:
            while not self._closing.is_set():
                self._step_down()
                self._next()
            self._let_go()
        finally:
            self._store.close()
        self._closed.set()

    def _next(self) -> None:
        with self._turn:
            now = self._now()
            plan = self._campaign.plan(now)
            if plan.step is Step.WAIT:
                if not self._closing.is_set() and self._hold_off is None:
                    self._turn.wait(max(0.0, plan.until - now.monotonic))
                return
            seconds = self._patience(now)
        self._do(plan.step, seconds)

    def _patience(self, now: Now) -> float:
        """Return how long a request may take: while we lead no longer than to the deadline, and so
        short that one that hangs leaves time for another."""
        half = max(self._terms.renew_deadline / 2, _LEAST)
        if not self._campaign.leads(now):
            return half
        return max(_LEAST, min(half, self._campaign.deadline - now.boot))

    def _do(self, step: Step, seconds: float) -> None:
        sent = self._now()
        part = "looks" if step is Step.LOOK else "writes"
        try:
            if step is Step.RENEW:
                self._have_renewed(sent, ours=self._store.renew(seconds))
            elif step is Step.TAKE:
                self._have_tried(sent, self._store.take(seconds))
            else:
                self._have_tried(sent, Answer(None, self._store.look(seconds)))
        except Trouble as trouble:
            with self._turn:
                self._campaign.failed(self._now(), not_before=trouble.pause)
            self._complaints.say(part, trouble)
        else:
            self._complaints.settle(part)

    def _have_renewed(self, sent: Now, *, ours: bool) -> None:
        with self._turn:
            now = self._now()
            if ours:
                self._campaign.renewed(sent, now)
            else:
                self._campaign.lost(now)
            self._tell(now, sent)

    def _have_tried(self, sent: Now, answer: Answer) -> None:
        with self._turn:
            now = self._now()
            if answer.fence is not None:
                self._campaign.took(answer.fence, sent, now)
            else:
                self._campaign.refused(answer.holder, now, free_in=answer.free_in)
            self._tell(now, sent)
        if answer.holder == self._campaign.identity and not self._said_namesake:
            self._said_namesake = True
            self._log.warning(
                "identity is not unique",
                **self._where,
                reason=f"another process leads as {answer.holder!r}, or one that has ended did",
                remedy=f"nothing, if it has ended: it is free {self._duration:g}s after its last"
                " renewal; else give each replica an --identity of its own, or none",
            )
        if answer.waits and not self._said_waits:
            self._said_waits = True
            self._log.info(
                "not to be taken yet",
                **self._where,
                reason=answer.waits,
                remedy="nothing: it is waited for",
            )

    def _tell(self, now: Now, sent: Now) -> None:
        from leaderexec.core.events import Announced

        term = self._campaign.term(now, sent.boot)
        if term is not None and term != self._told:
            self._told = term
            self._put(Announced(term.leader, term.at, term.fence))
        topic = self._store.topic
        if topic != self._topic:
            self._topic = topic
            self.resubscribe()
            self._turn.notify_all()

    def _step_down(self) -> None:
        with self._turn:
            seconds, self._hold_off = self._hold_off, None
            if seconds is None:
                return
            self._campaign.hold_off(seconds, self._now())
        self._let_go()

    def _let_go(self) -> None:
        give_up = time.monotonic() + _RELEASE_WITHIN
        for attempt in range(_RELEASE_TRIES):
            try:
                had = self._store.let_go(max(_LEAST, give_up - time.monotonic()))
            except Trouble as trouble:
                pause = doubling(attempt, base=0.05, cap=1.0)
                if time.monotonic() + pause > give_up:
                    self._log.warning(
                        "leadership not released",
                        **self._where,
                        reason=f"{trouble}"[:300],
                        remedy=f"nothing: it runs out {self._duration:g}s after its last renewal",
                    )
                    return
                time.sleep(pause)
            else:
                if had:
                    self._log.info("leadership released", **self._where)
                return

    # The thread that waits for news.

    def _follow(self) -> None:
        failures = 0
        while not self._closing.is_set():
            with self._turn:
                topic = self._topic
                if topic is None or topic == self._watched_topic:
                    # There is nothing to watch, or all there can be of it was heard.
                    self._turn.wait()
                    continue
            delay = random.random() * _WATCH_BASE  # noqa: S311 - no secret
            try:
                self._watch_once(topic)
                failures = 0
            except Trouble as trouble:
                delay = full_jitter(
                    failures,
                    base=_WATCH_BASE,
                    cap=_WATCH_CAP,
                    rand=random.random(),  # noqa: S311 - no secret
                )
                failures += 1
                delay = max(delay, trouble.pause)
                if not self._closing.is_set() and topic == self._topic:
                    self._complaints.say("watch", trouble)
            self._closing.wait(delay)

    def _watch_once(self, topic: Hashable) -> None:
        from leaderexec.core.events import StreamClosed, StreamOpened

        news = self._store.watch(topic, _OPEN_WITHIN)
        with self._turn:
            self._news = news
            self._put(StreamOpened(self._clock()))
        if self._closing.is_set() or topic != self._topic:
            # Ended while it was being opened: nobody else will close it.
            news.close()
        self._complaints.settle("watch")
        heard = False
        try:
            for _ in news.events():
                heard = True
                with self._turn:
                    self._campaign.woken(self._now())
                    self._turn.notify_all()
            if heard:
                self._watched_topic = topic
        finally:
            with self._turn:
                self._news = None
                self._put(StreamClosed(self._clock()))
