"""Queries that take the place of running a command, answered without an HTTP library."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from leaderexec.config import options
from leaderexec.config import settings as configuration
from leaderexec.config.options import Given, UsageError
from leaderexec.election.kind import ElectionUnknown
from leaderexec.printable import printable
from leaderexec.process import limits
from leaderexec.process.signals import unblock_all

if TYPE_CHECKING:
    from leaderexec.console import screen

LEADER, NOT_LEADER, UNKNOWN = 0, 1, 125


def answer(
    question: str,
    given: Mapping[str, str],
    command: Sequence[str],
    environ: Mapping[str, str],
    asked: frozenset[str],
) -> int:
    """Answer the query; return the exit code. Raises UsageError."""
    unblock_all()
    if question == "--is-leader":
        return is_leader(given, environ, quiet="--quiet" in asked)
    if question == "--check":
        return check(given, command, environ)
    if question == "--step-down":
        return step_down(given, environ, until_taken="--until-taken" in asked)
    if question == "--say-ready":
        return say_ready()
    if question == "--elections":
        return elections()
    return status(given, environ, watch="--watch" in asked, as_json="--json" in asked)


def say_ready() -> int:
    """Say READY=1 for the program that runs this; return 0, or 125 if nobody has heard it."""
    from leaderexec import gate

    try:
        gate.ready()
    except (LookupError, OSError) as error:
        why = error.args[0] if isinstance(error, LookupError) else f"nobody hears it: {error}"
        _say(f"leaderexec: --say-ready: {why}", sys.stderr)
        return UNKNOWN
    return 0


def is_leader(given: Mapping[str, str], environ: Mapping[str, str], *, quiet: bool) -> int:
    """Print the leader's name, unless `quiet`; return 0, 1 or 125.

    Raises UsageError, which is 125 too.
    """
    values = _settle(given, environ)
    config = configuration.build(values, ())
    try:
        leader, mine = _who_leads(config, values, environ)
    except ElectionUnknown as error:
        _say(f"leaderexec: {error}", sys.stderr)
        return UNKNOWN
    if leader is not None and not quiet:
        _say(leader, sys.stdout)
    if mine is None:
        _say(
            "leaderexec: several replicas may run here, and it is unclear which one is meant;"
            " set --identity to the identity of that replica",
            sys.stderr,
        )
        return UNKNOWN
    return LEADER if mine else NOT_LEADER


def _who_leads(
    config: configuration.Config, values: Mapping[str, Given], environ: Mapping[str, str]
) -> tuple[str | None, bool | None]:
    """Return who leads, and whether this replica does: according to the leaderexec running here,
    if there is exactly one for this election, else according to the election itself."""
    was_named = values["identity"].by_us
    if config.kind.releases and config.control_socket is not None:
        from leaderexec.control import client

        setting = config.kind.which(configuration.shown(values))
        fits = [
            one
            for one in client.running(environ, config.control_socket)
            if (one.election, one.setting) == (config.election, setting)
            and (one.identity == config.identity or not was_named)
        ]
        if len(fits) == 1 and fits[0].confirmed:
            if fits[0].leader is not None:
                return fits[0].leader, fits[0].is_leader
            return config.kind.ask(config, was_named=was_named)[0], fits[0].is_leader
    return config.kind.ask(config, was_named=was_named)


def step_down(given: Mapping[str, str], environ: Mapping[str, str], *, until_taken: bool) -> int:
    """Make the leaderexec running here release leadership; return the exit code. Raises
    UsageError."""
    from leaderexec.console import step_down as console

    values = options.resolve(given, environ, configuration.OPTIONS)
    hold_off = values["hold-off"].value
    control_socket, identity = values["control-socket"].value, values["identity"].value
    if control_socket is None:
        raise UsageError(
            f"{values['control-socket'].source} is off, so no leaderexec can be asked to step down;"
            " leave it out, also for the one that runs"
        )
    return console.step_down(
        environ,
        str(control_socket),
        None if identity is None else str(identity),
        float(str(hold_off)),
        until_taken=until_taken,
    )


def check(given: Mapping[str, str], command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print the configuration, each value's source, the worst overlaps and who leads."""
    values = _settle(given, environ)
    config = configuration.build(values, command)
    width = max(len(option.name) for option in configuration.OPTIONS)
    for option in configuration.OPTIONS:
        value = values[option.name]
        _say(
            f"{option.name:{width}}  {options.show(option, value.value)}  ({value.source})",
            sys.stdout,
        )
    for warning in configuration.warnings(values, environ):
        _say(f"warning: {warning}", sys.stdout)
    if command and limits.lacks_cap_kill():
        _say(
            "warning: running as root without the capability KILL: a command that changes its user"
            " (gosu, setpriv, sudo) can't be stopped; add KILL to the container's capabilities",
            sys.stdout,
        )
    for warning in config.kind.warnings(config):
        _say(f"warning: {warning}", sys.stdout)
    _say_overlaps(config)
    named = values["identity"].by_us
    return UNKNOWN if _problems(config, command, environ, named=named) else 0


