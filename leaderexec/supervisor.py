"""The main loop: it waits for something to happen, lets `core.lifecycle` decide, and acts on it.

Everything here runs in the main thread. It forks the command, so that the parent-death signal is
tied to a thread that lives as long as the process; only this thread reaps, signals and decides.
"""

import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from leaderexec.config import options
from leaderexec.config.settings import Config
from leaderexec.core import actions, events
from leaderexec.core.actions import BESIDE, HOOKS, Job
from leaderexec.core.lifecycle import State, decide, next_deadline
from leaderexec.core.run import Stage, is_idle
from leaderexec.core.signals import signal_name
from leaderexec.election.kind import Confirming, Keeping, Source
from leaderexec.inbox import Inbox
from leaderexec.light_typing import TYPE_CHECKING
from leaderexec.logs import Held, Log
from leaderexec.process import ending, limits, syscalls, tree, tty
from leaderexec.process.additions import lasting, of_start
from leaderexec.process.command import Command
from leaderexec.process.reaper import groups_beside, reap
from leaderexec.process.signals import Receiver
from leaderexec.process.urgency import Urgency
from leaderexec.status.snapshot import Published, Snapshot
from leaderexec.status.transition_log import TransitionLog

if TYPE_CHECKING:
    from leaderexec.health.notify import Notifications
    from leaderexec.health.service import Watch
    from leaderexec.label.service import LeaderLabel
    from leaderexec.process.warm import WarmCommand
    from leaderexec.status.on_change import OnChange
    from leaderexec.stdio.relay import ChildLogs


# Looking for exited children holds up those that are exiting, and takes long if there are thousands
# (wait4(2) scans them one by one). After each scan we pause for as long as it took, up to this many
# seconds.
DYING_PAUSE = 0.1
# What a process that was just started or signalled gets before we go on, in ms: several times what
# it needs to begin.
_HEAD_START = 1


