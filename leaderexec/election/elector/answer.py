"""Asking the elector once who leads: for the cross-check, for probes, scripts and ``is_leader()``.

Light (no HTTP library), never a guess, and never without a bound: one deadline and one size hold
for the whole exchange, whatever an answer is made of.
"""

import http.client
import socket
import time
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from leaderexec._version import __version__
from leaderexec.election.elector.announcement import (
    MAX_ANNOUNCEMENT,
    Malformed,
    in_full,
    parse,
)
from leaderexec.election.kind import ElectionUnknown

_OK = 200
# For all that is not the body: headers, interim answers (100 Continue), chunk sizes.
MAX_HEAD = 16384
# A socket's timeout of 0 would mean that it does not wait at all.
_LEAST = 0.001
# An elector that has just been restarted knows of nobody for some 100 to 400 ms.
_ASK_AGAIN = 0.1


class NoAnnouncement(Exception):
    """The elector's response is no announcement. `kind` groups what is logged once; `remedy` says
    what to do."""

    def __init__(self, kind: str, found: str, remedy: str) -> None:
        super().__init__(found)
        self.kind = kind
        self.remedy = remedy


def fetch(url: str, timeout: float) -> bytes:
    """Return the body of a GET, within `timeout` seconds for all of it.

    Raises NoAnnouncement for anything but JSON with status 200, OSError where nobody answers, and
    http.client.HTTPException for what is no HTTP.
    """
    parts = urlsplit(url)
    with closing(_Connection(parts.hostname or "", parts.port or 80, timeout)) as connection:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {
            "User-Agent": f"leaderexec/{__version__}",
            "Accept": "application/json",
            "Connection": "close",
        }
        connection.request("GET", target, headers=headers)
        with connection.getresponse() as response:
            check_head(response.status, response.reason, response.headers, "application/json")
            body = response.read(MAX_ANNOUNCEMENT + 1)
    if len(body) > MAX_ANNOUNCEMENT:
        raise _too_long()
    return body


def check_head(status: int, reason: str, headers: Any, media_type: str) -> None:
    """Raise NoAnnouncement unless this is the head of an elector's answer."""
    location = headers.get("Location")
    if 300 <= status < 400 and location is not None:  # noqa: PLR2004 - HTTP
        raise NoAnnouncement(
            "redirect",
            f"it redirects ({status}) to {location[:80]!r}",
            "set the URL to the elector itself; redirects are not followed",
        )
    if status != _OK:
        raise NoAnnouncement(
            f"http-{status}",
            f"it answered {status} {reason}"[:80],
            "check that this URL is the elector's, and the elector's own log",
        )
    found = headers.get("Content-Type", "")
    if found.partition(";")[0].strip().lower() != media_type:
        raise NoAnnouncement(
            "content-type",
            f"it answered with content type {found[:80]!r} instead of {media_type}",
            "check that this URL is the elector's",
        )


def ask_elector(url: str, identity: str, timeout: float) -> str:
    """Return the leader's name; ours comes as the identity, also where that is longer than what
    the elector announces. While the elector knows of nobody it is asked again.

    `timeout` is in seconds, for all of it. Raises ElectionUnknown where there is no announcement.
    """
    give_up = time.monotonic() + timeout
    while True:
        leader = _ask_once(url, max(_ASK_AGAIN, give_up - time.monotonic()))
        if leader is not None:
            return in_full(leader, identity)
        if time.monotonic() + _ASK_AGAIN > give_up:
            raise ElectionUnknown(
                f"the elector at {url} knew of no leader for {timeout:g}s; see its own log:"
                " it may not reach the API server"
            )
        time.sleep(_ASK_AGAIN)


def _ask_once(url: str, timeout: float) -> str | None:
    try:
        return parse(fetch(url, timeout))
    except Malformed as error:
        raise ElectionUnknown(f"{error} (from {url})") from None
    except NoAnnouncement as error:
        raise ElectionUnknown(f"the elector at {url}: {error}; {error.remedy}") from None
    except (OSError, http.client.HTTPException) as error:
        raise ElectionUnknown(
            f"the elector at {url} can't be asked: {error or type(error).__name__};"
            " check its container and the URL"
        ) from None


class BoundedSocket(socket.socket):
    """A socket whose every read is bounded by one deadline and one size for all of them: a bound
    for each read would let an answer come byte by byte for ever."""

    _deadline: float | None
    _left: int
    _begun: bool

    @classmethod
    def around(cls, opened: socket.socket, deadline: float, most: int) -> "BoundedSocket":
        """Take a socket over. `deadline` is of time.monotonic()."""
        bounded = cls(opened.family, opened.type, opened.proto, fileno=opened.detach())
        bounded._deadline, bounded._left, bounded._begun = deadline, most, False
        bounded.settimeout(max(_LEAST, deadline - time.monotonic()))
        return bounded

    def unbind(self) -> None:
        """From now on wait and read without a bound."""
        self._deadline = None
        self.settimeout(None)

    def recv_into(self, *arguments: Any) -> int:
        """Receive, as a file made of this socket does. Raises NoAnnouncement beyond the bounds,
        and TimeoutError where no answer has begun: nobody is there."""
        if self._deadline is None:
            return super().recv_into(*arguments)
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise _too_slow()
        self.settimeout(left)
        try:
            count = super().recv_into(*arguments)
        except TimeoutError:
            if not self._begun:
                raise
            raise _too_slow() from None
        self._begun = True
        self._left -= count
        if self._left < 0:
            raise _too_long()
        return count


class _Connection(http.client.HTTPConnection):
    def __init__(self, host: str, port: int, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout)
        self._deadline = time.monotonic() + timeout

    def connect(self) -> None:
        super().connect()
        most = MAX_HEAD + MAX_ANNOUNCEMENT
        self.sock = BoundedSocket.around(self.sock, self._deadline, most)


def _too_slow() -> NoAnnouncement:
    return NoAnnouncement(
        "too-slow",
        "its answer took longer than the request's timeout",
        "check the elector's CPU limit",
    )


def _too_long() -> NoAnnouncement:
    return NoAnnouncement(
        "too-long",
        "its answer is longer than any announcement",
        "check that this URL is the elector's",
    )
