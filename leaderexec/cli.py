"""The command line: what is asked for, and everything put together to do it.

Imports stand where they are needed. What comes before the subscription is counted in
milliseconds, and ``--help`` must not pay for an HTTP client.
"""

import gc
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from leaderexec import config as configuration
from leaderexec import options
from leaderexec._version import __version__

if TYPE_CHECKING:
    from leaderexec.core.events import Event
    from leaderexec.observe.logs import Log
    from leaderexec.process import child, signals, tty
    from leaderexec.supervisor import Source

EXIT_FAILURE = 125
# How long the last log lines may take to be written before we end without them.
_LAST_WORDS = 1.0
# With --poll-interval off a replaced lock file is found by inotify alone, or by this.
_LOOK_EVERY = 10.0


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Do what the command line says; return the exit code."""
    own, command = _split(arguments)
    if {"--help", "-h"} & set(own):
        from leaderexec.usage import help_text

        sys.stdout.write(help_text())
        return 0
    if {"--version", "-V"} & set(own):
        sys.stdout.write(f"leaderexec {__version__}\n")
        return 0
    try:
        if "--is-leader" in own:
            from leaderexec.questions import is_leader

            return is_leader([word for word in own if word != "--is-leader"], environ)
        if "--check" in own:
            from leaderexec.questions import check

            return check([word for word in own if word != "--check"], command, environ)
        return _run_command(own, command, environ)
    except options.UsageError as error:
        _complain(str(error))
        return EXIT_FAILURE


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


def _run_command(own: Sequence[str], command: Sequence[str], environ: Mapping[str, str]) -> int:
    from leaderexec.process import child, kernel, signals, tty

    given = options.parse(own, configuration.OPTIONS)
    if not command:
        raise options.UsageError(
            "no command is given; put it after --: leaderexec [OPTIONS] -- COMMAND [ARG...]"
        )
    try:
        path = child.find(command[0], environ.get("PATH", os.defpath))
    except child.CannotRun as error:
        _complain(f"{error}; nothing was started")
        return error.code
    config = configuration.load(given, command, environ, os.uname().nodename)

    _check_descriptors(config.pass_fd)
    receiver = signals.Receiver()
    kernel.become_subreaper()
    terminal = tty.controlling_terminal()
    launched = child.Command(
        child.Launch(
            path,
            config.command,
            dict(os.environb),
            pass_fds=config.pass_fd,
            death_signal=config.death_signal,
            terminal=terminal,
            launcher=child.find_launcher(),
        )
    )
    if config.election == "elector":
        # Now, while this process is small and has one thread.
        launched.prepare()
    return _supervise(config, launched, receiver, terminal)


def _check_descriptors(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        try:
            os.fstat(descriptor)
        except OSError:
            raise options.UsageError(
                f"--pass-fd is {descriptor}, but that descriptor is not open;"
                " open it for leaderexec, or leave the option out"
            ) from None


def _supervise(
    config: configuration.Config,
    launched: "child.Command",
    receiver: "signals.Receiver",
    terminal: "tty.Terminal | None",
) -> int:
    # Modules are no garbage. To look through them again and again while they are imported would
    # be a tenth of the start.
    gc.disable()
    from leaderexec.inbox import Inbox
    from leaderexec.observe.logs import Log

    log = Log(config.log_level, config.log_format, identity=config.identity)
    inbox = Inbox()
    source = _source(config, inbox.put, log)
    source.start(clock())

    from leaderexec import supervisor

    gc.enable()
    log.info("leaderexec started", version=__version__, **supervisor.startup_fields(config))
    log.start()
    loop = supervisor.Supervisor(config, launched, source, inbox, receiver, terminal, log, clock)
    code = loop.run()
    log.flush(_LAST_WORDS)
    return code


def _source(config: configuration.Config, put: "Callable[[Event], None]", log: "Log") -> "Source":
    if config.election == "elector":
        from leaderexec.election.elector import Elector

        return Elector(
            config.identity,
            config.sse_url or "",
            config.get_url or "",
            config.poll_interval,
            config.request_timeout,
            put,
            log,
            clock,
        )
    if config.election == "file":
        from leaderexec.election import lockfile

        try:
            return lockfile.LockFile(
                config.identity,
                config.lock_file or "",
                config.poll_interval or _LOOK_EVERY,
                put,
                log,
                clock,
            )
        except lockfile.CannotLock as error:
            raise options.UsageError(f"{error} (--lock-file)") from None
    from leaderexec.election.always import Always

    return Always(config.identity, put)


def clock() -> float:
    """Return seconds since boot, time in suspension included (clock_gettime(2))."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
