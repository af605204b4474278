"""The client of the pod's elector: one thread drains the stream, one polls.

Neither decides anything: both put what they receive into the inbox, with the time of receipt.

The stream is read without a timeout and never dropped for being silent: the elector sends only
changes, and it never removes a subscriber, so each reconnect costs it memory. The poll detects
what silence hides (a hung elector, a lost subscriber).
"""

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from leaderexec import jitter, optional_imports
from leaderexec.core.backoff import doubling, full_jitter
from leaderexec.core.events import Announced, Polled, StreamClosed, StreamOpened
from leaderexec.election.elector.announcement import Malformed, in_full, parse
from leaderexec.election.elector.stream import announcements
from leaderexec.election.watched import start_watched
from leaderexec.light_typing import TYPE_CHECKING, Protocol

with optional_imports.imports():
    # Loads http.client, which would load OpenSSL.
    from http.client import HTTPException, HTTPResponse, IncompleteRead

    from leaderexec.election.elector.answer import MAX_HEAD, NoAnnouncement, ask, fetch

if TYPE_CHECKING:
    from leaderexec.core.events import Event
    from leaderexec.election.http_client import BoundedSocket

HEADERS_TIMEOUT = 5.0
RECONNECT_BASE = 0.1
RECONNECT_CAP = 5.0
FIRST_POLL = 1.0
POLL_AGAIN_BASE = 0.1
POLL_AGAIN_CAP = 1.0
_PART = 65536
# After an announcement the deciding thread has the interpreter to itself for this many seconds,
# several times what it needs to act; but not again for each of a flood.
_HEAD_START = 0.001
_HEAD_START_AGAIN = 0.01

Clock = Callable[[], float]


class Logger(Protocol):
    """Where the client logs troubles and recoveries."""

    def info(self, event: str, **fields: object) -> None:
        """Log what happened."""

    def warning(self, event: str, **fields: object) -> None:
        """Log what someone should look at in working hours."""

    def error(self, event: str, **fields: object) -> None:
        """Log what someone should look at now."""


