"""Kinds of election from other packages: entry points of the group ``leaderexec.elections``.

Only the requested one is loaded, and only if no built-in kind has its name: listing what is
installed takes half as long as a plain start.
"""

import sys
from collections.abc import Collection, Iterator, Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from leaderexec._version import __version__
from leaderexec.config.options import Option, UsageError, nearest
from leaderexec.election import KINDS
from leaderexec.election.kind import INTERFACE, Kind

GROUP = "leaderexec.elections"


class Unusable(Exception):
    """A plug-in that can't be used; the message says why and what to do."""


def load(text: str, source: str, table: Sequence[Option]) -> Kind:
    """Return the kind of a plug-in, whose options are not in `table` yet. Raises UsageError."""
    name = text.lower()
    found = {point.name: point for point in _installed()}
    if name not in found:
        raise UsageError(_unknown(text, source, found))
    try:
        return _kind(name, table)
    except Unusable as error:
        raise UsageError(f"{source} is {text!r}, but {error}") from None


def _unknown(text: str, source: str, installed: Collection[str]) -> str:
    built_in = ["auto", *(kind.name for kind in KINDS)]
    near = nearest(text.lower(), [*built_in, *installed])
    meant = f"; did you mean {near}?" if near else ""
    plugged = ", ".join(sorted(installed)) or "none is installed"
    return (
        f"{source} is {text!r}; allowed: {', '.join(built_in)}, or the name of a plug-in"
        f" ({plugged}){meant}; a plug-in has to be installed beside leaderexec:"
        f" {_pip()} PACKAGE"
    )


def _pip(*words: str) -> str:
    return " ".join((sys.executable, "-m pip install", *words))


def _installed() -> list[EntryPoint]:
    return sorted(entry_points(group=GROUP), key=lambda point: (point.name, _package(point)))


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "no package"


def _kind(name: str, table: Sequence[Option]) -> Kind:
    """Return the installed kind of this name. Raises Unusable."""
    points = [point for point in _installed() if point.name == name]
    packages = [_package(point) for point in points]
    if len(set(packages)) > 1:
        raise Unusable(
            f"{' and '.join(packages)} both have a plug-in of this name; uninstall one of them"
        )
    point, package = points[0], packages[0]
    try:
        declared = point.load()
        kind = declared()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code
        said = f"{type(error).__name__}: {error}".partition("\n")[0][:300]
        raise Unusable(
            f"its plug-in, {package}, can't be loaded: {said}; install it with what it needs:"
            f" {_pip('--upgrade', package.partition(' ')[0])}"
        ) from None
    if (why := unfit(kind, name, table)) is not None:
        raise Unusable(f"its plug-in, {package}, does not fit leaderexec {__version__}: {why}")
    assert isinstance(kind, Kind)  # noqa: S101 - it is fit
    return kind


def unfit(kind: object, name: str, table: Sequence[Option]) -> str | None:
    """Return why this can't be the kind of this name, given the existing options; None if it
    can."""
    if not isinstance(kind, Kind):
        return f"{kind!r} is no leaderexec.election.kind.Kind"[:300]
    if kind.interface != INTERFACE:
        return (
            f"it was written for interface {kind.interface!r}, and this is {INTERFACE}; install"
            " versions of both that fit each other"
        )
    if getattr(kind, "name", None) != name:
        return f"it calls itself {getattr(kind, 'name', None)!r}"
    taken = {option.name for option in table}
    for option in kind.settings.options:
        if option.name in taken:
            return f"its option {option.flag} is one of leaderexec's own"
        if option.kinds != (name,):
            return f"its option {option.flag} does not declare kinds=({name!r},)"
    return None


def listed() -> Iterator[str]:
    """Yield a line for each installed kind: its name, its package, and what it is; also
    what is missing, or why it can't be used."""
    rows = [
        (kind.name, f"leaderexec {__version__}", _described(kind, "leaderexec")) for kind in KINDS
    ]
    built_in = {kind.name for kind in KINDS}
    for point in _installed():
        package = _package(point)
        if point.name in built_in:
            what = "ignored: the kind that is built in has this name"
        else:
            try:
                kind = _kind(point.name, ())
                what = _described(kind, package.partition(" ")[0])
            except Unusable as error:
                what = f"can't be used: {error}"
        rows.append((point.name, package, what))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, package, what in rows:
        yield f"{name:{widths[0]}}  {package:{widths[1]}}  {what}"


def _described(kind: Kind, package: str) -> str:
    """Describe when it leads, and what is missing for it."""
    what = kind.leads_when
    if kind.library:
        try:
            import_module(kind.library)
        except ImportError:
            wanted = f"'{package}[{kind.extra}]'" if kind.extra else package
            return f"{what}; can't be used yet: {_pip(wanted)}"
    return what
