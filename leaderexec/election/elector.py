"""The client of the pod's elector: one thread drains the stream, one polls the answer.

Neither decides anything: both put what they heard into the inbox, with the time they heard it.

The stream is read without a time-out and never dropped for being silent: the elector speaks only
on change, and it never removes a subscriber, so each reconnect costs it memory. The poll finds
what silence hides (a hung elector, a lost subscriber).
"""

import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from leaderexec import gate, lean
from leaderexec._version import __version__
from leaderexec.core.announcement import MAX_ANNOUNCEMENT, Malformed, in_full, parse
from leaderexec.core.backoff import full_jitter

if TYPE_CHECKING:
    import requests

    from leaderexec.core.events import Event

CONNECT_TIMEOUT = 2.0
HEADERS_TIMEOUT = 5.0
RECONNECT_BASE = 0.1
RECONNECT_CAP = 5.0
FIRST_POLL = 1.0
_PART = 65536

Clock = Callable[[], float]


class Logger(Protocol):
    """Where the client says what is wrong, and that it is well again."""

    def info(self, event: str, **fields: object) -> None:
        """Log what happened."""

    def warning(self, event: str, **fields: object) -> None:
        """Log what somebody should look at."""


class NoAnnouncement(Exception):
    """The elector's answer is none; `kind` groups what is told once, `remedy` says what to do."""

    def __init__(self, kind: str, found: str, remedy: str) -> None:
        super().__init__(found)
        self.kind = kind
        self.remedy = remedy


class Complaints:
    """Says each kind of trouble once, until all is well again."""

    def __init__(self, log: Logger, **fields: object) -> None:
        self._log = log
        self._fields = fields
        self._said: set[str] = set()
        self.counts: Counter[str] = Counter()

    def say(self, kind: str, reason: str, remedy: str) -> None:
        """Count the trouble, and log it unless it was logged since all was well."""
        self.counts[kind] += 1
        if kind not in self._said:
            self._said.add(kind)
            self._log.warning(
                "elector trouble", kind=kind, **self._fields, reason=reason, remedy=remedy
            )

    def settle(self) -> None:
        """Log that all is well again, if it was not."""
        if self._said:
            self._log.info("elector well again", **self._fields, after=sorted(self._said))
            self._said.clear()


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
        self._socket: socket.socket | None = None
        self._ended = threading.Event()
        self._given_up: socket.socket | None = None
        # One for each thread, which alone writes it.
        self._stream_complaints = Complaints(log, url=sse_url)
        self._poll_complaints = Complaints(log, url=get_url)

    def start(self, _now: float) -> None:
        """Subscribe, and begin to poll."""
        with lean.imports():
            import requests  # noqa: F401 - from here on it is there for both threads
        threads = [threading.Thread(target=self._follow, name="reader", daemon=True)]
        if self._poll_interval is not None:
            threads.append(
                threading.Thread(
                    target=self._poll, args=[self._poll_interval], name="poll", daemon=True
                )
            )
        for thread in threads:
            thread.start()

    def resubscribe(self) -> None:
        """End the present stream, so that the reader opens a new one. Shutting the socket down
        wakes the reader; closing the response would wait for it."""
        opened = self._given_up = self._socket
        if opened is not None:
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        """End both threads, soon: nobody waits for them."""
        self._ended.set()
        self.resubscribe()

    def inherited(self) -> tuple[int, ...]:
        """Return nothing: no descriptor stands for this leadership."""
        return ()

    def troubles(self) -> dict[tuple[str, str], int]:
        """Return how often each kind of trouble came up, on the stream and in polls."""
        both = (("stream", self._stream_complaints), ("poll", self._poll_complaints))
        return {
            (part, kind): count
            for part, complaints in both
            for kind, count in complaints.counts.copy().items()
        }

    def _follow(self) -> None:
        complaints = self._stream_complaints
        session = new_session(self._remember_socket)
        attempt = 0
        while not self._ended.is_set():
            heard = self._listen(session, complaints)
            attempt = 0 if heard else attempt + 1
            self._ended.wait(
                full_jitter(
                    attempt,
                    base=RECONNECT_BASE,
                    cap=RECONNECT_CAP,
                    rand=random.random(),  # noqa: S311 - jitter
                )
            )

    def _remember_socket(self, opened: socket.socket) -> None:
        self._socket = opened
        if self._ended.is_set():
            # Stopped while it was being opened: nobody else will end it.
            self.resubscribe()

    def _listen(self, session: "requests.Session", complaints: Complaints) -> bool:
        """Read one stream to its end; tell whether it carried an announcement."""
        heard = False
        with telling(complaints), self._quiet_when_given_up():
            headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
            with ask(session, self._sse_url, HEADERS_TIMEOUT, headers) as response:
                # From here silence is normal.
                if self._socket is not None:
                    self._socket.settimeout(None)
                check_content_type(response, "text/event-stream")
                # Imported only now: to be subscribed comes first.
                with gate.importing():
                    from leaderexec.core.events import Announced, StreamClosed, StreamOpened
                    from leaderexec.election.sse import announcements

                self._put(StreamOpened(self._clock()))
                try:
                    for data in announcements(parts(response)):
                        leader = self._read(data, complaints)
                        if leader is not None:
                            heard = True
                            complaints.settle()
                            self._put(Announced(leader, self._clock()))
                finally:
                    self._put(StreamClosed(self._clock()))
            raise NoAnnouncement(
                "stream-ended",
                "the elector ended the stream",
                "nothing, if the elector is being restarted: it is subscribed to again",
            )
        return heard

    @contextmanager
    def _quiet_when_given_up(self) -> Iterator[None]:
        """Swallow the end of a stream that `resubscribe` ended: it is no trouble."""
        try:
            yield
        except Exception:
            if self._given_up is None or self._given_up is not self._socket:
                raise

    def _poll(self, interval: float) -> None:
        from leaderexec.core.events import Polled

        complaints = self._poll_complaints
        session = new_session()
        delay = min(FIRST_POLL, interval)
        while not self._ended.wait(delay):
            delay = interval
            asked_at = self._clock()
            with telling(complaints):
                leader = self._read(get(session, self._get_url, self._request_timeout), complaints)
                if leader is not None:
                    complaints.settle()
                    self._put(Polled(leader, asked_at))

    def _read(self, data: str | bytes, complaints: Complaints) -> str | None:
        """Return the announced leader; None, with a complaint, when the data announces nobody."""
        try:
            leader = parse(data)
        except Malformed as error:
            complaints.say(error.kind, str(error), "check that this URL is the elector's")
            return None
        if leader is None:
            # An elector that has just been restarted knows nobody yet, and the Lease is
            # untouched: this says nothing of leadership, and is no contact either.
            complaints.say(
                "nobody-known",
                "the elector knows of no leader yet",
                "nothing, for a few seconds; then see the elector's own log",
            )
            return None
        leader = in_full(leader, self._identity)
        if leader != self._identity and leader.casefold() == self._identity.casefold():
            complaints.say(
                "case-differs",
                f"the leader {leader!r} differs from this identity only in case",
                f"set --identity {leader} if they are the same replica",
            )
        return leader


