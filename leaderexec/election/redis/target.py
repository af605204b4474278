"""Where Redis is: a URL for redis-py, or one that names a Sentinel's service."""

import re
from typing import NamedTuple

_HIDDEN = "***"
_SENTINEL_PORT = 26379
_DIRECT = ("redis", "rediss", "unix")
_PASSWORD = r"([?&][^=&]*password[^=&]*=)([^&#]*)"  # noqa: S105 - not one
ALLOWED = (
    "redis://HOST[:PORT][/DB], rediss:// for TLS, unix://PATH, or"
    " redis+sentinel://HOST[:PORT][,HOST[:PORT]]/SERVICE[/DB], each with USER:PASSWORD@ if need be"
)


class Service(NamedTuple):
    """A master's name, and the Sentinels that know where it is. `url`: the rest, for redis-py."""

    sentinels: tuple[tuple[str, int], ...]
    name: str
    url: str


class RedisUrl:
    """A URL. What it is shown as has no password in it."""

    def __init__(self, text: str) -> None:
        self.text = text

    @property
    def is_known(self) -> bool:
        """True if the form is one that is understood."""
        scheme, separator, _ = self.text.partition("://")
        return bool(separator) and (scheme in _DIRECT or self.service() is not None)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is hidden, as written and as meant."""
        from urllib.parse import unquote, unquote_plus

        found = [password for _, password in re.findall(_PASSWORD, self.text)]
        rest = self.text.partition("://")[2]
        if "@" in rest:
            found.append(rest.rpartition("@")[0].partition(":")[2])
        return tuple(
            text for one in found for text in (one, unquote(one), unquote_plus(one)) if text
        )

    def service(self) -> Service | None:
        """Return what a Sentinel is asked for; None where there is none to ask."""
        match = re.fullmatch(
            r"(rediss?)\+sentinel://([^@/?#]*@)?([^/?#@]+)/([^/?#]+)(/[0-9]+)?(\?[^#]*)?", self.text
        )
        if match is None:
            return None
        scheme, user, hosts, name, database, query = match.groups(default="")
        sentinels = []
        for host in hosts.split(","):
            place = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?", host)
            if place is None:
                return None
            sentinels.append((place[1].strip("[]"), int(place[2] or _SENTINEL_PORT)))
        return Service(tuple(sentinels), name, f"{scheme}://{user}ignored{database}{query}")

    def __str__(self) -> str:
        scheme, separator, rest = self.text.partition("://")
        if not separator:
            # It may be anything, a password too.
            return _HIDDEN
        user, at, place = rest.rpartition("@")
        name, colon, _ = user.partition(":")
        shown = f"{scheme}://{name}{colon and f':{_HIDDEN}'}{at}{place}"
        return re.sub(_PASSWORD, rf"\1{_HIDDEN}", shown)

    def __repr__(self) -> str:
        return f"RedisUrl({str(self)!r})"
