"""Requests to the elector: for its stream, and for the leader, for the cross-check, probes, scripts
and ``is_leader()``. Never a guess."""

import http.client
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

from leaderexec._version import __version__
from leaderexec.election.elector.announcement import (
    MAX_ANNOUNCEMENT,
    Malformed,
    in_full,
    parse,
)
from leaderexec.election.http_client import BoundedSocket, Connection, TooLong, TooSlow
from leaderexec.election.kind import ElectionUnknown

_OK = 200
# For everything but the body: headers, interim responses (100 Continue), chunk sizes.
MAX_HEAD = 16384
# An elector that has just restarted knows no leader for about 100 to 400 ms.
_ASK_AGAIN = 0.1


class NoAnnouncement(Exception):
    """The elector's response is not an announcement. `kind` groups what is logged once; `remedy`
    says what to do."""

    def __init__(self, kind: str, found: str, remedy: str) -> None:
        super().__init__(found)
        self.kind = kind
        self.remedy = remedy


@contextmanager
def ask(
    url: str,
    media_type: str,
    timeout: float,
    most: int,
    opened: Callable[[BoundedSocket], None] = lambda _: None,
) -> Iterator[http.client.HTTPResponse]:
    """Send a GET and yield its response, of which only the head is read. `timeout` seconds and
    `most` bytes limit all of it, until the socket, which is passed to `opened`, is unbound.

    Raises NoAnnouncement for anything but this media type with status 200 within these bounds,
    OSError if there is no response, and http.client.HTTPException if it is not HTTP.
    """
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {
        "User-Agent": f"leaderexec/{__version__}",
        "Accept": media_type,
        "Cache-Control": "no-cache",
        "Connection": "close",
    }
    with (
        _naming_bounds(),
        closing(Connection(parts.hostname or "", parts.port or 80)) as connection,
    ):
        connection.bound(timeout, most)
        connection.connect()
        opened(connection.sock)
        connection.request("GET", target, headers=headers)
        with connection.getresponse() as response:
            _check_head(response, media_type)
            yield response


def fetch(url: str, timeout: float) -> bytes:
    """Return the body of a GET, within `timeout` seconds for all of it; raises as `ask` does."""
    with ask(url, "application/json", timeout, MAX_HEAD + MAX_ANNOUNCEMENT) as response:
        body = response.read(MAX_ANNOUNCEMENT + 1)
        if len(body) > MAX_ANNOUNCEMENT:
            raise TooLong
    return body


@contextmanager
def _naming_bounds() -> Iterator[None]:
    try:
        yield
    except TooSlow as error:
        raise NoAnnouncement("too-slow", str(error), "check the elector's CPU limit") from None
    except TooLong as error:
        raise NoAnnouncement(
            "too-long", str(error), "check that this URL is the elector's"
        ) from None


def _check_head(response: http.client.HTTPResponse, media_type: str) -> None:
    """Raise NoAnnouncement unless this is the head of an elector's response."""
    status = response.status
    location = response.headers.get("Location")
    if 300 <= status < 400 and location is not None:  # noqa: PLR2004 - HTTP
        raise NoAnnouncement(
            "redirect",
            f"it redirects ({status}) to {location[:80]!r}",
            "set the URL to the elector itself; redirects are not followed",
        )
    if status != _OK:
        raise NoAnnouncement(
            f"http-{status}",
            f"it responded with {status} {response.reason}"[:80],
            "check that this URL is the elector's, and the elector's own log",
        )
    found = response.headers.get("Content-Type", "")
    if found.partition(";")[0].strip().lower() != media_type:
        raise NoAnnouncement(
            "content-type",
            f"it responded with content type {found[:80]!r} instead of {media_type}",
            "check that this URL is the elector's",
        )


def ask_elector(url: str, identity: str, timeout: float) -> str:
    """Return the leader's name; if that is us, the full identity, even if it is longer than what
    the elector announces. While the elector knows no leader, it is asked again.

    `timeout` is in seconds, for all of it. Raises ElectionUnknown if there is no announcement.
    """
    give_up = time.monotonic() + timeout
    knew_none = False
    while True:
        try:
            leader = _ask_once(url, max(_ASK_AGAIN, give_up - time.monotonic()))
        except ElectionUnknown as error:
            if not knew_none:
                raise
            # What was left of the time may only have been too short for another response.
            raise ElectionUnknown(f"{error}; before that, it knew no leader") from None
        if leader is not None:
            return in_full(leader, identity)
        knew_none = True
        if time.monotonic() + _ASK_AGAIN > give_up:
            raise ElectionUnknown(
                f"the elector at {url} knew no leader for {timeout:g}s; check its own log:"
                " it may be unable to reach the API server"
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
            f"the elector at {url} can't be reached: {error or type(error).__name__};"
            " check its container and the URL"
        ) from None
