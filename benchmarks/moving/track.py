"""One Lease with two candidates, moved from one to the other by every cause there is."""

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from moving.candidates import Candidate, Ours
from moving.engines import set_clock

from examples.demo import Line, overlaps, read_log, runs_of
from leaderexec.control import client

# Nothing is measured with this limit; only failures reach it.
_PATIENCE = 120.0
_LOOK_AGAIN = 0.02
_HOLD_OFF = 2.0
_HOUR = 3600


class Wrong(Exception):
    """Something that must not happen; the track ends."""


class Move(NamedTuple):
    """The times of the cause, of the next command's first line, and of the Lease's expiry
    if it is known: all in seconds of CLOCK_MONOTONIC."""

    cause: str
    at: float
    first: float
    end_of_lease: float | None = None


class Track:
    """The two candidates, and what was seen of their work."""

    def __init__(self, *candidates: Candidate) -> None:
        self.candidates = {candidate.name: candidate for candidate in candidates}
        self._one = candidates[0]
        self.moves: list[Move] = []
        # Workers that were frozen, and when they woke.
        self._woken: dict[int, float] = {}
        self._starts: list[Line] = []
        # The last one whose write the store accepted.
        self._worked = 0
        self._read = 0
        self._cut: Candidate | None = None

    @property
    def lease(self) -> str:
        """Return the Lease's name."""
        return self._one.lease

    def run(self, causes: "list[str]") -> None:
        """Start both, and move leadership by each of the causes. Raises Wrong."""
        self._one.site.engine.prepare(self.lease)
        self._one.journal.touch()
        for candidate in self.candidates.values():
            candidate.start()
        self._wait(self._news, "the first command")
        for cause in causes:
            self._mend()
            # At any moment between two renewals, or two polls.
            time.sleep(0.3 + random.random() * self._one.times.period)
            before = len(self._starts)
            self.moves.append(_CAUSES[cause](self))
            if len(self._starts) != before + 1:
                raise Wrong(f"{cause}: {len(self._starts) - before} commands were started")

    def close(self) -> None:
        """Stop both candidates."""
        for candidate in self.candidates.values():
            candidate.host.heal()
        for candidate in self.candidates.values():
            candidate.close()

    def judge(self) -> tuple[list[str], list[str]]:
        """Return what the workers' own log shows of two at once, and of writes that should have been
        refused, or accepted. Frozen workers that continued when they woke are in `woken`."""
        lines = read_log(self._one.journal)
        both = overlaps(runs_of([line for line in lines if not self._is_woken(line)]))
        writes = [
            f"{line.name}'s write at {line.at:.3f} was to be {taken}"
            for line in lines
            for wrong, taken in [
                ("work", "refused") if self._is_woken(line) else ("refused", "taken")
            ]
            # One that began before its worker was frozen may end after it woke.
            if line.event == wrong and (wrong == "work" or line.pid not in self._woken)
        ]
        return [f"{self.lease}: {what}" for what in both], [
            f"{self.lease}: {what}" for what in writes
        ]

    def woken(self) -> list[tuple[float, int]]:
        """Return for each frozen worker for how long it continued after it woke next to the new
        one, in seconds, and how many of its writes were refused in that time."""
        lines = [line for line in read_log(self._one.journal) if self._is_woken(line)]
        return [
            (
                max((line.at - at for line in lines if line.pid == pid), default=0.0),
                sum(line.pid == pid and line.event == "refused" for line in lines),
            )
            for pid, at in self._woken.items()
        ]

    def _is_woken(self, line: Line) -> bool:
        return line.at >= self._woken.get(line.pid, float("inf"))

    # What the causes share.

    @property
    def holder(self) -> Candidate:
        """Return the candidate whose command was the last to start."""
        return self.candidates[self._starts[-1].name]

    @property
    def standby(self) -> Candidate:
        """Return the other candidate."""
        return next(one for one in self.candidates.values() if one is not self.holder)

    @property
    def command(self) -> int:
        """Return the pid of the worker."""
        return self._starts[-1].pid

    def next_start(self, at: float) -> float:
        """Wait for the next command's first line; return its time."""
        count = len(self._starts)
        self._wait(lambda: self._news() > count, "the next command")
        if self._starts[count].at < at:
            raise Wrong("a command was started before there was a cause")
        return self._starts[count].at

    def end_of_lease(self) -> float | None:
        """Return when leadership expires, from the holder's last renewal, if that is known."""
        return self._one.site.engine.end(self.lease)

    def cut(self, how: str) -> None:
        """Cut the holder off."""
        self._cut = self.holder
        self._cut.host.cut(how)

    def wakes(self, pid: int) -> None:
        """Record that this worker was frozen, and wakes now: the store knows of a later term."""
        self._wait(lambda: self._news() and self._worked == self.command, "the next one's work")
        self._woken[pid] = time.monotonic()

    def still(self, seconds: float) -> None:
        """Let time pass in which nothing may be started. Raises Wrong."""
        count = len(self._starts)
        time.sleep(seconds)
        if self._news() != count:
            raise Wrong("a command was started although there was no cause")

    def wait_for_old_process(self) -> None:
        """Wait until the candidate that is cut off has exited, if it does."""
        old = self._cut
        if old is not None and old.ends_when_cut_off():
            self._wait(lambda: old.process.poll() is not None, f"the end of {old.name}")

    def wait_for_end(self, pid: int) -> None:
        """Wait until this command is gone."""
        self._wait(lambda: not _runs(pid), f"the end of command {pid}")

    def _mend(self) -> None:
        """Restart candidates that are gone, and wait until both are there."""
        if self._cut is not None:
            self._cut.host.heal()
            self._cut = None
        for candidate in self.candidates.values():
            if candidate is self.holder:
                continue
            if candidate.process.poll() is not None:
                candidate.start()
            self._wait(candidate.is_ready, f"{candidate.name} to campaign")

    def _news(self) -> int:
        """Read the new lines of the journal; return how many commands have been started so far."""
        with self._one.journal.open("rb") as journal:
            journal.seek(self._read)
            text = journal.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        for words in map(bytes.split, whole.splitlines()):
            if words[3] == b"work":
                self._worked = int(words[2])
            elif words[3] == b"start":
                self._starts.append(
                    Line(float(words[0]), words[1].decode(), int(words[2]), "start")
                )
        return len(self._starts)

    def _wait(self, condition: Callable[[], object], what: str) -> None:
        give_up = time.monotonic() + _PATIENCE
        while not condition():
            if time.monotonic() > give_up:
                raise Wrong(f"waited {_PATIENCE:g}s for {what}")
            time.sleep(_LOOK_AGAIN)


