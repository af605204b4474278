"""``--is-leader`` and ``--check``: asked once, answered plainly, without an HTTP library."""

import os
import sys
from collections.abc import Mapping, Sequence

from leaderexec import config as configuration
from leaderexec import lean, options
from leaderexec.core.announcement import is_named
from leaderexec.options import Given, UsageError

with lean.imports():
    # Loads http.client, which would load OpenSSL.
    from leaderexec.election.answer import ElectionUnknown, ask_elector

LEADER, NOT_LEADER, UNKNOWN = 0, 1, 125


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
    return LEADER if is_named(config.identity, leader) else NOT_LEADER


def check(own: Sequence[str], command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print the configuration, each value's source, the worst overlap and who leads."""
    values = _settle(own, environ)
    config = configuration.build(values, command)
    width = max(len(option.name) for option in configuration.OPTIONS)
    for option in configuration.OPTIONS:
        given = values[option.name]
        _say(f"{option.name:{width}}  {_show(option, given)}  ({given.source})", sys.stdout)
    overlap = options.show_duration(config.worst_overlap)
    _say(
        f"worst overlap of an old and a new leader's command: {overlap}"
        " (max(0, grace-lost - takeover-delay), when a Lease is deleted by hand)",
        sys.stdout,
    )
    return UNKNOWN if _problems(config, command, environ) else 0


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
        mine = "this replica" if is_named(config.identity, leader) else "another replica"
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
    return ask_elector(config.get_url, config.request_timeout)


def _show(option: options.Option, given: Given) -> str:
    value = given.value
    if value is None:
        return {"poll-interval": "off", "contact-timeout": "never"}.get(option.name, "-")
    if isinstance(value, bool):
        return "1" if value else "0"
    if option.metavar == "DURATION" and isinstance(value, float):
        return options.show_duration(value)
    if option.metavar == "SIGNAL" and isinstance(value, int):
        return _signal_name(value)
    if isinstance(value, tuple):
        return ",".join(_show_part(part) for part in value) or "-"
    return str(value)


def _show_part(part: object) -> str:
    if isinstance(part, tuple):
        received, sent = part
        return f"{_signal_name(received)}={_signal_name(sent) if sent else ''}"
    return str(part)


def _signal_name(number: int) -> str:
    from leaderexec.core.machine import signal_name

    return signal_name(number).removeprefix("SIG")


def _say(line: str, stream: object) -> None:
    print(line, file=stream)  # type: ignore[call-overload]
