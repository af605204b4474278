"""The probe that needs an HTTP client, which the others need not load."""

import http.client
import urllib.parse

from leaderexec.election.http_client import Connection
from leaderexec.health.probes import Probe

# Only the status counts, but headers are read.
_MOST = 64 * 1024
_REFUSED = 400
# An error of http.client repeats the line that it could not read.
_MOST_WORDS = 200


class HttpProbe(Probe):
    """A GET that has to return 2xx or 3xx, within one deadline for all of it."""

    name = "health-http"

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def ask(self, timeout: float) -> str | None:
        """Ask; see Probe."""
        connection = Connection(self._host, self._port)
        connection.bound(timeout, _MOST)
        try:
            connection.request("GET", self._target, headers={"Connection": "close"})
            status = connection.getresponse().status
        except TimeoutError:
            return f"no answer within {timeout:g}s"
        except (OSError, http.client.HTTPException) as error:
            return f"no answer: {error or type(error).__name__}"[:_MOST_WORDS]
        finally:
            connection.close()
        return None if status < _REFUSED else f"answered with {status}"
