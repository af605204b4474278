"""The command's own status messages by sd_notify(3), on a datagram socket provided for it.

Programs made for systemd send them already. Only messages from its own processes count, and the
rate of reading is limited, so that no flood keeps the deciding thread busy: then its senders wait.
"""

import os
import socket
import struct
from collections.abc import Iterator, Mapping

from leaderexec.config.settings import Config
from leaderexec.core.actions import Job
from leaderexec.core.events import Event, Health, Ready
from leaderexec.core.run import Run, at_work, started
from leaderexec.logs import Logger
from leaderexec.printable import printable
from leaderexec.process import tree

# Longer ones are not messages of this protocol.
MOST_BYTES = 4096
LONGEST_STATUS = 256
# At most BATCH messages are read within WINDOW seconds.
BATCH = 16
WINDOW = 0.1

_CREDENTIALS = struct.Struct("=iII")  # struct ucred: pid, uid, gid
# Room for the credentials only: descriptors sent along are dropped by the kernel.
_ROOM = socket.CMSG_SPACE(_CREDENTIALS.size)


def fields(message: bytes) -> dict[str, str]:
    """Return the contents of a message: NAME=VALUE, one per line; nothing if it is not text."""
    try:
        # Not splitlines(), for which a status with a form feed or U+2028 in it has several lines.
        lines = message.decode().replace("\r", "\n").split("\n")
    except UnicodeDecodeError:
        return {}
    pairs = (line.partition("=") for line in lines)
    return {name: value for name, equals, value in pairs if equals}


class Notifications:
    """Reads the socket, in the deciding thread, and enforces the watchdog. `status` is the
    command's last STATUS."""

    def __init__(self, descriptor: int, config: Config, log: Logger) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._watchdog = config.health_watchdog
        self._start_period = config.health_start_period
        self._stop_time = config.grace
        # If there are probes, they decide when the command is healthy.
        self._proves = self._watchdog is not None and not config.probed
        self._log = log
        self._watched: Run | None = None
        self._watchdog_due: float | None = None
        self._alive_at: float | None = None
        self._ignored = False
        self._window = float("-inf")
        self._read = 0
        self.status = ""

    def follow(self, run: Run | None) -> None:
        """Listen to this run if it is the command's, and is not being stopped; watch its watchdog
        once it works."""
        heard = started(run)
        started_at = None if heard is None else heard.started_at
        if started_at == (self._watched.started_at if self._watched is not None else None):
            return
        # A warm command that is told that it leads is the same process.
        if self._watched is None or self._watched.job is not Job.WARM or heard is None:
            self._ignored, self.status = False, ""
        self._watched = heard
        self._alive_at = self._watchdog_due = None
        if at_work(run) is not None and self._watchdog is not None and started_at is not None:
            self._watchdog_due = started_at + max(self._start_period, self._watchdog)

    def rests(self, now: float) -> bool:
        """Return whether enough was read for now."""
        return self._read >= BATCH and now < self._window + WINDOW

    def deadline(self, now: float) -> float | None:
        """Return when to continue even if nothing arrives."""
        due = self._watchdog_due
        if not self.rests(now):
            return due
        rested = self._window + WINDOW
        return rested if due is None else min(due, rested)

    def receive(self, pid: int | None, apart: frozenset[int], now: float) -> Iterator[Event]:
        """Read what has arrived, and yield what it means for the command `pid`. Processes in the
        groups `apart` are not its own."""
        if now >= self._window + WINDOW:
            self._window, self._read = now, 0
        while self._read < BATCH:
            try:
                message, about, flags, _ = self._socket.recvmsg(MOST_BYTES, _ROOM)
            except OSError:
                # Nothing more; or no memory, and it is read again later.
                return
            self._read += 1
            sender = _sender(about)
            if self._watched is None or flags & socket.MSG_TRUNC:
                continue
            if sender == pid or (sender is not None and tree.is_ours(sender, apart)):
                yield from self._said(self._watched, fields(message), now)
            elif not self._ignored:
                self._ignored = True
                self._log.debug(
                    "notification ignored",
                    pid=sender,
                    reason="its sender has ended, or is none of the command's processes",
                )

    def due(self, now: float) -> Event | None:
        """Return that the command is unhealthy, if time alone makes it so."""
        if self._watched is None or self._watchdog_due is None or now < self._watchdog_due:
            return None
        since = self._alive_at
        self._watchdog_due = None
        silent = "never sent" if since is None else f"sent none for {now - since:.1f}s"
        reason = f"--health-watchdog: WATCHDOG=1 was {silent}"
        began = self._watched.started_at if since is None else since
        return Health(False, self._watched.started_at, began, reason)

    def _said(self, run: Run, said: Mapping[str, str], now: float) -> Iterator[Event]:
        if "STATUS" in said:
            self.status = printable(said["STATUS"])[:LONGEST_STATUS]
        if said.get("READY") == "1":
            yield Ready(True)
        if said.get("STOPPING") == "1":
            yield Ready(False)
        if self._watchdog is None or self._watchdog_due is None:
            return
        if said.get("WATCHDOG") == "trigger":
            self._watchdog_due = None
            reason = "--health-watchdog: it has sent WATCHDOG=trigger"
            yield Health(False, run.started_at, now, reason)
        elif said.get("STOPPING") == "1":
            # It may have no time for more.
            self._watchdog_due = now + max(self._watchdog, self._stop_time)
        elif said.get("WATCHDOG") == "1":
            self._watchdog_due = now + self._watchdog
            if self._alive_at is None and self._proves:
                yield Health(True, run.started_at, now)
            self._alive_at = now


def _sender(about: list[tuple[int, int, bytes]]) -> int | None:
    for level, kind, data in about:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            pid: int = _CREDENTIALS.unpack(data[: _CREDENTIALS.size])[0]
            return pid
    return None


def tell_manager(name: str, message: str) -> None:
    """Notify the service manager that started us (sd_notify(3)); errors are ignored."""
    address = f"\0{name[1:]}" if name.startswith("@") else name
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as telling:
        telling.setblocking(False)
        try:
            telling.sendto(os.fsencode(message), address)
        except OSError:
            return
