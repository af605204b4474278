"""The command line: parse the arguments, assemble everything, and run it.

Imports are local to where they are needed: start-up before the subscription is measured in
milliseconds, and ``--help`` must not pay for an HTTP client.
"""

import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from leaderexec._version import __version__
from leaderexec.config import options
from leaderexec.config import settings as configuration
from leaderexec.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leaderexec.control.service import ControlSocket
    from leaderexec.core.actions import Job
    from leaderexec.core.events import Event
    from leaderexec.election.kind import Confirming, Slotted, Source
    from leaderexec.health.service import Watch
    from leaderexec.http.service import Serving
    from leaderexec.inbox import Inbox
    from leaderexec.label.service import LeaderLabel
    from leaderexec.logs import Log
    from leaderexec.process import signals, syscalls, tty
    from leaderexec.process.command import Command, Launch
    from leaderexec.process.warm import WarmCommand
    from leaderexec.status.on_change import OnChange
    from leaderexec.stdio.relay import ChildLogs

EXIT_FAILURE = 125
# Seconds to wait at exit for the last log lines to be written.
_LAST_WORDS = 1.0
# The same for the command's last output, if it is not inherited.
_LAST_OUTPUT = 2.0
# For the pipes of a start and a scan of /proc at the same time.
_SPARE = 10