class Supervisor:
    """leaderexec's life, from the subscription to the exit."""

    def __init__(
        self,
        config: Config,
        commands: Mapping[Job, Command],
        source: Source,
        inbox: Inbox,
        receiver: Receiver,
        terminal: tty.Terminal | None,
        log: Log,
        clock: Callable[[], float],
        published: Published | None = None,
        health: "Watch | None" = None,
        label: "LeaderLabel | None" = None,
        notify_socket: syscalls.NotifySocket | None = None,
        confirming: Confirming | None = None,
        warm: "WarmCommand | None" = None,
        child_logs: "ChildLogs | None" = None,
        on_change: "OnChange | None" = None,
    ) -> None:
        """`warm`: the command, if it is started on standby."""
        self._config = config
        self._policy = config.policy
        self._commands = commands
        self._command = commands[Job.COMMAND]
        # The command or a hook: the one that runs, or ran last.
        self._process = self._command
        self._source = source
        self._inbox = inbox
        self._receiver = receiver
        self._terminal = terminal
        self._log = Held(log)
        self._clock = clock
        self._state = State()
        self._transitions = TransitionLog(config, self._log, clock)
        self._published = published
        self._health = health
        self._label = label
        self._notify_socket = notify_socket
        self._notifications: Notifications | None = None
        self._confirming = confirming
        self._warm = warm
        self._child_logs = child_logs
        self._on_change = on_change
        self._reap_more = False
        self._urgency = Urgency()
        self._killed: set[tree.Owner] = set()
        # The process that we are not permitted to signal.
        self._forbidden: int | None = None
        # Why no process could be created, as last logged.
        self._no_process: str | None = None
        self._at_rest = True
        self._timer = syscalls.open_boottime_timer()
        self._ready = select.poll()
        for readable in (receiver.fileno(), inbox.fileno(), self._timer):
            self._ready.register(readable, select.POLLIN)
        self._signals = select.poll()
        self._signals.register(receiver.fileno(), select.POLLIN)
        if notify_socket is not None:
            self._ready.register(notify_socket.descriptor, select.POLLIN)
            if config.health_watchdog is not None:
                self._notifications = self._read_notifications(notify_socket.descriptor)

    def run(self) -> int:
        """Run until the end; return leaderexec's exit code."""
        try:
            while self._state.exit_code is None:
                for event in self._arrived(self._wait()):
                    self._step(event)
                if not self._is_killing() or not self._reap_more:
                    self._step(events.Tick())
                self._rest()
            self._end_beside()
        except BaseException:
            # A bug of ours must not leave a command running without supervision.
            ending.stop_all(self._policy.stop_signal, self._config.grace_lost)
            raise
        finally:
            self._log.release()
        return self._state.exit_code

    def _is_killing(self) -> bool:
        """Return whether KILL was sent. Processes that wait to be reaped have not survived it:
        until they are reaped, it is neither repeated nor given up on."""
        return self._state.run is not None and self._state.run.stage is Stage.KILLING

    def _wait(self) -> set[int]:
        """Sleep until something happens or a deadline passes; return the readable descriptors."""
        if self._on_change is not None:
            self._on_change.follow(self._state)
        if self._published is not None:
            self._published.publish(
                Snapshot(
                    self._state,
                    self._transitions.role_since,
                    self._process.pid,
                    self._transitions.counters.copied(),
                    groups_beside(self._commands),
                    "" if self._notifications is None else self._notifications.status,
                    None if self._on_change is None else self._on_change.counts(),
                )
            )
        # After publishing: a reader of a log line that then queries must not get an older state.
        self._log.release()
        syscalls.set_timer(self._timer, self._next_deadline())
        return {readable for readable, _ in self._ready.poll(0 if self._reap_more else None)}

    def _next_deadline(self) -> float | None:
        due = next_deadline(self._policy, self._state)
        notify, now = self._notifications, self._clock()
        if notify is None or self._notify_socket is None:
            return due
        wanted = 0 if notify.rests(now) else select.POLLIN
        self._ready.modify(self._notify_socket.descriptor, wanted)
        return min((one for one in (due, notify.deadline(now)) if one is not None), default=None)

    def _read_notifications(self, descriptor: int) -> "Notifications":
        """Load what reads notifications: most commands send none."""
        from leaderexec.health.notify import Notifications

        made = Notifications(descriptor, self._config, self._log)
        made.follow(self._state.run)
        return made

    def _notified(self, *, arrived: bool) -> list[events.Event]:
        """Return what the command's notifications mean, and its watchdog's silence."""
        if arrived and self._notifications is None and self._notify_socket is not None:
            self._notifications = self._read_notifications(self._notify_socket.descriptor)
        if self._notifications is None:
            return []
        now = self._clock()
        beside = groups_beside(self._commands)
        said = list(self._notifications.receive(self._command.pid, beside, now))
        silent = self._notifications.due(now)
        return said if silent is None else [*said, silent]

    def _arrived(self, readable: set[int]) -> list[events.Event]:
        arrived: list[events.Event] = []
        reapable = self._reap_more
        if self._notify_socket is not None:
            # Before exits: the sender of a message can't be identified once it is reaped.
            arrived += self._notified(arrived=self._notify_socket.descriptor in readable)
        if self._receiver.fileno() in readable:
            for info in self._receiver.receive():
                if info.number == signal.SIGCHLD:
                    reapable = True
                else:
                    arrived.append(self._signalled(info))
        if reapable:
            began = self._clock()
            reaped, self._reap_more = reap(self._commands)
            if not (reaped or arrived):
                time.sleep(min(self._clock() - began, DYING_PAUSE))
            reaped = self._not_beside(reaped)
            arrived += reaped
            ended = any(isinstance(event, events.Exited) for event in reaped)
            if ended and self._foreground_has_gone():
                arrived.append(events.Signalled(signal.SIGHUP, hung_up=True))
        if self._inbox.fileno() in readable:
            arrived += self._inbox.take()
        return arrived

    def _end_beside(self) -> None:
        """Leave nothing behind of what runs beside the command, nor of what that has started in
        groups of its own."""
        for one in (self._health, self._on_change):
            if one is not None:
                one.end()
        if not BESIDE.isdisjoint(self._commands):
            ending.kill_all()

    def _not_beside(self, reaped: list[events.Event]) -> list[events.Event]:
        """Hand the ends of what runs beside the command to whom they concern; return the others."""
        for one in (self._health, self._on_change):
            if one is not None:
                reaped = one.take(reaped)
        return reaped

    def _signalled(self, info: syscalls.SignalInfo) -> events.Signalled:
        terminal = self._terminal
        hung_up = info.number == signal.SIGHUP and terminal is not None and terminal.is_gone()
        return events.Signalled(info.number, info.sender, hung_up)

    def _foreground_has_gone(self) -> bool:
        """Return whether the terminal in which the command took our place in the foreground has
        hung up: then the kernel sent HUP to the command alone, though it was meant for us, too."""
        terminal = self._terminal
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        return terminal is not None and terminal.foreground and not ignored and terminal.is_gone()

    def _step(self, event: events.Event) -> None:
        self._state, wanted = decide(self._policy, self._state, event, self._clock())
        self._transitions.count(event)
        failure: str | None = None
        for action in wanted:
            if isinstance(action, actions.Start):
                failure = self._start(action)
            elif isinstance(action, actions.Note | actions.Changed | actions.Ended):
                self._transitions.tell(action)
            else:
                self._do(action)
        if self._health is not None:
            self._health.follow(self._state.run)
        if self._label is not None:
            self._label.follow(self._state)
        if self._notifications is not None:
            self._notifications.follow(self._state.run)
        if self._confirming is not None:
            self._confirming.follow(self._state.belief)
        if failure is not None:
            self._step(events.StartFailed(failure))
            # What comes next is only planned at a Tick.
            self._step(events.Tick())

    def _do(self, action: actions.Action) -> None:
        match action:
            case actions.Lead(start):
                self._lead(start)
            case actions.Stop(number):
                self._stop(number)
            case actions.StopLeftovers(number):
                self._stop_leftovers(number)
            case actions.Forward(number):
                self._forward(number)
            case actions.KillTree():
                self._kill_tree()
            case actions.NameSurvivors():
                self._name_survivors()
            case actions.Suspend():
                self._suspend()
            case _:
                self._ask_source(action)

    def _ask_source(self, action: actions.Action) -> None:
        match action:
            case actions.Resubscribe():
                self._resubscribe()
            case actions.KeepSuccess(fence):
                # Settings allow --once only with a kind whose sources can.
                keeping: Keeping = self._source  # type: ignore[assignment]
                keeping.keep_success(fence)
            case actions.Release(hold_off):
                # A process that was forked ahead of time holds leadership along with us.
                self._command.discard()
                self._log.info("stepping down", hold_off_seconds=hold_off)
                self._source.step_down(hold_off)
            case actions.Exit(_, release):
                self._command.discard()
                if release:
                    self._source.release()

    def _start(self, start: actions.Start) -> str | None:
        """Start the command or a hook; return why no process could be created."""
        self._at_rest = False
        process = self._commands[start.job] if start.job in HOOKS else self._command
        if self._command.pid is None:
            # Otherwise it is a hook beside a warm command, and a part of its tree.
            self._process = process
        additions = of_start(self._config, start, self._clock())
        inherited: tuple[int, ...] = ()
        if start.job in HOOKS:
            # A process forked ahead of time is not part of the hook's tree, and would outlast it.
            self._command.discard()
        elif start.job is Job.WARM:
            additions = self._offered() | lasting(self._config)
        else:
            inherited = self._source.inherited()
            if self._health is not None:
                self._health.tell(additions)
            additions = additions | self._offered()
        try:
            pid = process.start(additions, inherited)
        except OSError as error:
            self._tell_no_process(error)
            return str(error)
        if start.job is not Job.WARM:
            self._urgency.hurry()
        self._give_way()
        process.look_whether_executed()
        self._no_process = None
        self._transitions.started(start, pid)
        return None

    def _lead(self, start: actions.Start) -> None:
        """Tell the warm command that it leads."""
        self._at_rest = False
        if self._health is not None:
            self._health.tell(of_start(self._config, start, self._clock()))
        if self._child_logs is not None:
            # Before it can write anything as leader.
            self._child_logs.lead(start.term)
        if self._warm is not None:
            self._warm.lead(start.term, start.fence)
        self._urgency.hurry()
        self._give_way()
        self._transitions.led(start, self._command.pid)

    def _give_way(self) -> None:
        """Let the process that was just started or signalled go first. What we have left to do,
        such as logging, takes as long as all that came before, and on one core the process would
        wait for it, the more so as it is not real-time."""
        self._signals.poll(_HEAD_START)

    def _tell_no_process(self, error: OSError) -> None:
        """Log the reason once, however often the start is retried."""
        if self._no_process == str(error):
            return
        self._no_process = str(error)
        self._log.error(
            "no process could be made",
            reason=f"{error}; {limits.of_processes()}",
            remedy="it is retried; raise the limit, or find out what uses it up",
        )

    def _offered(self) -> dict[str, str]:
        """Return where the command can tell of itself, and how often it has to."""
        if self._notify_socket is None:
            return {}
        offered = {"NOTIFY_SOCKET": self._notify_socket.name}
        if self._config.health_watchdog is not None:
            offered["WATCHDOG_USEC"] = str(round(self._config.health_watchdog * 1e6))
        return offered

    def _stop(self, number: int) -> None:
        if self._warm is not None:
            # A line that was not read yet must not be read after this.
            self._warm.close_gate()
        if self._label is not None:
            due = next_deadline(self._policy, self._state)
            left = float("inf") if due is None else due - self._clock()
            self._label.before_stop(self._state, left)
        pid = self._process.pid
        self._send(self._process, number, group=self._config.signal_group)
        beside = self._commands.get(Job.ON_START)
        if beside is not None and beside is not self._process:
            self._send(beside, number, group=self._config.signal_group)
        self._give_way()
        if pid is not None and tree.shows_us() and (process := tree.read(pid)) is not None:
            tree.wake(process)

    def _send(self, process: Command, number: int, *, group: bool = False) -> None:
        try:
            process.send(number, group=group)
        except PermissionError:
            if self._forbidden != process.pid:
                self._forbidden = process.pid
                self._log.error(
                    "signal not permitted",
                    signal=signal_name(number),
                    pid=process.pid,
                    reason="it runs as another user, and this process lacks CAP_KILL",
                    remedy="let leaderexec keep the capability KILL, or run it as the command's"
                    " user; until then the command only stops when it exits on its own",
                )

    def _stop_leftovers(self, number: int) -> None:
        left = tree.stop_leftovers(number, groups_beside(self._commands))
        if left:
            self._log.info(
                "stopping what the command left behind",
                processes=left,
                signal=signal_name(number),
            )

    def _kill_tree(self) -> None:
        beside = groups_beside(self._commands)
        if os.getpid() == 1 and self._state.order is not None and not beside:
            # Everything left in this PID namespace has to go, and nothing can outrun this.
            with suppress(ProcessLookupError, PermissionError):
                os.kill(-1, signal.SIGKILL)
        self._urgency.hurry()
        # Its group first: that works even if /proc can't be read.
        self._send(self._process, signal.SIGKILL, group=True)
        killed = tree.kill_all(self._killed, beside)
        # What was killed now needs the CPU to exit.
        self._urgency.relax()
        self._transitions.counters.killed += killed
        if killed:
            self._log.warning("killed", processes=killed, reason=self._state.reason)

    def _name_survivors(self) -> None:
        left = tree.survivors(groups_beside(self._commands))
        self._log.error(
            "processes survive SIGKILL",
            processes=left,
            reason="they hang in the kernel, belong to another user, or can't be seen",
            remedy="inspect each (ps -o pid,user,stat,wchan,cmd); until the last one has exited,"
            " nothing else is started here",
        )

    def _resubscribe(self) -> None:
        self._log.warning(
            "resubscribing",
            reason="polls name a leader that the open stream never announced",
        )
        self._source.resubscribe()

    def _forward(self, number: int) -> None:
        if number == signal.SIGCONT and self._terminal is not None and self._command.pid:
            self._terminal.give_to(self._command.pid)
        self._send(self._command, number, group=self._config.signal_group)

    def _suspend(self) -> None:
        if tty.is_job_of_a_shell():
            if self._terminal is not None:
                self._terminal.give_to(os.getpgrp())
            tty.suspend()
        elif self._state.run is not None and self._state.run.stage is Stage.RUNNING:
            # No shell would continue us; the kernel would have discarded the stop, too.
            self._send(self._command, signal.SIGCONT, group=True)

    def _rest(self) -> None:
        """Once nothing of the command is left: take back the terminal, and prepare for the next
        term."""
        # A process that was forked ahead of time would hide the end of the survivors.
        if self._at_rest or self._state.survivors or not is_idle(self._state.run):
            return
        self._at_rest = True
        self._urgency.relax()
        self._killed.clear()
        if self._terminal is not None:
            self._terminal.give_to(os.getpgrp())
        if self._state.exit_code is None and self._config.prepares:
            try:
                self._command.prepare()
            except OSError as error:
                # The start itself will fork, and log it if that fails as well.
                self._log.debug("no process could be made ahead of time", reason=str(error))


def startup_fields(config: Config) -> dict[str, object]:
    """Return the fields of the start-up line."""
    kind = config.kind
    fields = {"election": kind.name, **kind.startup_fields(config)}
    if config.slots is not None:
        fields["slots"] = config.slots
    if (costs := kind.ordinary_move(config)) is not None:
        fields["ordinary_move"] = costs
    return fields | {
        "takeover_delay": options.show_duration(config.takeover_delay),
        "grace": options.show_duration(config.grace),
        "grace_lost": options.show_duration(config.grace_lost),
        "worst_overlap_seconds": {one.cause: one.seconds for one in kind.overlaps(config)},
    }
