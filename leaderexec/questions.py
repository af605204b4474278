"""``--is-leader`` and ``--check``: asked once, answered plainly, without an HTTP library."""

import os
import sys
from collections.abc import Mapping, Sequence

from leaderexec import config as configuration
from leaderexec import lean, options
from leaderexec.options import Given, UsageError
from leaderexec.process.signals import unblock_all

with lean.imports():
    # Loads http.client, which would load OpenSSL.
    from leaderexec.election.answer import ElectionUnknown, ask_elector

LEADER, NOT_LEADER, UNKNOWN = 0, 1, 125


def answer(own: Sequence[str], command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Answer the question that is asked; return the exit code. Raises UsageError."""
    unblock_all()
    if "--is-leader" in own:
        return is_leader([word for word in own if word != "--is-leader"], environ)
    if "--check" in own:
        return check([word for word in own if word != "--check"], command, environ)
    return status([word for word in own if word != "--status"], environ)


def is_leader(own: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print the leader's name, unless ``--quiet``; return 0, 1 or 125.

    Raises UsageError, which is 125 too.
    """
    quiet = "--quiet" in own
    values = _settle([word for word in own if word != "--quiet"], environ)
    config = configuration.build(values, ())
    try:
        leader = _who_leads(config)
    except ElectionUnknown as error:
        _say(f"leaderexec: {error}", sys.stderr)
        return UNKNOWN
    if leader is not None and not quiet:
        _say(leader, sys.stdout)
    return LEADER if leader == config.identity else NOT_LEADER


def check(own: Sequence[str], command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print the configuration, each value's source, the worst overlap and who leads."""
    values = _settle(own, environ)
    config = configuration.build(values, command)
    width = max(len(option.name) for option in configuration.OPTIONS)
    for option in configuration.OPTIONS:
        given = values[option.name]
        _say(
            f"{option.name:{width}}  {options.show(option, given.value)}  ({given.source})",
            sys.stdout,
        )
    overlap = options.show_duration(config.worst_overlap)
    _say(
        f"worst overlap of an old and a new leader's command: {overlap}"
        " (max(0, grace-lost - takeover-delay), when a Lease is deleted by hand)",
        sys.stdout,
    )
    return UNKNOWN if _problems(config, command, environ) else 0


def status(own: Sequence[str], environ: Mapping[str, str]) -> int:
    """Show a running wrapper, with ``--watch`` again and again; return 0 or 125.

    Raises UsageError, which is 125 too.
    """
    from leaderexec.observe import asking

    given = options.parse([word for word in own if word != "--watch"], configuration.OPTIONS)
    address = options.resolve(given, environ, configuration.OPTIONS)["http"].value
    if not isinstance(address, options.Address):
        raise UsageError(
            "--status asks a running leaderexec at its --http address, and none is set;"
            " set --http or LEADEREXEC_HTTP, as for the one that runs"
        )
    try:
        (asking.watch if "--watch" in own else asking.show)(address)
    except asking.CannotAsk as error:
        _say(f"leaderexec: {error}", sys.stderr)
        return UNKNOWN
    return 0


def _problems(
    config: configuration.Config, command: Sequence[str], environ: Mapping[str, str]
) -> bool:
    """Try the command's file and the election; tell whether anything is wrong."""
    bad = False
    if command:
        from leaderexec.process.child import CannotRun, find

        try:
            path = find(command[0], environ.get("PATH", os.defpath))
            _say(f"command: {path}", sys.stdout)
        except CannotRun as error:
            _say(f"leaderexec: {error}", sys.stderr)
            bad = True
    try:
        leader = _who_leads(config)
        mine = "this replica" if leader == config.identity else "another replica"
        answer = "nobody is known to lead" if leader is None else f"{leader} leads ({mine})"
        _say(f"election: {answer}", sys.stdout)
    except ElectionUnknown as error:
        _say(f"leaderexec: {error}", sys.stderr)
        bad = True
    return bad


def _settle(own: Sequence[str], environ: Mapping[str, str]) -> dict[str, Given]:
    given = options.parse(own, configuration.OPTIONS)
    return configuration.settle(given, environ, os.uname().nodename)


def _who_leads(config: configuration.Config) -> str | None:
    if config.election == "off":
        return config.identity
    if config.election == "file":
        from leaderexec.election.lockfile import CannotLock, who_holds

        try:
            return who_holds(config.lock_file or "")
        except CannotLock as error:
            raise ElectionUnknown(str(error)) from None
    if config.get_url is None:
        raise UsageError("no GET URL is known; set --get-url or ELECTOR_GET_URL")
    return ask_elector(config.get_url, config.identity, config.request_timeout)


def _say(line: str, stream: object) -> None:
    print(line, file=stream)  # type: ignore[call-overload]
