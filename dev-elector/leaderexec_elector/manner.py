"""How a response is written: the real elector's way, or as the set faults change it. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus

from leaderexec_elector import wire


class Moment(Enum):
    """What is about to be written."""

    GET = auto()
    CONNECT = auto()
    ANNOUNCE = auto()


class Hold(Enum):
    """What is withheld forever."""

    NOTHING = auto()
    BODY = auto()
    ALL = auto()


class Cut(Enum):
    """How a connection is cut in mid-response."""

    RESET = auto()
    CLOSE = auto()


def _same(document: bytes) -> bytes:
    return document


def _plain(document: bytes, _number: int) -> bytes:
    return wire.event(document)


@dataclass(frozen=True, slots=True)
class Manner:
    """How a response, or an announcement on a stream, is written.

    `document` changes the JSON; `event` makes an event of it, given its number on the stream, from
    0. `prelude` opens a stream's body. `pace` is the pause after each byte in seconds, None for all
    bytes at once. `forget` keeps a stream open that no announcement reaches. `endless` appends
    a line that never ends.
    """

    status: int = 200
    location: str | None = None
    content_type: str | None = None
    document: Callable[[bytes], bytes] = _same
    event: Callable[[bytes, int], bytes] = _plain
    prelude: bytes = b""
    chunked: bool = True
    pace: float | None = None
    hold: Hold = Hold.NOTHING
    cut: Cut | None = None
    forget: bool = False
    endless: bool = False

    @property
    def whole(self) -> bool:
        """Whether even /sse gets a whole response, as there is no stream."""
        return self.status != HTTPStatus.OK
