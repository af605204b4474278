"""The faults: what each does, how a client should cope, and how it changes a response. Pure.

Most faults change the manner of a response; those that `strike` also hit, once, the streams that
are open when they are set. `refuse`, `restart` and `flap` are a sequence of events, which the
server runs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from leaderexec_elector import wire
from leaderexec_elector.manner import Cut, Hold, Manner, Moment
from leaderexec_elector.settings import choice, duration, header_value, integer, names

Values = Mapping[str, Any]
Change = Callable[[Manner, Values, Moment], Manner]

_ALL = frozenset(Moment)
_HEADS = frozenset({Moment.GET, Moment.CONNECT})
_STREAM = frozenset({Moment.CONNECT, Moment.ANNOUNCE})
_ONLY = {"get": frozenset({Moment.GET}), "sse": _STREAM}
_MOST = 1_000_000


class FaultError(ValueError):
    """There is no such fault or setting; the message says what is allowed."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A fault's setting: how its text is read, its default text, and its meaning."""

    read: Callable[[str], Any]
    default: str | None
    meaning: str


@dataclass(frozen=True, slots=True)
class Fault:
    """A row of the table. Without a `change` the server runs the fault's course.

    `at` are the moments it can apply to; `uses` and `only` are the defaults of `count` and `only`.
    """

    name: str
    does: str
    cope: str
    change: Change | None = None
    settings: Mapping[str, Setting] = field(default_factory=dict)
    at: frozenset[Moment] = _ALL
    strikes: bool = False
    uses: int | None = None
    only: str | None = None

    @property
    def limits(self) -> Mapping[str, Setting]:
        """The settings that all faults with a `change` share, as far as they make sense."""
        if self.change is None:
            return {}
        uses = "always" if self.uses is None else str(self.uses)
        count = Setting(_uses, uses, "clear after this many responses and announcements")
        if Moment.GET in self.at and self.at & _STREAM:
            return {"only": Setting(choice(*_ONLY), self.only, "get or sse"), "count": count}
        return {"count": count}


@dataclass(slots=True, eq=False)
class Armed:
    """A fault with its settings; `left` is how often it still applies, None for always."""

    fault: Fault
    values: Values
    left: int | None

    def applies(self, moment: Moment) -> bool:
        """Whether this response is affected."""
        only = self.values.get("only")
        if self.fault.change is None or moment not in self.fault.at:
            return False
        return only is None or moment in _ONLY[only]

    def change(self, manner: Manner, moment: Moment) -> Manner:
        """Change the manner of a response."""
        return self.fault.change(manner, self.values, moment) if self.fault.change else manner

    def shown(self) -> dict[str, Any]:
        """Return the fault for `/dev/state`; durations are in seconds."""
        values = {key: value for key, value in self.values.items() if value is not None}
        count = {"count": self.left} if self.left else {}
        return {"name": self.fault.name, **values, **count}


def arm(name: str, texts: Mapping[str, str]) -> Armed:
    """Read a fault's settings. Raises FaultError."""
    fault = FAULTS[known(name)]
    settings = {**fault.settings, **fault.limits}
    for key in texts:
        if key not in settings:
            allowed = ", ".join(settings) or "none"
            raise FaultError(f"{name}: no setting {key!r}: allowed are {allowed}")
    values = {key: _value(name, key, each, texts) for key, each in settings.items()}
    return Armed(fault, values, values.pop("count", None))


def known(name: str) -> str:
    """Check that there is such a fault. Raises FaultError."""
    if name not in FAULTS:
        raise FaultError(f"fault {name!r} is not known: use one of {', '.join(FAULTS)}")
    return name


def written(text: str) -> tuple[str, dict[str, str]]:
    """Read `name:key=value,key=value`. Raises FaultError."""
    name, _, rest = text.partition(":")
    texts = {}
    for item in filter(None, rest.split(",")):
        key, equals, value = item.partition("=")
        if not equals:
            raise FaultError(f"{name}: {item!r} is not a setting: write key=value,key=value")
        texts[key] = value
    return name, texts


def table() -> str:
    """Return the help for all faults."""
    return "\n".join(_row(fault) for fault in FAULTS.values())


def _row(fault: Fault) -> str:
    lines = [f"  {fault.name}: {fault.does}", f"      the client: {fault.cope}"]
    for key, setting in {**fault.settings, **fault.limits}.items():
        default = "" if setting.default is None else f" (default {setting.default})"
        lines.append(f"      {key}= {setting.meaning}{default}")
    return "\n".join(lines)