def _runs(pid: int) -> bool:
    with suppress(OSError), open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    return False


def _released(track: Track, name: str = "release") -> Move:
    at = time.monotonic()
    holder = track.holder
    holder.process.terminate()
    first = track.next_start(at)
    holder.process.wait()
    return Move(name, at, first)


def _stepped_down(track: Track) -> Move:
    holder = track.holder
    assert isinstance(holder, Ours)
    question = {"ask": "step-down", "hold_off": _HOLD_OFF, "until_taken": True}
    at = time.monotonic()
    steps = list(client.ask(holder.control_socket, question, None))
    first = track.next_start(at)
    if not steps[-1].get("done"):
        raise Wrong(f"step-down: {steps}")
    time.sleep(_HOLD_OFF)
    return Move("step-down", at, first)


def _killed(track: Track, name: str = "kill") -> Move:
    at = time.monotonic()
    holder = track.holder
    holder.process.kill()
    holder.process.wait()
    # With a faked clock the times in the Lease mean nothing.
    end = None if holder.variables else track.end_of_lease()
    return Move(name, at, track.next_start(at), end)


def _partitioned(how: str) -> Callable[[Track], Move]:
    def move(track: Track) -> Move:
        at = time.monotonic()
        track.cut(how)
        end = track.end_of_lease()
        first = track.next_start(at)
        track.wait_for_old_process()
        return Move(how, at, first, end)

    return move


def _frozen(track: Track) -> Move:
    holder, command = track.holder, track.command
    at = time.monotonic()
    holder.process.send_signal(signal.SIGSTOP)
    os.kill(command, signal.SIGSTOP)
    end = track.end_of_lease()
    first = track.next_start(at)
    track.wakes(command)
    os.kill(command, signal.SIGCONT)
    holder.process.send_signal(signal.SIGCONT)
    track.wait_for_end(command)
    return Move("frozen", at, first, end)


def _deleted(track: Track) -> Move:
    at = time.monotonic()
    track.holder.site.engine.delete(track.lease)
    return Move("deleted", at, track.next_start(at))


def _away(track: Track) -> Move:
    """The election's server is unreachable beyond the deadline; one of the two leads again."""
    command = track.command
    engine = track.holder.site.engine
    engine.stop()
    track.wait_for_end(command)
    at = time.monotonic()
    engine.start()
    return Move("away", at, track.next_start(at))


def _after_a_jump(move: Callable[[Track, str], Move], name: str) -> Callable[[Track], Move]:
    """Both wall clocks jump by an hour, which must not move anything by itself."""

    def moved(track: Track) -> Move:
        for candidate in track.candidates.values():
            jump(candidate, random.choice([-_HOUR, 0, _HOUR]))
        track.still(2 * candidate.times.period + 1)
        return move(track, name)

    return moved


def jump(candidate: Candidate, seconds: int) -> None:
    """Set a candidate's wall clock off the machine's by this much."""
    set_clock(Path(candidate.variables["WALL_CLOCK"]), seconds)


_CAUSES: dict[str, Callable[[Track], Move]] = {
    "release": _released,
    "step-down": _stepped_down,
    "kill": _killed,
    "reject": _partitioned("reject"),
    "drop": _partitioned("drop"),
    "frozen": _frozen,
    "deleted": _deleted,
    "away": _away,
    "jump, release": _after_a_jump(_released, "jump, release"),
    "jump, kill": _after_a_jump(_killed, "jump, kill"),
    "apart, release": lambda track: _released(track, "apart, release"),
    "apart, kill": lambda track: _killed(track, "apart, kill"),
}
