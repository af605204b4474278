"""Asking once who leads, for probes, scripts and ``is_leader()``: light, and never a guess."""

import http.client
from urllib.parse import urlsplit

from leaderexec._version import __version__
from leaderexec.core.announcement import MAX_ANNOUNCEMENT, Malformed, in_full, parse

_OK = 200


class ElectionUnknown(Exception):
    """It can't be told who leads; the message says why and what to do."""


def ask_elector(url: str, identity: str, timeout: float) -> str | None:
    """Return the leader's name by one GET; None when the elector knows of nobody. Ours comes as the
    identity, also where it is longer than what the elector announces.

    `timeout` is in seconds, for connecting and for each read. Raises ElectionUnknown for anything
    but an announcement: no answer, another status, a redirect, another media type, other content.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=timeout)
    try:
        target = parts.path or "/"
        if parts.query:
            target += f"?{parts.query}"
        headers = {"User-Agent": f"leaderexec/{__version__}", "Accept": "application/json"}
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        if response.status != _OK:
            raise ElectionUnknown(
                f"the elector at {url} answered {response.status} {response.reason};"
                " check that the URL is the elector's"
            )
        media_type = (response.getheader("Content-Type") or "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise ElectionUnknown(
                f"{url} answered with content type {media_type!r} instead of application/json;"
                " check that the URL is the elector's"
            )
        leader = parse(response.read(MAX_ANNOUNCEMENT + 1))
        return None if leader is None else in_full(leader, identity)
    except Malformed as error:
        raise ElectionUnknown(f"{error} (from {url})") from None
    except (OSError, http.client.HTTPException) as error:
        raise ElectionUnknown(
            f"the elector at {url} can't be asked: {error or type(error).__name__};"
            " check its container and the URL"
        ) from None
    finally:
        connection.close()