class Complaints:
    """Logs each kind of trouble once, until every part of the client has recovered."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._turn = threading.Lock()
        self._open: set[str] = set()
        self._said: set[str] = set()
        self._advised: set[str] = set()
        self.counts: Counter[tuple[str, str]] = Counter()

    def say(
        self, part: str, url: str, kind: str, reason: str, remedy: str, *, lasting: bool = False
    ) -> None:
        """Count the trouble, and log it unless it was logged since the last recovery; `lasting`: a
        valid response does not end it, and it is logged only once."""
        with self._turn:
            self.counts[part, kind] += 1
            known = self._advised if lasting else self._said
            if not lasting:
                self._open.add(part)
            if kind in known:
                return
            known.add(kind)
        self._log.warning("elector trouble", kind=kind, url=url, reason=reason, remedy=remedy)

    def settle(self, part: str) -> None:
        """Log the recovery, if there was trouble and none is left in any part."""
        if not self._said:
            return
        with self._turn:
            self._open.discard(part)
            if self._open:
                return
            after, self._said = sorted(self._said), set()
        self._log.info("elector recovered", after=after)


class Part:
    """The complaints of one part of the client: its stream, or its polls."""

    def __init__(self, complaints: Complaints, part: str, url: str) -> None:
        self._complaints = complaints
        self._part = part
        self._url = url

    def say(self, kind: str, reason: str, remedy: str, *, lasting: bool = False) -> None:
        """Complain."""
        self._complaints.say(self._part, self._url, kind, reason, remedy, lasting=lasting)

    def settle(self) -> None:
        """Nothing is wrong here any more."""
        self._complaints.settle(self._part)


class Elector:
    """Follows one elector."""

    def __init__(
        self,
        identity: str,
        sse_url: str,
        get_url: str,
        poll_interval: float | None,
        request_timeout: float,
        put: "Callable[[Event], None]",
        log: Logger,
        clock: Clock,
    ) -> None:
        self._identity = identity
        self._sse_url = sse_url
        self._get_url = get_url
        self._poll_interval = poll_interval
        self._request_timeout = request_timeout
        self._put = put
        self._log = log
        self._clock = clock
        self._socket: BoundedSocket | None = None
        self._ended = threading.Event()
        self._given_up: BoundedSocket | None = None
        self._complaints = Complaints(log)
        # When the reader last made way for the deciding thread.
        self._stood_back_at = 0.0

    def start(self, _now: float) -> None:
        """Subscribe, and begin to poll."""
        self._start("reader", self._follow)
        interval = self._poll_interval
        if interval is not None:
            self._start("poll", lambda: self._poll(interval))

    def _start(self, name: str, work: Callable[[], None]) -> None:
        start_watched(name, work, self._put, self._log, self._clock)

    def resubscribe(self) -> None:
        """End the current stream, so that the reader opens a new one. Shutting down the socket
        wakes the reader; closing the response would wait for it."""
        opened = self._given_up = self._socket
        if opened is not None:
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Stop both threads, soon. Leadership is up to the elector: it moves to another replica
        when this pod ends."""
        self._ended.set()
        self.resubscribe()

    def step_down(self, hold_off: float) -> None:
        """Do nothing: leadership is not ours to release."""

    def inherited(self) -> tuple[int, ...]:
        """Return nothing: this leadership is not tied to a descriptor."""
        return ()

    def troubles(self) -> dict[tuple[str, str], int]:
        """Return how often each kind of trouble occurred, on the stream and in polls."""
        return dict(self._complaints.counts.copy())

    def _follow(self) -> None:
        complaints = Part(self._complaints, "stream", self._sse_url)
        attempt = 0
        while not self._ended.is_set():
            heard = self._listen(complaints)
            attempt = 0 if heard else attempt + 1
            self._ended.wait(
                full_jitter(
                    attempt,
                    base=RECONNECT_BASE,
                    cap=RECONNECT_CAP,
                    rand=jitter.share(),
                )
            )

    def _remember_socket(self, opened: "BoundedSocket") -> None:
        self._socket = opened
        if self._ended.is_set():
            # Ended while it was being opened: nothing else will end it.
            self.resubscribe()

    def _listen(self, complaints: Part) -> bool:
        """Read one stream to its end; return whether it carried an announcement."""
        heard = False
        self._socket = None
        with telling(complaints), self._quiet_when_given_up():
            asking = ask(
                self._sse_url,
                "text/event-stream",
                HEADERS_TIMEOUT,
                MAX_HEAD,
                self._remember_socket,
            )
            with asking as response:
                # From here on silence is normal.
                if self._socket is not None:
                    self._socket.unbind()
                self._put(StreamOpened(self._clock()))
                try:
                    for data in announcements(parts(response)):
                        leader = self._read(data, complaints)
                        if leader is not None:
                            heard = True
                            complaints.settle()
                            self._announce(leader)
                finally:
                    self._put(StreamClosed(self._clock()))
            raise NoAnnouncement(
                "stream-ended",
                "the elector ended the stream",
                "nothing, if the elector is restarting: leaderexec subscribes again",
            )
        return heard

    def _announce(self, leader: str) -> None:
        """Put it, and wait a little: the elector sends each announcement twice, and to parse the
        second one takes the GIL for as long as it takes to decide on the first."""
        now = self._clock()
        self._put(Announced(leader, now))
        if now - self._stood_back_at >= _HEAD_START_AGAIN:
            self._stood_back_at = now
            time.sleep(_HEAD_START)

    @contextmanager
    def _quiet_when_given_up(self) -> Iterator[None]:
        """Ignore the end of a stream that `resubscribe` ended: it is not an error."""
        try:
            yield
        except Exception:
            if self._given_up is None or self._given_up is not self._socket:
                raise

    def _poll(self, interval: float) -> None:
        complaints = Part(self._complaints, "poll", self._get_url)
        delay = min(FIRST_POLL, interval)
        failed = 0
        while not self._ended.wait(delay):
            # Soon again after a failure: contact must not be lost for lack of polls.
            delay = min(interval, doubling(failed, base=POLL_AGAIN_BASE, cap=POLL_AGAIN_CAP))
            failed += 1
            asked_at = self._clock()
            with telling(complaints):
                leader = self._read(fetch(self._get_url, self._request_timeout), complaints)
                if leader is not None:
                    delay, failed = interval, 0
                    complaints.settle()
                    self._put(Polled(leader, asked_at))

    def _read(self, data: str | bytes, complaints: Part) -> str | None:
        """Return the announced leader; None, with a complaint, if the data announces none."""
        try:
            leader = parse(data)
        except Malformed as error:
            complaints.say(error.kind, str(error), "check that this URL is the elector's")
            return None
        if leader is None:
            # An elector that has just restarted knows no leader yet, and the Lease is unaffected:
            # this says nothing about leadership, and is not contact either.
            complaints.say(
                "nobody-known",
                "the elector knows no leader yet",
                "nothing, for a few seconds; then check the elector's own log",
            )
            return None
        leader = in_full(leader, self._identity)
        if leader != self._identity and leader.casefold() == self._identity.casefold():
            complaints.say(
                "case-differs",
                f"the leader {leader!r} differs from this identity only in case",
                f"set --identity {leader} if they are the same replica",
                lasting=True,
            )
        return leader


@contextmanager
def telling(complaints: Part) -> Iterator[None]:
    """Turn any error of an elector into a complaint."""
    try:
        yield
    except NoAnnouncement as error:
        complaints.say(error.kind, str(error), error.remedy)
    except (OSError, IncompleteRead) as error:
        complaints.say(
            "unreachable",
            _shown(error),
            "nothing, if the elector is restarting; else check its container and this URL",
        )
    except (HTTPException, ValueError) as error:
        complaints.say("broken-answer", _shown(error), "check that this URL is the elector's")


def _shown(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]


def parts(response: HTTPResponse) -> Iterator[bytes]:
    """Yield the body as it arrives: read1 returns what is available, chunked or not."""
    while part := response.read1(_PART):
        yield part
