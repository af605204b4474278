"""The thread that labels the Pod. It decides nothing, and only a stop waits for it, briefly."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from leaderexec import jitter
from leaderexec.core.backoff import full_jitter
from leaderexec.core.lifecycle import State
from leaderexec.election import identity
from leaderexec.election.complaints import Complaints, Trouble
from leaderexec.label.course import Course, Step, is_wanted, may_wait
from leaderexec.label.pod import Conflict, Pod, Refused

if TYPE_CHECKING:
    from leaderexec.config.options import Label
    from leaderexec.config.settings import Config
    from leaderexec.election.lease.cluster import Cluster
    from leaderexec.logs import Log

# How long a stop waits for the label's removal, and after it the exit.
STOP_WAITS = 0.5
_REQUEST = 5.0
_AGAIN_BASE, _AGAIN_CAP = 0.2, 10.0
# What a person has to fix first.
_FORBIDDEN_AGAIN = 60.0
_TO_BE_MENDED = ("forbidden", "unauthorized", "no-pod", "another-pod", "label-not-ours")


class LeaderLabel:
    """The label on this replica's own Pod."""

    def __init__(
        self, label: "Label", pod: Pod, log: "Log", *, probed: bool, says_ready: bool = False
    ) -> None:
        """`probed`: a command is labelled only once it has proved healthy; `says_ready`: only once
        it has reported ready."""
        self._label = label
        self._pod = pod
        self._log = log
        self._probed = probed
        self._says_ready = says_ready
        self._complaints = Complaints(log, "label", pod=pod.name)
        # Guards the course; threads wait on it for another wish.
        self._turn = threading.Condition()
        self._course = Course()
        # The fence of the term for which the label is wanted.
        self._fence: int | None = None
        # As far as is known, the Pod has no label of ours, and no write of it is in progress.
        self._is_off = threading.Event()
        self._is_off.set()
        self._error: str | None = None

    def start(self) -> None:
        """Start; remove what an earlier instance of this container left behind."""
        threading.Thread(target=self._run, name="label", daemon=True).start()

    def follow(self, state: State) -> None:
        """Take in what follows from the deciding thread's state. Never waits."""
        wanted = is_wanted(state, probed=self._probed, says_ready=self._says_ready)
        fence = state.fence if wanted else None
        # Only changed by the deciding thread.
        if (wanted, fence) != (self._course.wanted, self._fence):
            with self._turn:
                self._fence = fence
                self._course.wish(wanted=wanted)
                self._turn.notify()

    def before_stop(self, state: State, most: float) -> None:
        """Have the label removed before the stop signal is sent: wait for that, for at most `most`
        seconds and at most STOP_WAITS, and not at all after a loss."""
        self.follow(state)
        if may_wait(state):
            self._is_off.wait(max(0.0, min(most, STOP_WAITS)))

    def end(self) -> None:
        """Give a removal in progress a moment before this process exits."""
        self._is_off.wait(STOP_WAITS)

    def shown(self) -> dict[str, Any]:
        """Return what /status shows. Any thread may call this."""
        with self._turn:
            return {
                "label": str(self._label),
                "pod": self._pod.name,
                "wanted": self._course.wanted,
                "set": self._course.is_on,
                "error": self._error,
            }

    def _run(self) -> None:
        failures = 0
        while True:
            try:
                self._follow_course()
            except Trouble as trouble:
                failures = 1 if trouble.kind in _TO_BE_MENDED else failures + 1
                self._complaints.say("requests", trouble)
                self._pause(self._delay(trouble, failures), str(trouble))
            except Exception as error:  # noqa: BLE001 - the command must not suffer
                failures += 1
                bug = Trouble("bug", f"{type(error).__name__}: {error}", "please report this bug")
                self._complaints.say("requests", bug)
                self._pause(_FORBIDDEN_AGAIN, str(bug))
            else:
                failures = 0

    def _follow_course(self) -> None:
        """Take the next step, or wait for another wish. Raises Trouble."""
        with self._turn:
            step = self._course.next()
            if step is Step.REST:
                if not self._course.wanted:
                    self._is_off.set()
                self._pod.close()
                self._turn.wait()
                return
            if step is Step.SET:
                self._is_off.clear()
            version, number, fence = self._course.version, self._course.wish_number, self._fence
        if step is Step.CLEAR:
            self._clear_others(number, fence)
        elif version is None:
            seen = self._pod.read(_REQUEST)
            with self._turn:
                self._course.has_read(seen.version, is_on=seen.is_on)
                if seen.is_on:
                    self._is_off.clear()
        else:
            self._write(version, number, fence, on=step is Step.SET)
        self._complaints.settle("requests")
        self._error = None

    def _clear_others(self, number: int, fence: int | None) -> None:
        # Whatever changed that Pod may have removed the label: it is read again.
        with suppress(Conflict):
            for name in self._pod.clear_others(_now(), fence, _REQUEST):
                self._log.info("leader label removed", label=str(self._label), pod=name)
            with self._turn:
                self._course.has_cleared(number)

    def _write(self, version: str, number: int, fence: int | None, *, on: bool) -> None:
        try:
            seen = self._pod.write(version, _now(), fence, _REQUEST, on=on)
        except Conflict:
            with self._turn:
                self._course.was_refused()
        except Refused:
            with self._turn:
                self._course.was_refused()
            raise
        except Trouble:
            with self._turn:
                self._course.is_in_doubt()
            raise
        else:
            with self._turn:
                self._course.has_written(seen.version, number, is_on=seen.is_on)
                if not seen.is_on and not self._course.wanted:
                    self._is_off.set()
            event = "leader label set" if on else "leader label removed"
            self._log.info(event, label=str(self._label), pod=self._pod.name)

    def _delay(self, trouble: Trouble, failures: int) -> float:
        if trouble.kind in _TO_BE_MENDED:
            return _FORBIDDEN_AGAIN
        delay = full_jitter(failures, base=_AGAIN_BASE, cap=_AGAIN_CAP, rand=jitter.share())
        return max(delay, trouble.pause)

    def _pause(self, seconds: float, error: str) -> None:
        """Wait before the next attempt; another wish is attempted immediately."""
        until = time.monotonic() + seconds
        with self._turn:
            self._error = error
            number = self._course.wish_number
            while self._course.wish_number == number and (left := until - time.monotonic()) > 0:
                self._turn.wait(left)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def opened(config: "Config", label: "Label", log: "Log") -> LeaderLabel:
    """Return what labels this replica's Pod, not yet started. Raises UsageError if no API server is
    known."""
    cluster = _cluster(config)
    from leaderexec.election.lease.kind import LeaseSettings

    # An elector's election has no name here.
    lease = config.of(LeaseSettings).lease
    election = lease if lease is None or "/" in lease else f"{cluster.namespace}/{lease}"
    pod = Pod(cluster, _pod_name(config), identity.pod_uid(), label, election)
    says_ready = config.notify == "required"
    return LeaderLabel(label, pod, log, probed=config.proves_healthy, says_ready=says_ready)


def inspect(config: "Config") -> Iterator[tuple[str, bool]]:
    """Yield what --check reports about it, line by line, and whether each is as required. Raises
    UsageError."""
    from leaderexec.election.lease import rights

    return rights.inspect_label(_cluster(config), _pod_name(config))


def _pod_name(config: "Config") -> str:
    return identity.pod_name(config.identity, os.uname().nodename)


def _cluster(config: "Config") -> "Cluster":
    from leaderexec.election.lease.kind import api_server

    return api_server(config, "--leader-label")
