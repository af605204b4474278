"""leaderexec's own log: structlog on stderr, written by a thread of its own.

The deciding thread only appends to a queue. A reader of stderr that has stopped reading must not
hold up a stop; then lines are dropped, counted, and the count is told once writing works again.
structlog is imported by the thread, after more urgent things have been started.

Fields that never change their name: timestamp (UTC, ISO 8601), level, event, identity; where they
apply: leader, term, pid, code, signal, reason, from, to, and durations ending in _seconds.
"""

import os
import queue
import select
import threading
import time
from collections.abc import MutableMapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from leaderexec import gate, lean

LEVELS = ("debug", "info", "warning", "error")
MOST_WAITING = 10_000
LONGEST_START = 10.0
_STDERR = 2
# Held to write to stderr, so that each line stays in one piece.
STDERR_TURN = threading.Lock()

_Line = tuple[float, str, str, dict[str, object]]


class Logger:
    """A level a method."""

    def debug(self, event: str, **fields: object) -> None:
        """Log what only a developer wants to know."""
        self.log("debug", event, **fields)

    def info(self, event: str, **fields: object) -> None:
        """Log what happened."""
        self.log("info", event, **fields)

    def warning(self, event: str, **fields: object) -> None:
        """Log what somebody should look at by day."""
        self.log("warning", event, **fields)

    def error(self, event: str, **fields: object) -> None:
        """Log what somebody should look at now."""
        self.log("error", event, **fields)

    def log(self, level: str, event: str, **fields: object) -> None:
        """Log at a level given by name."""
        raise NotImplementedError


class Held(Logger):
    """Lines of the deciding thread, held back while it acts.

    To queue a line wakes the writing thread, which then competes for the interpreter (the GIL,
    up to sys.getswitchinterval()) with the start or the stop that the line is about.
    """

    def __init__(self, log: "Log") -> None:
        self._log = log
        self._lines: list[_Line] = []

    def log(self, level: str, event: str, **fields: object) -> None:
        """Keep a line, with the time of now."""
        self._lines.append((time.time(), level, event, fields))

    def release(self) -> None:
        """Hand the lines on."""
        for line in self._lines:
            self._log.put(line)
        self._lines.clear()


class Log(Logger):
    """A bounded queue of log lines and the thread that writes them."""

    def __init__(self, level: str, form: str, **common: object) -> None:
        """`form` is json, console or auto (console on a terminal); `common` is in every line."""
        self._least = LEVELS.index(level)
        self._form = form
        self._common = common
        self._lines: queue.SimpleQueue[_Line | threading.Event] = queue.SimpleQueue()
        self._dropped = 0
        self._thread: threading.Thread | None = None
        self._started = False
        self._at_work = threading.Event()

    def start(self) -> None:
        """Begin writing. Until then lines are kept."""
        if self._thread is None:
            thread = threading.Thread(target=self._write_all, name="log", daemon=True)
            # Out of processes (RuntimeError): the next line tries again.
            with suppress(RuntimeError):
                thread.start()
                self._thread = thread
        self._started = True

    def log(self, level: str, event: str, **fields: object) -> None:
        """Queue one line; never waits, and drops the line when too many wait already."""
        self.put((time.time(), level, event, fields))

    def put(self, line: _Line) -> None:
        """Queue a line that was made before."""
        if LEVELS.index(line[1]) < self._least:
            return
        if self._lines.qsize() >= MOST_WAITING:
            self._dropped += 1
            return
        self._lines.put(line)
        if self._started and self._thread is None:
            self.start()

    def flush(self, timeout: float) -> None:
        """Wait until what is queued has been written, at most `timeout` seconds once the writing
        thread is at work: on a busy machine its own start may take longer than that."""
        self.start()
        written = threading.Event()
        self._lines.put(written)
        if self._at_work.wait(LONGEST_START):
            written.wait(timeout)

    def _write_all(self) -> None:
        logger = _structlog(self._form)
        self._at_work.set()
        while True:
            line = self._lines.get()
            if isinstance(line, threading.Event):
                line.set()
                continue
            at, level, event, fields = line
            getattr(logger, level)(event, timestamp=iso(at), **self._common, **fields)
            dropped, self._dropped = self._dropped, 0
            if dropped:
                logger.warning(
                    "log lines dropped",
                    timestamp=iso(time.time()),
                    **self._common,
                    lines=dropped,
                    reason="stderr was not read fast enough",
                )


def iso(at: float) -> str:
    """Return a moment as every line has it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _structlog(form: str) -> Any:
    with gate.importing(), lean.imports():
        import structlog

    on_terminal = os.isatty(_STDERR)
    if form == "console" or (form == "auto" and on_terminal):
        colors = on_terminal and not os.environ.get("NO_COLOR")
        renderer: Any = structlog.dev.ConsoleRenderer(colors=colors, sort_keys=False)
        cleaned: list[Any] = [_printable]
    else:
        renderer = structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
        cleaned = []
    return structlog.wrap_logger(
        _Stderr(),
        processors=[structlog.processors.add_log_level, _in_reading_order, *cleaned, renderer],
        wrapper_class=structlog.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _in_reading_order(
    _logger: object, _method: str, line: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    first = {name: line.pop(name) for name in ("timestamp", "level", "event")}
    return {**first, **{name.rstrip("_"): value for name, value in line.items()}}


def _printable(
    _logger: object, _method: str, line: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Escape what would steer the terminal: names and reasons come from elsewhere."""
    return {name: _escaped(value) for name, value in line.items()}


def _escaped(value: Any) -> Any:
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in value)


class _Stderr:
    """Writes whole lines to descriptor 2 itself, so that nothing of Python's buffering is shared
    with anyone."""

    def msg(self, line: str) -> None:
        data = line.encode(errors="backslashreplace") + b"\n"
        # Closed, a full disk, a reader that went away: nobody is left to tell.
        with STDERR_TURN, suppress(OSError):
            while data:
                data = data[self._write(data) :]

    debug = info = warning = error = msg

    def _write(self, data: bytes) -> int:
        try:
            return os.write(_STDERR, data)
        except BlockingIOError:
            # Whoever shares this open file description made it non-blocking.
            waiting = select.poll()
            waiting.register(_STDERR, select.POLLOUT)
            waiting.poll()
            return 0