def _say_overlaps(config: configuration.Config) -> None:
    found = config.kind.overlaps(config)
    if found:
        _say("worst overlap of an old and a new leader's command, by cause:", sys.stdout)
    for overlap in found:
        _say(f"  {overlap}", sys.stdout)
    if (costs := config.kind.ordinary_move(config)) is not None:
        _say(f"an ordinary move costs {costs}", sys.stdout)


def elections() -> int:
    """List the available kinds of election."""
    from leaderexec.election import plugins

    for line in plugins.listed():
        _say(line, sys.stdout)
    return 0


def status(
    given: Mapping[str, str], environ: Mapping[str, str], *, watch: bool, as_json: bool
) -> int:
    """Show the status of a running leaderexec, or of all its replicas; with `watch` repeatedly.
    Return 0 or 125. Raises UsageError, which is 125 too."""
    from leaderexec.console import screen

    if watch and as_json:
        raise UsageError("--watch and --json can't be combined; leave one of them out")
    draw = _status_drawn(options.resolve(given, environ, configuration.OPTIONS), as_json=as_json)
    try:
        (screen.watch if watch else screen.show)(draw)
    except screen.CannotAsk as error:
        _say(f"leaderexec: {error}", sys.stderr)
        return UNKNOWN
    return 0


def _status_drawn(values: Mapping[str, Given], *, as_json: bool) -> "screen.Draw":
    """Return what asks and draws. Raises UsageError."""
    address, peers = values["http"].value, values["peers"].value
    http = address if isinstance(address, options.Address) else None
    if peers and isinstance(peers, tuple):
        from leaderexec.console import peers_table
        from leaderexec.peers.asking import Asking

        configuration.check_ports(peers, http)
        asking = Asking(peers, None if http is None else http.port)
        return partial(peers_table.in_json if as_json else peers_table.draw, asking)
    if http is None:
        raise UsageError(
            "--status needs the --http address of the running leaderexec, and none is set;"
            " set --http or LEADEREXEC_HTTP to the same address, or --peers for all replicas"
        )
    from leaderexec.console import status_client

    return partial(status_client.in_json if as_json else status_client.draw, http)


def _problems(
    config: configuration.Config,
    command: Sequence[str],
    environ: Mapping[str, str],
    *,
    named: bool,
) -> bool:
    """Check the command's file and the election; return whether there is a problem."""
    bad = False
    if command:
        from leaderexec.process.command import CannotRun, find

        try:
            path = find(command[0], environ.get("PATH", os.defpath))
            _say(f"command: {path}", sys.stdout)
        except CannotRun as error:
            _say(f"leaderexec: {error}", sys.stderr)
            bad = True
    for line, is_good in (*config.kind.inspect(config), *_label_rights(config)):
        _say(line, sys.stdout)
        bad = bad or not is_good
    try:
        leader, mine = config.kind.ask(config, was_named=named)
        who = {True: "this replica", False: "another replica", None: "a replica on this machine"}
        answer = "no leader is known" if leader is None else f"{leader} leads ({who[mine]})"
        _say(f"election: {answer}", sys.stdout)
    except ElectionUnknown as error:
        _say(f"leaderexec: {error}", sys.stderr)
        bad = True
    return bad


def _label_rights(config: configuration.Config) -> Iterator[tuple[str, bool]]:
    if config.leader_label is None:
        return iter(())
    from leaderexec.label import service

    return service.inspect(config)


def _settle(given: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, Given]:
    return configuration.settle(given, environ, os.uname().nodename, os.getpid())


def _say(line: str, stream: object) -> None:
    print(printable(line), file=stream)  # type: ignore[call-overload]