def _value(name: str, key: str, setting: Setting, texts: Mapping[str, str]) -> Any:
    text = texts.get(key, setting.default)
    try:
        return None if text is None else setting.read(text)
    except ValueError as error:
        raise FaultError(f"{name}: {key}={text!r}: {error}") from None


def _uses(text: str) -> int | None:
    return None if text == "always" else integer(1, _MOST)(text)


def _silence(manner: Manner, _values: Values, _moment: Moment) -> Manner:
    return replace(manner, hold=Hold.ALL)


def _half_open(manner: Manner, _values: Values, _moment: Moment) -> Manner:
    return replace(manner, hold=Hold.BODY, forget=True)


def _drop_subscriber(manner: Manner, _values: Values, _moment: Moment) -> Manner:
    return replace(manner, forget=True)


def _reset(manner: Manner, _values: Values, _moment: Moment) -> Manner:
    return replace(manner, cut=Cut.RESET)


def _truncate(manner: Manner, _values: Values, _moment: Moment) -> Manner:
    return replace(manner, cut=Cut.CLOSE)


def _slow(manner: Manner, values: Values, _moment: Moment) -> Manner:
    return replace(manner, pace=values["delay"])


def _split(manner: Manner, _values: Values, _moment: Moment) -> Manner:
    return replace(manner, pace=0.0)


GARBAGE = {
    "text": b"not json",
    "utf8": b'{"name":"\xff\xfe"}',
    "array": b'["app-a"]',
    "number": b"42",
    "name-number": b'{"name":42,"last_update":"2026-01-01T00:00:00Z"}',
    "name-null": b'{"name":null,"last_update":"2026-01-01T00:00:00Z"}',
    "html": b"<!doctype html><title>503 Service Unavailable</title>",
}


def _garbage(manner: Manner, values: Values, _moment: Moment) -> Manner:
    return replace(manner, document=lambda _document: GARBAGE[values["kind"]])


def _oversized(manner: Manner, values: Values, moment: Moment) -> Manner:
    kind, size = values["kind"], values["size"]
    if (moment is Moment.GET) != (kind == "get"):
        return manner
    if kind == "line":
        return replace(manner, endless=True)
    if kind == "get":
        return replace(manner, document=lambda document: b" " * (size - len(document)) + document)
    return replace(manner, event=lambda document, _number: _long_event(document, size))


