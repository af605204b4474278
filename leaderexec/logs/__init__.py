"""leaderexec's own log on stderr, written by a separate thread.

The deciding thread only appends to a queue. A reader of stderr that has stopped reading must not
delay a stop; then lines are dropped and counted, and the count is logged once writing works again.
JSON lines need no library; those for a terminal are formatted by structlog, which the thread
imports. If no thread can be created, lines are written synchronously, as far as stderr takes them.

Field names that never change: timestamp (UTC, ISO 8601), level, event, identity; where they
apply: leader, term, pid, code, signal, reason, from, to, and durations ending in _seconds.
"""

import os
import select
import threading
import time

# The module queue would load heapq, too, for queues that are not used here.
from _queue import SimpleQueue
from collections.abc import Callable, Mapping
from contextlib import suppress

from leaderexec import optional_imports
from leaderexec.printable import printable
from leaderexec.process import fork_guard
from leaderexec.timestamps import rfc_3339

LEVELS = ("debug", "info", "warning", "error")
MOST_WAITING = 10_000
LONGEST_START = 10.0
_STDERR = 2
# Acquired to write to stderr, so that each line stays in one piece.
STDERR_TURN = threading.Lock()

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}

_Line = tuple[float, str, str, dict[str, object]]


class Logger:
    """One method per level."""

    def debug(self, event: str, **fields: object) -> None:
        """Log what is only of interest to a developer."""
        self.log("debug", event, **fields)

    def info(self, event: str, **fields: object) -> None:
        """Log what happened."""
        self.log("info", event, **fields)

    def warning(self, event: str, **fields: object) -> None:
        """Log what someone should look at in working hours."""
        self.log("warning", event, **fields)

    def error(self, event: str, **fields: object) -> None:
        """Log what someone should look at now."""
        self.log("error", event, **fields)

    def log(self, level: str, event: str, **fields: object) -> None:
        """Log at a level given by name."""
        raise NotImplementedError


class Held(Logger):
    """Lines of the deciding thread, delayed while it acts.

    Queueing a line wakes the writing thread, which then competes for the GIL (for up to
    sys.getswitchinterval()) with the start or the stop that the line is about.
    """

    def __init__(self, log: "Log") -> None:
        self._log = log
        self._lines: list[_Line] = []

    def log(self, level: str, event: str, **fields: object) -> None:
        """Keep a line, with the current time."""
        self._lines.append((time.time(), level, event, fields))

    def release(self) -> None:
        """Pass the lines on."""
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
        self._lines: SimpleQueue[_Line | threading.Event] = SimpleQueue()
        self._dropped = 0
        # Lines logged before the first one.
        self._early: list[_Line] | None = []
        self._first_line_turn = threading.Lock()
        # One thread at most: a second one would write lines out of order, and what it has taken is
        # lost at the exit.
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._started = False
        self._at_work = threading.Event()

    def begin(self, event: str, **fields: object) -> None:
        """Log the first line, and begin writing; lines logged earlier come after it."""
        self._queue_early((time.time(), "info", event, fields))
        self.start()

    def start(self) -> None:
        """Begin writing. Until then lines are kept."""
        self._started = True
        with self._starting:
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._write_all, name="log", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # Out of processes, or the sandbox forbids threads.
                self._write_now()
            else:
                self._thread = thread

    def log(self, level: str, event: str, **fields: object) -> None:
        """Queue one line; never waits, and drops the line if the queue is full."""
        self.put((time.time(), level, event, fields))

    def put(self, line: _Line) -> None:
        """Queue a line that was created before."""
        if not self._is_wanted(line):
            return
        if self._early is not None and self._is_early(line):
            return
        if self._lines.qsize() >= MOST_WAITING:
            self._dropped += 1
            return
        self._lines.put(line)
        if self._started and self._thread is None:
            self.start()

    def _is_wanted(self, line: _Line) -> bool:
        return LEVELS.index(line[1]) >= self._least

    def _queue_early(self, *first: _Line) -> None:
        """Queue these, and the lines that were kept."""
        with self._first_line_turn:
            for line in filter(self._is_wanted, (*first, *(self._early or ()))):
                self._lines.put(line)
            # Only now: what another thread logs meanwhile comes after them.
            self._early = None

    def _is_early(self, line: _Line) -> bool:
        with self._first_line_turn:
            if self._early is None:
                return False
            self._early.append(line)
            return True

    def flush(self, timeout: float) -> None:
        """Wait until everything queued has been written, at most `timeout` seconds from when the
        writing thread is at work: on a busy machine its start alone may take longer than that."""
        self._queue_early()
        self.start()
        if self._thread is None:
            return
        written = threading.Event()
        self._lines.put(written)
        if self._at_work.wait(LONGEST_START):
            written.wait(timeout)

    def _write_now(self) -> None:
        """Write everything queued from this thread; what stderr does not take is dropped."""
        while not self._lines.empty():
            line = self._lines.get()
            if not isinstance(line, threading.Event):
                _write(_json(self._fields(line)), wait=False)

    def _write_all(self) -> None:
        render, trouble = _renderer(self._form)
        self._at_work.set()
        if trouble is not None:
            reason = f"structlog can't be imported: {trouble}"
            self.warning("log lines as json", reason=reason, remedy="reinstall structlog")
        while True:
            line = self._lines.get()
            if isinstance(line, threading.Event):
                line.set()
                continue
            _write(render(self._fields(line)))
            dropped, self._dropped = self._dropped, 0
            if dropped:
                fields = {"lines": dropped, "reason": "stderr was not read fast enough"}
                line = (time.time(), "warning", "log lines dropped", fields)
                _write(render(self._fields(line)))

    def _fields(self, line: _Line) -> dict[str, object]:
        """Return a line's fields in reading order. A name that is reserved in Python (from) is
        passed with an underscore."""
        at, level, event, fields = line
        named = {name.rstrip("_"): value for name, value in (self._common | fields).items()}
        return {"timestamp": rfc_3339(at), "level": level, "event": event, **named}


