"""What lies in a lock file, what the command prints and says, and what is set."""

import atexit
import base64
import json
import os
import re
import socket
from functools import cache
from unittest import mock

from fuzz.targets.target import Target, check_shown, cuts

from leaderexec import logs
from leaderexec.config import options, settings
from leaderexec.config.options import UsageError
from leaderexec.core.actions import Job
from leaderexec.core.events import Health, Ready
from leaderexec.core.run import Run
from leaderexec.election import holder, lockfile
from leaderexec.election.lockfile import CannotLock
from leaderexec.health.notify import LONGEST_STATUS, MOST_BYTES, Notifications, fields
from leaderexec.logs import Log
from leaderexec.stdio.framing import Json, Lines, Prefixed, Source

_NAME = "app-ä"
_SOURCE = Source(_NAME, 3, "stderr", 4711)
_LONGEST_LINE = 32
_NOW = "2026-01-02T03:04:05.000Z"
# Besides printable ASCII: what JSON leaves as it is, and a terminal shows.
_CONTROLS = re.compile(rb"[\x00-\x09\x0b-\x1f]")


@cache
def _file() -> tuple[str, int]:
    descriptor = os.memfd_create("lock")
    return f"/proc/self/fd/{descriptor}", descriptor


def lock_file(data: bytes) -> None:
    """A lock file is ours, or refused in words without being changed; taken again, its fence grows,
    what is foreign in it stays, and what is written can be read."""
    path, descriptor = _file()
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, data, 0)
    try:
        # Nobody else is writing.
        with mock.patch.multiple(lockfile, _TRIES=1, _RETRY_BASE=0):
            before = lockfile.read(path, descriptor)
    except CannotLock as error:
        check_shown(str(error), 400)
        assert os.pread(descriptor, len(data) + 1, 0) == data
        return
    held_by = holder.holder_of(before)
    if held_by is not None:
        assert held_by.name.isprintable()
        holder.has_ended(held_by)
    try:
        fence = lockfile.write_holder(path, descriptor, _NAME)
        lockfile.write_done(path, descriptor, "v1", _NAME)
    except CannotLock as error:
        check_shown(str(error), 400)
        return
    last = before.get("fence")
    assert fence == last + 1 if isinstance(last, int) else fence > 0
    after = lockfile.read(path, descriptor)
    assert lockfile.is_done(path, descriptor, "v1")
    ours = {*holder.ours(_NAME, fence), holder.DONE, holder.SLOTS}
    assert {name: after[name] for name in after if name not in ours} == {
        name: before[name] for name in before if name not in ours
    }
    assert after["name"] == _NAME


def prefixed(data: bytes) -> None:
    """However the command's output is cut, each line is in the marked output byte by byte."""
    head = f"{_NAME} 3 !".encode()
    for chunks in cuts(data):
        lines = _marked(Prefixed(_SOURCE, _LONGEST_LINE), chunks)
        found = b""
        for line in lines:
            assert line.startswith(head)
            found += line[len(head) + 1 :]
            found += b"" if line[len(head) :].startswith(b"+") else b"\n"
        _is_all(found, data)


def in_json(data: bytes) -> None:
    """However the command's output is cut, it becomes lines of JSON without raw control characters,
    in which each byte is accounted for."""
    originals = data.removesuffix(b"\n").split(b"\n") if data else []
    for chunks in cuts(data):
        lines = iter(_marked(Json(_SOURCE, lambda: _NOW, _LONGEST_LINE), chunks))
        for original in originals:
            line = next(lines)
            said = _object(line)
            own = _object(original) if len(original) <= _LONGEST_LINE else None
            if own is not None and said is not None:
                # Its own text is unchanged, with its own white space.
                assert original.strip(b" \t\r{}") in line
                assert json.dumps(said | own) == json.dumps(said)
                assert said.keys() >= {"timestamp", "identity", "term", "stream", "pid"}
                continue
            found = b""
            while True:
                assert said is not None
                assert _CONTROLS.search(line) is None
                assert (said["term"], said["timestamp"]) == (_SOURCE.term, _NOW)
                found += _bytes_of(said)
                if "partial" not in said:
                    break
                line = next(lines)
                said = _object(line)
            assert found == original
        assert next(lines, None) is None


