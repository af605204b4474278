"""The source that campaigns in a store: one thread sends requests, one waits for news.

News only make the next request come sooner: missing them costs one retry period.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from leaderexec import jitter
from leaderexec.core.backoff import full_jitter
from leaderexec.election.campaigner import OPEN_WITHIN, WATCH_BASE, WATCH_CAP, Campaigner, left
from leaderexec.election.complaints import Complaints, Trouble
from leaderexec.election.renewing import Now
from leaderexec.election.store.campaign import Campaign, Step

if TYPE_CHECKING:
    from leaderexec.core.events import Event
    from leaderexec.logs import Log


class Answer(NamedTuple):
    """The result of an attempt to lead: our fence; or who leads (none: ""), and the seconds until
    that expires if it is not renewed, if the store provides that."""

    fence: int | None
    holder: str = ""
    free_in: float | None = None
    # Why no replica can take it yet, for people.
    waits: str = ""


class News(Protocol):
    """Notifications that something has changed."""

    def events(self) -> Iterator[None]:
        """Yield whenever something may have changed. Ends when there is no more to come, or after a
        while; raises Trouble."""

    def close(self) -> None:
        """End it: the reader wakes up. Any thread may call this."""


class Store(Protocol):
    """Where the election takes place; used by one thread. `seconds` limits the time of a call. A
    failed call raises Trouble, and may be repeated."""

    def look(self, seconds: float) -> str:
        """Return who leads; "" if none."""

    def take(self, seconds: float) -> Answer:
        """Compete, and take leadership if it is free or ours."""

    def renew(self, seconds: float) -> bool:
        """Renew what was taken; return whether it is still ours."""

    def let_go(self, seconds: float) -> bool:
        """Stop competing, and release what is ours, and only that; return whether there was
        leadership to release."""

    def close(self) -> None:
        """Close the connections; the next request opens others."""

    @property
    def topic(self) -> Hashable:
        """What there can be news of; None for nothing."""

    def watch(self, topic: Hashable, seconds: float) -> News:
        """Open a stream of news within `seconds`. Called from another thread."""


class StoreElection(Campaigner):
    """Campaigns in one store. `where` names it in log lines."""

    _campaign: Campaign

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
        complaints = Complaints(log, kind, **where)
        super().__init__(kind, campaign, campaign.terms, complaints, put, log, clock)
        self._store = store
        self._where = where
        self._duration = duration
        self._topic: Hashable = None
        self._watched_topic: Hashable = None
        self._said_namesake = self._said_waits = False

    # The requesting thread.

    def _run(self) -> None:
        with self._turn:
            # After a restart because of a failure, nothing known before can be relied on.
            self._campaign.forget()
        try:
            while not self._closing.is_set():
                if self._steps_down():
                    self._let_go()
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
                self._rest(plan.until, now)
                return
            seconds = self._patience(now)
        self._do(plan.step, seconds)

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
            self._tell_and_watch(now, sent)

    def _have_tried(self, sent: Now, answer: Answer) -> None:
        with self._turn:
            now = self._now()
            if answer.fence is not None:
                self._campaign.took(answer.fence, sent, now)
            else:
                self._campaign.refused(answer.holder, sent, now, free_in=answer.free_in)
            self._tell_and_watch(now, sent)
        if answer.holder == self._campaign.identity and not self._said_namesake:
            self._said_namesake = True
            self._log.warning(
                "identity is not unique",
                **self._where,
                reason=f"another process leads as {answer.holder!r}, or one that has exited did",
                remedy=f"nothing, if it has exited: leadership expires {self._duration:g}s after"
                " its last renewal; else give each replica its own --identity, or none",
            )
        if answer.waits and not self._said_waits:
            self._said_waits = True
            self._log.info(
                "waiting to take over",
                **self._where,
                reason=answer.waits,
                remedy="nothing: leaderexec waits",
            )

    def _tell_and_watch(self, now: Now, sent: Now) -> None:
        self._tell(now, sent.boot)
        topic = self._store.topic
        # What was heard of it last was not all that matters.
        goes_on = topic is not None and topic == self._watched_topic
        if topic != self._topic or goes_on:
            self._topic, self._watched_topic = topic, None
            self.resubscribe()
            self._turn.notify_all()

    def _let_go(self) -> None:
        self._release(self._let_go_by)

    def _let_go_by(self, until: float) -> None:
        if self._store.let_go(left(until)):
            self._log.info("leadership released", **self._where)

    def _say_not_released(self, reason: str) -> None:
        self._log.warning(
            "leadership not released",
            **self._where,
            reason=reason[:300],
            remedy=f"nothing: it expires {self._duration:g}s after its last renewal",
        )

    # The thread that waits for news.

    def _follow(self) -> None:
        failures = 0
        while not self._closing.is_set():
            with self._turn:
                topic = self._topic
                if topic is None or topic == self._watched_topic:
                    # There is nothing to watch, or nothing more to come before the next request.
                    self._turn.wait()
                    continue
            delay = jitter.share() * WATCH_BASE
            try:
                self._watch_once(topic)
                failures = 0
            except Trouble as trouble:
                delay = full_jitter(
                    failures,
                    base=WATCH_BASE,
                    cap=WATCH_CAP,
                    rand=jitter.share(),
                )
                failures += 1
                delay = max(delay, trouble.pause)
                if not self._closing.is_set() and topic == self._topic:
                    self._complaints.say("watch", trouble)
            self._closing.wait(delay)

    def _watch_once(self, topic: Hashable) -> None:
        from leaderexec.core.events import StreamClosed, StreamOpened

        news = self._store.watch(topic, OPEN_WITHIN)
        with self._turn:
            self._stream = news
            self._put(StreamOpened(self._clock()))
        if self._closing.is_set() or topic != self._topic:
            # Closed while it was being opened: nothing else will close it.
            self.resubscribe()
        self._complaints.settle("watch")
        heard = False
        try:
            for _ in news.events():
                heard = True
                with self._turn:
                    self._campaign.woken(self._now())
                    self._turn.notify_all()
            # It ended on its own: a stream that we close may have had more news.
            if heard and self._stream is news:
                self._watched_topic = topic
        finally:
            with self._turn:
                self._stream = None
                self._put(StreamClosed(self._clock()))
