"""The probe that is a program: ``--health-cmd``.

Two threads share the work. The probing thread waits, reads the program's output, and gives up when
its time is over. The main thread, which alone forks, signals and reaps, does so when `serve` and
`take` are called from the main loop, and never waits.
"""

import os
import select
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from leaderexec.core.events import Exited
from leaderexec.health.probes import Probe
from leaderexec.process import limits
from leaderexec.process.command import Command

# What is kept of what it prints.
_MOST_LINES = 3
_MOST_BYTES = 2048
_LONGEST_LINE = 200
_CHUNK = 65536


class _Question:
    """One run of the program, from the wish to the answer. `outputs` are to be read from."""

    def __init__(self) -> None:
        self.outputs: tuple[int, ...] = ()
        self.answered = False
        self.failure: str | None = None
        # The result is no longer awaited.
        self.given_up = False


class CommandProbe(Probe):
    """A program that has to end with 0."""

    name = "health-cmd"

    def __init__(self, command: Command, wake: Callable[[], None]) -> None:
        """`wake` makes the deciding loop turn. Raises OSError where descriptors have run out."""
        self._command = command
        self._wake = wake
        self._environ: Mapping[str, str] = {}
        self._question: _Question | None = None
        # The one that the program runs for: the main thread's.
        self._running: _Question | None = None
        # Held to hand descriptors over, never to wait.
        self._turn = threading.Lock()
        self._woken = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        command.follow = self._take_outputs

    # For the thread that asks.

    def ask(self, timeout: float) -> str | None:
        """Ask; see Probe."""
        give_up = time.monotonic() + timeout
        question = self._question = _Question()
        printed = _Tail()
        self._wake()
        try:
            while not question.answered:
                left = give_up - time.monotonic()
                if left <= 0:
                    return f"took longer than {timeout:g}s"
                self._read(question, printed, left)
            return question.failure
        finally:
            self._finish(question, printed)

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
        self.output = printed.lines()
        if not question.answered:
            self._wake()

    # For the main thread.

    def tell(self, environ: Mapping[str, str]) -> None:
        """Take what the command was told by its environment: a question is told the same."""
        self._environ = environ

    def serve(self, *, wanted: bool) -> None:
        """Start the program where one is asked for, if the answer is still `wanted`; kill it where
        it is not, or its time is over."""
        question, running = self._question, self._running
        if running is not None and (running.given_up or not wanted):
            self._command.kill()
        if question is None or question is running or question.answered or question.given_up:
            return
        if not wanted:
            self._answer(question, "was not asked: the command is being stopped")
        elif running is not None:
            self._answer(question, "still runs, and can't be killed, since it was last asked")
        else:
            self._start(question)

    def take(self, exited: Exited) -> None:
        """Take the program's end."""
        running, self._running = self._running, None
        if running is not None:
            ended = f"ended with {exited.code}" if exited.code else None
            self._answer(running, exited.failure or ended)

    def _start(self, question: _Question) -> None:
        self._running = question
        try:
            self._command.start(self._environ)
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