def _long_event(document: bytes, size: int) -> bytes:
    # Short lines of spaces, which JSON allows: only the whole event is too long.
    line = b"data: " + b" " * 1017 + b"\n"
    return line * (size // len(line) + 1) + wire.event(document)


def _empty(manner: Manner, _values: Values, _moment: Moment) -> Manner:
    return replace(manner, document=lambda _document: b"{}")


def _redirect(manner: Manner, values: Values, _moment: Moment) -> Manner:
    return replace(manner, status=values["status"], location=values["to"])


def _status(manner: Manner, values: Values, _moment: Moment) -> Manner:
    return replace(manner, status=values["status"])


def _content_type(manner: Manner, values: Values, _moment: Moment) -> Manner:
    return replace(manner, content_type=values["value"])


def _bom(manner: Manner, _values: Values, _moment: Moment) -> Manner:
    return replace(manner, prelude=b"\xef\xbb\xbf")


# A CR then a LF would be one line end, so no pair ends the line with a bare CR before a LF.
_LINE_ENDS = ((b"\n", b"\r"), (b"\r\n", b"\n"), (b"\r", b"\r\n"), (b"\r", b"\r"))


def _mixed_newlines(manner: Manner, _values: Values, _moment: Moment) -> Manner:
    def event(document: bytes, number: int) -> bytes:
        return b"data: " + document + b"".join(_LINE_ENDS[number % len(_LINE_ENDS)])

    return replace(manner, event=event)


def _not_chunked(manner: Manner, _values: Values, _moment: Moment) -> Manner:
    return replace(manner, chunked=False)


_ROWS = (
    Fault(
        "refuse",
        "stops listening: new connections are refused, open ones continue",
        "retry with a backoff; leadership stays until the contact timeout",
        settings={"for": Setting(duration, None, "listen again after this time")},
    ),
    Fault(
        "reset",
        "resets the open streams (RST) in mid-event, or the next one if none is open",
        "drop the half event and reconnect",
        _reset,
        strikes=True,
        uses=1,
        only="sse",
    ),
    Fault(
        "half-open",
        "streams stay open and never carry anything again; a new one gets only its headers",
        "silence is normal on a stream: find out by GET, never reconnect because of it",
        _half_open,
        at=_STREAM,
        strikes=True,
    ),
    Fault(
        "silence",
        "a hung elector: accepts connections and never responds; open streams fall silent",
        "time the GET out; leadership is unconfirmed after the contact timeout",
        _silence,
    ),
    Fault(
        "slow",
        "writes a response byte by byte with pauses",
        "wait for the rest within the request's timeout; decide nothing from a part",
        _slow,
        {"delay": Setting(duration, "10ms", "the pause after each byte")},
    ),
    Fault(
        "garbage",
        "announces something that is not an announcement",
        "change nothing, log it once, don't count it as contact",
        _garbage,
        {"kind": Setting(choice(*GARBAGE), "text", " or ".join(GARBAGE))},
    ),
    Fault(
        "oversized",
        "sends more than an announcement can be: an endless line, or a long event or response",
        "limit the buffer, change nothing, log it once",
        _oversized,
        {
            "kind": Setting(choice("line", "event", "get"), "line", "line or event or get"),
            "size": Setting(integer(1, 1 << 30), str(1 << 20), "bytes of an event or answer"),
        },
    ),
    Fault(
        "redirect",
        "responds with a redirect, by default to itself, where following it is served and counted",
        "do not follow, there are no redirects on loopback; don't count it as contact",
        _redirect,
        {
            "status": Setting(integer(300, 399), "302", "300 to 399"),
            "to": Setting(header_value, "/?followed", "the location"),
        },
        at=_HEADS,
    ),
    Fault(
        "500",
        "responds with an error",
        "change nothing, log it once, retry with a backoff",
        _status,
        {"status": Setting(integer(400, 599), "500", "400 to 599")},
        at=_HEADS,
    ),
    Fault(
        "content-type",
        "responds as usual, but with a wrong content type",
        "accept no response of another type",
        _content_type,
        {"value": Setting(header_value, "text/html", "the content type")},
        at=_HEADS,
    ),
    Fault(
        "drop-subscriber",
        "forgets the open streams, or the next one after its first event; they stay open",
        "find out by GET",
        _drop_subscriber,
        at=frozenset({Moment.CONNECT}),
        strikes=True,
        uses=1,
    ),
    Fault(
        "restart",
        "exits like on SIGTERM, refuses, comes back, at first with no election held",
        "the same pod keeps leading: no loss within the contact timeout",
        settings={
            "for": Setting(duration, "1s", "refuse for this time"),
            "empty": Setting(duration, "0s", "then respond with {} for this time"),
        },
    ),
    Fault(
        "flap",
        "moves leadership from one name to the next and on, within milliseconds",
        "follow the last; a command that was started is stopped first",
        settings={
            "names": Setting(names, None, "a/b/a (default: two candidates in turn)"),
            "gap": Setting(duration, "10ms", "the pause between two moves"),
            "times": Setting(integer(1, _MOST), "1", "how often to go through the names"),
            "final": Setting(str, None, "who leads in the end (default: the leader before)"),
        },
    ),
    Fault(
        "empty",
        "answers that no election was held: {}",
        "no leader is known: stay, or become, a standby",
        _empty,
    ),
    Fault(
        "truncate",
        "ends an answer cleanly after half an event",
        "discard what no blank line closed",
        _truncate,
        strikes=True,
        uses=1,
        only="sse",
    ),
    Fault(
        "bom",
        "opens a stream with a byte order mark",
        "strip it",
        _bom,
        at=frozenset({Moment.CONNECT}),
    ),
    Fault(
        "mixed-newlines",
        "ends the lines of events by LF, CR LF and CR in turn",
        "take each as an end of line",
        _mixed_newlines,
        at=_STREAM,
    ),
    Fault(
        "not-chunked",
        "sends a stream without chunks, until the close",
        "read what is there; do not wait for a full buffer",
        _not_chunked,
        at=frozenset({Moment.CONNECT}),
    ),
    Fault(
        "split",
        "writes an answer byte by byte without a pause",
        "put together what belongs together",
        _split,
    ),
)

FAULTS: Mapping[str, Fault] = {fault.name: fault for fault in _ROWS}