_Render = Callable[[dict[str, object]], str]


def _renderer(form: str) -> tuple[_Render, Exception | None]:
    """Return the function that formats a line, and why it is not the requested one, if so."""
    on_terminal = os.isatty(_STDERR)
    if form == "json" or not (form == "console" or on_terminal):
        return _json, None
    try:
        with fork_guard.importing(), optional_imports.imports():
            import structlog
    except Exception as error:  # noqa: BLE001 - an installation can be broken in any way
        return _json, error
    colors = on_terminal and not os.environ.get("NO_COLOR")
    console = structlog.dev.ConsoleRenderer(colors=colors, sort_keys=False)
    return lambda fields: str(console(None, "", _printable_fields(fields))), None


def _json(value: object) -> str:
    """Return JSON in printable characters, for any value: what JSON can't represent becomes text.

    Not with the json module: it would be loaded just for the first line, before the command starts,
    which takes a sixth of the time of Python's own start.
    """
    if isinstance(value, Mapping):
        pairs = (f"{_quoted(str(name))}: {_json(of)}" for name, of in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_json, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float) and abs(value) < float("inf"):
        return repr(value)
    return _quoted(str(value))


def _quoted(text: str) -> str:
    # JSON allows C1 controls, bidirectional overrides and so on unescaped; we don't.
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(one: str) -> str:
    if one in _ESCAPES:
        return _ESCAPES[one]
    if one.isprintable():
        return one
    # By its code units (RFC 8259, section 7).
    units = one.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _printable_fields(fields: Mapping[str, object]) -> dict[str, object]:
    return {
        name: printable(value) if isinstance(value, str) else value
        for name, value in fields.items()
    }


def _write(line: str, *, wait: bool = True) -> None:
    """Write a whole line to descriptor 2 directly, so that Python's buffers are not shared
    with anyone. Without `wait`, what can't be written immediately is dropped."""
    data = line.encode(errors="backslashreplace") + b"\n"
    waiting = select.poll()
    waiting.register(_STDERR, select.POLLOUT)
    # Closed, a full disk, a reader that went away: there is nowhere to report it.
    with STDERR_TURN, suppress(OSError):
        while data and (wait or waiting.poll(0)):
            try:
                data = data[os.write(_STDERR, data) :]
            except BlockingIOError:
                # Another user of this open file description made it non-blocking.
                waiting.poll()
