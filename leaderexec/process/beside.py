"""A program that runs beside the command for a short time: ``--health-cmd`` and ``--on-change``. It
is no part of the command's tree, and nothing waits for it.

Two threads share the work. One asks for a run, waits, reads the program's output, and gives up when
its time is over. The main thread, which alone forks, signals and reaps, does so when `serve` and
`take` are called from the main loop, and never waits.
"""

import os
import select
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from leaderexec.core.actions import Job
from leaderexec.core.events import Event, Exited
from leaderexec.core.record import Record
from leaderexec.process import limits
from leaderexec.process.command import Command

# What is kept of what it prints.
_MOST_LINES = 3
_MOST_BYTES = 2048
_LONGEST_LINE = 200
_CHUNK = 65536


class Answer(Record):
    """What came of a run: what was wrong, None if nothing was, and the last lines that the program
    printed."""

    failure: str | None
    output: tuple[str, ...] = ()


class _Question:
    """One run of the program, from the wish to the answer. `outputs` are to be read from."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.outputs: tuple[int, ...] = ()
        self.started = False
        self.answered = False
        self.failure: str | None = None
        # The result is no longer awaited.
        self.given_up = False


class Beside:
    """One such program, one process at a time. It has to end with 0."""

    def __init__(self, job: Job, command: Command, wake: Callable[[], None]) -> None:
        """`wake` makes the deciding loop turn. Raises OSError where descriptors have run out."""
        self._job = job
        self._command = command
        self._wake = wake
        self._question: _Question | None = None
        # The one that the program runs for: the main thread's.
        self._running: _Question | None = None
        # Held to hand descriptors over, never to wait.
        self._turn = threading.Lock()
        self._woken = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        command.follow = self._take_outputs

    # For the thread that asks.

    def run(self, environ: Mapping[str, str], timeout: float) -> Answer:
        """Run it with these variables added, for at most `timeout` seconds; return what came of
        it."""
        give_up = time.monotonic() + timeout
        question = self._question = _Question(environ)
        printed = _Tail()
        self._wake()
        try:
            while not question.answered and (left := give_up - time.monotonic()) > 0:
                self._read(question, printed, left)
            failure = question.failure if question.answered else _why_late(question, timeout)
        finally:
            self._finish(question, printed)
        return Answer(failure, printed.lines())

    def _read(self, question: _Question, printed: "_Tail", timeout: float) -> None:
        """Wait for output, or to be woken."""
        waiting = select.poll()
        for descriptor in (self._woken, *question.outputs):
            waiting.register(descriptor, select.POLLIN)
        for descriptor, _ in waiting.poll(timeout * 1000):
            if descriptor == self._woken:
                with suppress(BlockingIOError):
                    os.eventfd_read(descriptor)
            elif not printed.read(descriptor):
                with self._turn:
                    question.outputs = tuple(x for x in question.outputs if x != descriptor)
                os.close(descriptor)

    def _finish(self, question: _Question, printed: "_Tail") -> None:
        """Take what is in the pipes now, and leave nothing behind."""
        with self._turn:
            question.given_up = True
            outputs, question.outputs = question.outputs, ()
        for descriptor in outputs:
            os.set_blocking(descriptor, False)
            with suppress(BlockingIOError):
                printed.read(descriptor)
            os.close(descriptor)
        if not question.answered:
            self._wake()

    # For the main thread.

    def serve(self, *, wanted: bool) -> None:
        """Start the program where a run is asked for, if that is still `wanted`; kill it where it
        is not, or its time is over."""
        question, running = self._question, self._running
        if running is not None and (running.given_up or not wanted):
            self._command.kill()
        if question is None or question is running or question.answered or question.given_up:
            return
        if not wanted:
            self._answer(question, "was not run: the command is being stopped")
        elif running is None:
            self._start(question)

    def take(self, reaped: Iterable[Event]) -> list[Event]:
        """Take the program's end; return the other events."""
        others = []
        for event in reaped:
            if isinstance(event, Exited) and event.job is self._job:
                self._ended(event)
            else:
                others.append(event)
        return others

    def end(self) -> None:
        """Kill it for good."""
        self.serve(wanted=False)

    def _ended(self, exited: Exited) -> None:
        running, self._running = self._running, None
        if running is not None:
            ended = f"ended with {exited.code}" if exited.code else None
            self._answer(running, exited.failure or ended)

    def _start(self, question: _Question) -> None:
        self._running = question
        question.started = True
        try:
            self._command.start(question.environ)
        except OSError as error:
            self._running = None
            self._answer(question, f"could not be run: {error}; {limits.of_processes()}")

    def _take_outputs(self, outputs: tuple[int, ...], _pid: int, _told: Mapping[str, str]) -> None:
        running = self._running
        with self._turn:
            if running is not None and not running.given_up:
                running.outputs, outputs = outputs, ()
        for descriptor in outputs:
            os.close(descriptor)
        os.eventfd_write(self._woken, 1)

    def _answer(self, question: _Question, failure: str | None) -> None:
        question.failure = failure
        question.answered = True
        os.eventfd_write(self._woken, 1)


def _why_late(question: _Question, timeout: float) -> str:
    if question.started:
        return f"took longer than {timeout:g}s"
    return f"was not started within {timeout:g}s: the one before still runs, and can't be killed"


class _Tail:
    """The end of what was printed."""

    def __init__(self) -> None:
        self._kept: dict[int, bytes] = {}

    def read(self, descriptor: int) -> bool:
        """Read what there is; return False at its end."""
        data = os.read(descriptor, _CHUNK)
        self._kept[descriptor] = (self._kept.get(descriptor, b"") + data)[-_MOST_BYTES:]
        return bool(data)

    def lines(self) -> tuple[str, ...]:
        """Return the last lines: of stdout, then of stderr, where reasons stand."""
        text = b"\n".join(kept for _, kept in sorted(self._kept.items())).decode(errors="replace")
        lines = [line.strip()[:_LONGEST_LINE] for line in text.splitlines()]
        return tuple([line for line in lines if line][-_MOST_LINES:])