def _object(line: bytes) -> dict[str, object] | None:
    """Return a line's JSON object (RFC 8259), None if it is none."""
    try:
        found = json.loads(line.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _bytes_of(said: dict[str, object]) -> bytes:
    """Return the bytes that an event stands for."""
    event = said["event"]
    assert isinstance(event, str)
    text = event.encode()
    coded = said.get("event_base64")
    if coded is None:
        return text
    raw = base64.b64decode(str(coded), validate=True)
    assert raw.decode(errors="backslashreplace").encode() == text
    return raw


def _marked(marking: Lines, chunks: list[bytes]) -> list[bytes]:
    written = b""
    for chunk in chunks:
        written += marking.feed(chunk)
        assert marking.held <= _LONGEST_LINE
    written += marking.end()
    assert not written or written.endswith(b"\n")
    return written[:-1].split(b"\n") if written else []


def _is_all(found: bytes, data: bytes) -> None:
    assert found == data or found == data + b"\n", (found, data)


def own_log(data: bytes) -> None:
    """A line of leaderexec's own log is one line of printable JSON, with each field as it was, and
    printable on a terminal, whatever text from elsewhere is in it."""
    for text in (data.decode(errors="replace"), data.decode(errors="surrogateescape")):
        line = logs._json({"event": "elector trouble", "reason": text, text: [text, 1, None]})
        assert line.isprintable()
        written = line.encode(errors="backslashreplace")
        assert json.loads(written)["reason"] == text
        shown = logs._printable_fields({"reason": text})["reason"]
        assert isinstance(shown, str)
        assert shown.isprintable()


@cache
def _listening() -> tuple[socket.socket, Notifications]:
    config = settings.load({"election": "off", "health-watchdog": "10s"}, ["true"], {}, "app-a")
    telling, hearing = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    hearing.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    hearing.setblocking(False)
    heard = Notifications(hearing.detach(), config, Log("error", "json"))
    atexit.register(telling.close)
    atexit.register(heard._socket.close)
    return telling, heard


def notification(data: bytes) -> None:
    """A message of the command's counts by its known fields, each of them an event, and unknown
    ones are ignored; its status is short and printable."""
    telling, heard = _listening()
    heard.follow(None)
    heard.follow(Run(Job.COMMAND, 100.0))
    heard._window = float("-inf")
    telling.send(data)
    events = list(heard.receive(os.getpid(), frozenset(), 101.0))
    assert heard.status.isprintable()
    assert len(heard.status) <= LONGEST_STATUS
    if len(data) > MOST_BYTES:
        assert events == []
        return
    said = fields(data)
    try:
        lines = re.split("[\r\n]", data.decode())
    except UnicodeDecodeError:
        lines = []
    assert (Ready(True) in events) == (said.get("READY") == "1")
    assert (Ready(False) in events) == (said.get("STOPPING") == "1")
    assert all(isinstance(one, Ready | Health) for one in events)
    # By sd_notify(3) a field is a line; systemd itself takes CR for a line's end as well.
    by_hand = dict(line.split("=", 1) for line in lines if "=" in line)
    assert said == by_hand, (said, by_hand)


def setting(data: bytes) -> None:
    """Options and variables are accepted, or refused by a short sentence that names one of them; an
    accepted value, written as it is shown, is read as the same."""
    texts = data.decode(errors="surrogateescape").split("\0")
    words = [text for text in texts if not text.startswith(options.PREFIX)]
    pairs = [text.split("=", 1) for text in texts if text.startswith(options.PREFIX)]
    environ = {pair[0]: pair[1] for pair in pairs if len(pair) > 1}
    # A word that is no option is quoted as it is, and once more with its escapes.
    longest = 7 * max(map(len, texts)) + 1000
    try:
        given, _ = options.parse(words, settings.OPTIONS)
        values = settings.settle(given, environ, "app-a", 7)
        settings.build(values, ["true"])
        settings.warnings(values, environ)
    except UsageError as error:
        said = str(error)
        check_shown(said, longest)
        assert "--" in said or options.PREFIX in said, said
        assert not re.search(
            r"Exceeds the limit|codec can't|invalid literal|could not convert", said
        ), said
        return
    for one in settings.OPTIONS:
        value = values[one.name].value
        options.show(one, value)
        if one.name in given or environ.get(one.variable):
            _is_the_same(one, given.get(one.name, environ.get(one.variable, "")))


def _is_the_same(one: options.Option, text: str) -> None:
    value = one.read(text)
    shown = options.show(one, value)
    if value is None or shown == "-":
        return
    # A URL with a password is shown without it.
    assert one.read(shown) == value or options.show(one, one.read(shown)) == shown, (text, shown)


_FLAGS = tuple(f"--{one.name}=" for one in settings.OPTIONS)
TARGETS = {
    "lock-file": Target(
        lock_file,
        512,
        (
            '{"name": "app-a", "pid": 1, "since": ""',
            ', "fence": ',
            ', "process": "',
            ', "done": "v1"',
            ', "slots": 3',
            "\\ud800",
            "9223372036854775807",
            "}\n",
        ),
    ),
    "output-prefix": Target(prefixed, 128, ("\n", "ä", "€")),
    "output-json": Target(
        in_json,
        128,
        ("\n", "ä", "€", '{"a": 1}', '{"term": ', '{"event": "', "{}", "NaN", "1e999", "\\ud800"),
    ),
    "own-log": Target(own_log, 64, ("\x1b[31m", "\u202e", "\x85", '"', "\\")),
    "notification": Target(
        notification,
        256,
        (
            "READY=1",
            "STOPPING=1",
            "WATCHDOG=1",
            "WATCHDOG=trigger",
            "STATUS=",
            "RELOADING=1",
            "BARRIER=1",
            "MAINPID=",
            "\n",
            "\r",
            "\u2028",
            "\x85",
        ),
    ),
    "setting": Target(
        setting,
        192,
        (
            "--election=off",
            *_FLAGS,
            "\0",
            "LEADEREXEC_GRACE=",
            "LEADEREXEC_LOCK_FILE=",
            "500ms",
            "10s",
            "RTMIN+3",
            "HUP=USR1",
            "auto",
            "never",
            "off",
            "http://localhost:4040/sse",
            "[::1]:8080",
            "unix:/run/a",
        ),
    ),
}