def new_session(opened: Callable[[socket.socket], None] | None = None) -> "requests.Session":
    """Return a session that uses no proxy, no .netrc and no cookie; `opened` is given the socket
    of each new connection."""
    import requests
    import urllib3

    class Connection(urllib3.connection.HTTPConnection):
        def connect(self) -> None:
            super().connect()
            if opened is not None:
                opened(self.sock)

    class Pool(urllib3.HTTPConnectionPool):
        ConnectionCls = Connection

    session = requests.Session()
    session.trust_env = False
    adapter = requests.adapters.HTTPAdapter(max_retries=0)
    adapter.poolmanager.pool_classes_by_scheme = {"http": Pool}
    session.mount("http://", adapter)
    session.headers.update(
        {"User-Agent": f"leaderexec/{__version__}", "Accept-Encoding": "identity"}
    )
    return session


@contextmanager
def telling(complaints: Complaints) -> Iterator[None]:
    """Turn whatever goes wrong with an elector into a complaint."""
    import requests
    import urllib3

    try:
        yield
    except NoAnnouncement as error:
        complaints.say(error.kind, str(error), error.remedy)
    except (
        requests.ConnectionError,
        requests.Timeout,
        # A connection that is cut while the body is read, which requests leaves as it is.
        urllib3.exceptions.ProtocolError,
        urllib3.exceptions.TimeoutError,
        OSError,
    ) as error:
        complaints.say(
            "unreachable",
            _innermost(error),
            "nothing, if the elector is being restarted; else check its container and this URL",
        )
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        complaints.say("broken-answer", _innermost(error), "check that this URL is the elector's")


def _innermost(error: BaseException) -> str:
    """Return the cause at the bottom: the layers above repeat themselves."""
    from http.client import HTTPException

    # Below that are the parser's own troubles, which tell nobody anything.
    while not isinstance(error, HTTPException):
        below = error.__cause__ or error.__context__
        if below is None:
            break
        error = below
    return f"{type(error).__name__}: {error}"[:200]


@contextmanager
def ask(
    session: "requests.Session", url: str, timeout: float, headers: dict[str, str]
) -> "Iterator[requests.Response]":
    """Send a GET and yield its answer with the body unread; raise NoAnnouncement unless 200."""
    with session.get(
        url,
        stream=True,
        allow_redirects=False,
        timeout=(CONNECT_TIMEOUT, timeout),
        headers=headers,
    ) as response:
        if response.is_redirect:
            raise NoAnnouncement(
                "redirect",
                f"it redirects to {response.headers['Location'][:80]!r}",
                "set the URL to the elector itself; redirects are not followed",
            )
        if response.status_code != 200:  # noqa: PLR2004 - HTTP
            raise NoAnnouncement(
                f"http-{response.status_code}",
                f"it answered {response.status_code} {response.reason}"[:80],
                "check that this URL is the elector's, and the elector's own log",
            )
        yield response


def check_content_type(response: "requests.Response", expected: str) -> None:
    """Raise NoAnnouncement unless the body is of the expected media type."""
    found = response.headers.get("Content-Type", "")
    if found.partition(";")[0].strip().lower() != expected:
        raise NoAnnouncement(
            "content-type",
            f"it answered with content type {found[:80]!r} instead of {expected}",
            "check that this URL is the elector's",
        )


def parts(response: "requests.Response") -> Iterator[bytes]:
    """Yield the body as it arrives: read1 returns what is there, chunked or not."""
    raw: Any = response.raw
    while part := raw.read1(_PART):
        yield part


def get(session: "requests.Session", url: str, timeout: float) -> bytes:
    """Return the body of a GET, of bounded size, within a bounded time."""
    give_up = time.monotonic() + timeout
    body = b""
    headers = {"Accept": "application/json", "Connection": "close"}
    with ask(session, url, timeout, headers) as response:
        check_content_type(response, "application/json")
        for part in parts(response):
            body += part
            if len(body) > MAX_ANNOUNCEMENT:
                raise NoAnnouncement(
                    "too-long",
                    f"its answer is longer than {MAX_ANNOUNCEMENT} bytes",
                    "check that this URL is the elector's",
                )
            if time.monotonic() > give_up:
                raise NoAnnouncement(
                    "too-slow",
                    f"its answer took longer than {timeout:g}s",
                    "check the elector's CPU limit",
                )
    return body