# What can be requested instead of running a command, its short forms, and what each is used with.
_QUESTIONS = (
    "--help",
    "--version",
    "--is-leader",
    "--quiet",
    "--check",
    "--status",
    "--watch",
    "--json",
    "--step-down",
    "--until-taken",
    "--say-ready",
    "--elections",
)
# Those with a value, which no variable sets.
_WITH_VALUE = (
    options.Option(
        "manifest", "KIND", None, options.OneOf("lease", "elector"), "", group="Questions"
    ),
    *(
        options.Option(name, "IMAGE", None, options.image, "", group="Questions")
        for name in ("image", "elector-image")
    ),
)
_ASKED = {**dict(zip(_QUESTIONS, _QUESTIONS, strict=True)), "-h": "--help", "-V": "--version"}
_ANSWERED_ANYWAY = frozenset({"--help", "-h", "--version", "-V", "--say-ready", "--elections"})
_GOES_WITH = {
    "--quiet": "--is-leader",
    "--watch": "--status",
    "--json": "--status",
    "--until-taken": "--step-down",
    "--image": "--manifest",
    "--elector-image": "--manifest",
}


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Do what the command line says; return the exit code."""
    own, command = _split(arguments)
    try:
        _plug_in(own, environ)
        given, asked = options.parse(own, (*configuration.OPTIONS, *_WITH_VALUE), _ASKED)
        with_value = {one.name: given.pop(one.name) for one in _WITH_VALUE if one.name in given}
        asked += [f"--{name}" for name in with_value]
        question = _question(asked, command)
        if question == "--help":
            from leaderexec.config.help import help_text

            sys.stdout.write(help_text())
            return 0
        if question == "--version":
            sys.stdout.write(f"leaderexec {__version__}\n")
            return 0
        if question == "--manifest":
            from leaderexec.manifest.question import answer as manifest

            values = options.resolve(with_value, {}, _WITH_VALUE)
            return manifest(
                {name: one.value for name, one in values.items()}, given, command, environ
            )
        if question is not None:
            from leaderexec.console.queries import answer

            gc.enable()
            return answer(question, given, command, environ, frozenset(asked))
        supervise = _set_up(given, command, environ)
    except options.UsageError as error:
        _complain(str(error))
        return error.code
    except (OSError, ImportError, RuntimeError) as error:
        why = str(error)
        # If there are too few descriptors, importing may fail as well.
        with suppress(OSError, ImportError):
            from leaderexec.process.limits import why_not

            why = why_not(error)
        _complain(f"can't be set up: {why}; nothing was started")
        return EXIT_FAILURE
    return supervise()


def _plug_in(own: Sequence[str], environ: Mapping[str, str]) -> None:
    """Load the requested kind of election from a plug-in if no built-in kind has its name. Raises
    UsageError."""
    election = options.find("election", configuration.OPTIONS)
    text, source = options.named(election, own, environ) or ("auto", "default")
    try:
        election.read(text)
    except ValueError:
        from leaderexec.election import plugins

        try:
            configuration.plug_in(plugins.load(text, source, configuration.OPTIONS))
        except options.UsageError:
            # Help and the list of kinds must work even if the setting is wrong.
            if not _ANSWERED_ANYWAY.intersection(own):
                raise


def _question(asked: Sequence[str], command: Sequence[str]) -> str | None:
    """Return the single query that is requested; None to run a command. Raises UsageError."""
    for first in ("--help", "--version"):
        if first in asked:
            return first
    questions = list(dict.fromkeys(word for word in asked if word not in _GOES_WITH))
    if len(questions) > 1:
        raise options.UsageError(
            f"{' and '.join(questions)} can't be combined; use only one of them"
        )
    for word in asked:
        if _GOES_WITH.get(word, word) not in asked:
            raise options.UsageError(f"{word} is used with {_GOES_WITH[word]}; leave it out")
    question = questions[0] if questions else None
    if command and question not in (None, "--check", "--manifest"):
        raise options.UsageError(
            f"{question} starts nothing and takes no command; leave out -- {' '.join(command)[:40]}"
        )
    return question


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    words = list(arguments)
    if "--" not in words:
        return words, []
    at = words.index("--")
    return words[:at], words[at + 1 :]


def _complain(message: str) -> None:
    # sys.stderr is None where descriptor 2 was closed.
    with suppress(OSError):
        os.write(2, f"leaderexec: {message}\n".encode(errors="backslashreplace"))


def _set_up(
    given: Mapping[str, str], command: Sequence[str], environ: Mapping[str, str]
) -> Callable[[], int]:
    """Set up everything that can fail, before anything is started; return the function that runs.

    Raises UsageError, and OSError, ImportError or RuntimeError if the system can't provide it.
    """
    from leaderexec.core.actions import Job
    from leaderexec.core.record import replace
    from leaderexec.process import limits, signals, syscalls, tty
    from leaderexec.process.command import Command, Launch, find, find_launcher

    if not command:
        raise options.UsageError(
            "no command is given; put it after --: leaderexec [OPTIONS] -- COMMAND [ARG...]"
        )
    path = find(command[0], environ.get("PATH", os.defpath))
    values = configuration.settle(given, environ, os.uname().nodename, os.getpid())
    config = configuration.build(values, command)

    _check_descriptors(config.pass_fd)
    # Before anything else takes its number.
    gate = _gate(config)
    serving = _serving(config, values)
    receiver = signals.Receiver()
    syscalls.become_subreaper()
    terminal = tty.controlling_terminal()
    if config.warm and terminal is not None:
        # Ctrl-C is an order to leaderexec: on standby nobody would miss the command.
        terminal = replace(terminal, foreground=False)
    launch = Launch(
        path,
        config.command,
        _environment_for_the_command(),
        pass_fds=config.pass_fd,
        death_signal=config.death_signal,
        terminal=terminal if terminal is not None and terminal.foreground else None,
        reads_stdin=not (config.warm and os.isatty(0)),
        launcher=find_launcher(),
        piped=config.child_logs != "inherit",
        core_limits=limits.forgo_core_dumps(),
    )
    hooks = _hooks(config, launch, environ)
    if gate is None:
        launched, warm = Command(launch), None
    else:
        from leaderexec.process.warm import WarmCommand

        launched = warm = WarmCommand(launch, gate)
    if config.prepares:
        # Now, while this process is small and single-threaded. With a lock the command has to
        # inherit a descriptor that is not open yet. If this fails, the start itself will fork, and
        # report it if that fails as well.
        with suppress(OSError):
            launched.prepare()
    commands = {Job.COMMAND: launched, **hooks}
    warnings = (*config.kind.warnings(config), *configuration.warnings(values, environ))
    control = _control(config, values, environ)
    return _supervisor(config, commands, warm, receiver, terminal, serving, control, warnings)


def _gate(config: configuration.Config) -> int | None:
    """Return the descriptor through which a warm command is told that it leads. Raises UsageError
    if none is free."""
    if not config.warm:
        return None
    from leaderexec.process.warm import reserve_number

    return reserve_number()


def _environment_for_the_command() -> dict[bytes, bytes]:
    """Return ours, less the variables set by an outer leaderexec, whose fence is another's, and by
    a service manager, which expects to hear from us."""
    from leaderexec.process.command import inherited_environment

    names = (*configuration.ADDED_VARIABLES, "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
    added = {os.fsencode(name) for name in names}
    inherited = inherited_environment()
    return {name: value for name, value in inherited.items() if name not in added}


def _hooks(
    config: configuration.Config, launch: "Launch", environ: Mapping[str, str]
) -> "dict[Job, Command]":
    """Return the configured hooks, and what runs beside the command; raise UsageError if one can't
    be run."""
    from leaderexec.core.actions import BESIDE, Job
    from leaderexec.core.record import replace
    from leaderexec.process import tree
    from leaderexec.process.command import CannotRun, Command, find

    if config.on_change is not None and tree.children() is None:
        raise options.UsageError(
            "--on-change is set, but /proc does not list this process's children, and what runs for"
            " it can't be told from the command's tree; mount the /proc of this PID namespace, or"
            " use a kernel with CONFIG_PROC_CHILDREN"
        )
    found = {}
    for hook, words in (
        (Job.ON_START, config.on_start),
        (Job.ON_STOP, config.on_stop),
        (Job.PROBE, config.health_cmd),
        (Job.ON_CHANGE, config.on_change),
    ):
        if words is None:
            continue
        try:
            path = find(words[0], environ.get("PATH", os.defpath))
        except CannotRun as error:
            raise options.UsageError(f"--{hook.value} is {words[0]!r}, but {error}") from None
        # The terminal and stdin are reserved for the command.
        made = replace(launch, path=path, arguments=words, terminal=None, reads_stdin=False)
        if hook in BESIDE:
            # Its output is ours, and nothing of it may outlive us.
            made = replace(made, pass_fds=(), piped=True, death_signal=signal.SIGKILL)
        found[hook] = Command(made)
    return found


def _serving(config: configuration.Config, values: Mapping[str, options.Given]) -> "Serving | None":
    if config.http is None:
        return None
    from leaderexec.http.service import Serving

    return Serving(config.http, config, configuration.shown(values))


def _control(
    config: configuration.Config,
    values: Mapping[str, options.Given],
    environ: Mapping[str, str],
) -> "ControlSocket | None":
    if config.control_socket is None or not config.kind.releases:
        return None
    from leaderexec.control.service import ControlSocket

    return ControlSocket(config, configuration.shown(values), environ)


def _check_descriptors(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        try:
            os.fstat(descriptor)
        except OSError:
            raise options.UsageError(
                f"--pass-fd is {descriptor}, but that descriptor is not open;"
                " open it for leaderexec, or leave the option out"
            ) from None


def _supervisor(
    config: configuration.Config,
    commands: "Mapping[Job, Command]",
    warm: "WarmCommand | None",
    receiver: "signals.Receiver",
    terminal: "tty.Terminal | None",
    serving: "Serving | None",
    control: "ControlSocket | None",
    warnings: Sequence[str],
) -> Callable[[], int]:
    from leaderexec.inbox import Inbox
    from leaderexec.logs import Log

    log = Log(config.log_level, config.log_format, identity=config.identity)
    inbox = Inbox()
    label = _label(config, log)
    source, confirming = _elections(config, inbox.put, log)

    from leaderexec import supervisor

    gc.enable()
    health = _health(config, commands, inbox, log)
    on_change = _on_change(config, commands, inbox, log)
    child_logs = _child_logs(config, commands, log)
    published = None
    if serving is not None or control is not None:
        from leaderexec.status.snapshot import Published

        published = Published(inbox.wake)
    loop = supervisor.Supervisor(
        *(config, commands, source, inbox, receiver, terminal, log, clock),
        published=published,
        health=health,
        label=label,
        notify_socket=_notify_socket(config, log),
        confirming=confirming,
        warm=warm,
        child_logs=child_logs,
        on_change=on_change,
    )
    _check_room()
    # Here, because there may be no room for a thread, either.
    if serving is not None and published is not None:
        shown = None if label is None else label.shown
        # Settings allow --slots only with a kind whose sources are.
        slotted: Slotted = source  # type: ignore[assignment]
        holders = None if config.slots is None else slotted.holders
        serving.start(
            *(published, lambda: _troubles(source, confirming), log, clock), shown, holders
        )
    if control is not None and published is not None:
        control.start(published, inbox.put, log, clock)
    if label is not None:
        label.start()

    def supervise() -> int:
        log.begin("leaderexec started", version=__version__, **supervisor.startup_fields(config))
        for warning in warnings:
            log.warning("doubtful setting", reason=warning, remedy="leave it out, or correct it")
        _tell_manager("READY=1")
        try:
            return loop.run()
        finally:
            for part in (serving, control, label):
                if part is not None:
                    part.end()
            if child_logs is not None:
                child_logs.finish(_LAST_OUTPUT)
            log.flush(_LAST_WORDS)

    return supervise


def _label(config: configuration.Config, log: "Log") -> "LeaderLabel | None":
    """Return what labels the Pod; before anything competes for leadership, as it may be refused.
    Raises UsageError."""
    if config.leader_label is None:
        return None
    from leaderexec.label.service import opened

    return opened(config, config.leader_label, log)


def _health(
    config: configuration.Config, commands: "Mapping[Job, Command]", inbox: "Inbox", log: "Log"
) -> "Watch | None":
    if not config.probed:
        return None
    from leaderexec.core.actions import Job
    from leaderexec.health.service import Watch, probes

    program = None
    if Job.PROBE in commands:
        from leaderexec.health.command_probe import CommandProbe

        program = CommandProbe(commands[Job.PROBE], inbox.wake)
    return Watch(config, probes(config), inbox.put, log, clock, program)


def _on_change(
    config: configuration.Config, commands: "Mapping[Job, Command]", inbox: "Inbox", log: "Log"
) -> "OnChange | None":
    if config.on_change is None:
        return None
    from leaderexec.core.actions import Job
    from leaderexec.process.beside import Beside
    from leaderexec.status.on_change import OnChange

    program = Beside(Job.ON_CHANGE, commands[Job.ON_CHANGE], inbox.wake)
    return OnChange(config, program, inbox.wake, log, clock)


def _tell_manager(message: str) -> None:
    """Tell the service manager that has started us, if any (sd_notify(3))."""
    if (manager := os.environ.get("NOTIFY_SOCKET")) is not None:
        from leaderexec.health.notify import tell_manager

        tell_manager(manager, message)


def _notify_socket(config: configuration.Config, log: "Log") -> "syscalls.NotifySocket | None":
    """Return what the command is offered for sd_notify(3). Raises OSError if there can be none, but
    the command has to use it."""
    from leaderexec.process import syscalls

    if config.notify == "off":
        return None
    try:
        return syscalls.open_notify_socket()
    except OSError as error:
        if config.notify == "required" or config.health_watchdog is not None or config.warm:
            raise
        log.debug("no notify socket", reason=str(error))
    return None


def _elections(
    config: configuration.Config, put: "Callable[[Event], None]", log: "Log"
) -> "tuple[Source, Confirming | None]":
    """Open and start what says who leads, and what asks somebody else."""
    source = config.kind.open(config, put, log, clock)
    confirming = config.kind.confirming(config, put, log, clock)
    source.start(clock())
    if confirming is not None:
        confirming.start()
    return source, confirming


def _troubles(source: "Source", confirming: "Confirming | None") -> Mapping[tuple[str, str], int]:
    return {**source.troubles(), **({} if confirming is None else confirming.troubles())}


def _check_room() -> None:
    """Raise OSError (EMFILE) if a start of the command would run out of descriptors: it would be
    retried forever."""
    spare = []
    try:
        spare += [os.dup(0) for _ in range(_SPARE)]
    finally:
        for descriptor in spare:
            os.close(descriptor)


def _child_logs(
    config: configuration.Config, commands: "Mapping[Job, Command]", log: "Log"
) -> "ChildLogs | None":
    if config.child_logs == "inherit":
        return None
    from leaderexec.stdio.relay import ChildLogs

    child_logs = ChildLogs(config.child_logs, config.identity, log)
    for command in commands.values():
        if command.follow is None:
            command.follow = child_logs.follow
    return child_logs


def clock() -> float:
    """Return seconds since boot, including time spent suspended (clock_gettime(2))."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
