"""All options, each declared once: the parser, help, environment and documentation use this table.

An option ``--foo-bar X`` is also ``LEADEREXEC_FOO_BAR=X``; the flag wins. Keep imports light: this
runs before the subscription.
"""

import os
import signal
from collections.abc import Callable, Mapping, Sequence

from leaderexec.core.record import Record, replace
from leaderexec.core.signals import signal_name
from leaderexec.light_typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

if TYPE_CHECKING:
    import re

PREFIX = "LEADEREXEC_"
# The group of options that choose and tune an election.
ELECTION = "Election"
_HIGHEST_CODE = 255
_MOST_SLOTS = 32
LONGEST_SOCKET_PATH = 107  # sun_path of unix(7), less its NUL

_T = TypeVar("_T")


def fullmatch(pattern: str, text: str) -> "re.Match[str] | None":
    """Do what re.fullmatch does. Most starts do not need it, and its import takes a fifteenth of
    the time until the command runs."""
    import re

    return re.fullmatch(pattern, text)


class UsageError(Exception):
    """The command line or the environment can't be used; the message says what to do. `code` is the
    exit code."""

    code = 125


class Option(Record):
    """One option. `read` converts its text to a value, or raises ValueError with what is allowed.
    With `repeats` it may be given several times, or once as a comma-separated list. `none` is the
    word for the value None. It has an effect only with the `kinds` of election listed (empty: with
    all), or with those for which the attribute `common_to` is true, and only if one of the options
    that it `needs` (empty: none) is not at its default. `decides` maps fields of the core's Policy
    to functions that make them from its value.
    """

    name: str
    metavar: str
    default: str | None
    read: Callable[[str], object]
    help: str
    group: str
    repeats: bool = False
    none: str = "-"
    kinds: tuple[str, ...] = ()
    common_to: str = ""
    needs: tuple[str, ...] = ()
    decides: Mapping[str, Callable[[Any], object]] = {}

    @property
    def attribute(self) -> str:
        """The option as an attribute of the Settings that declare it."""
        return self.name.replace("-", "_")

    @property
    def flag(self) -> str:
        """The option as typed."""
        return f"--{self.name}"

    @property
    def variable(self) -> str:
        """The option as an environment variable."""
        return PREFIX + self.name.upper().replace("-", "_")

    @property
    def takes_value(self) -> bool:
        """False for a switch."""
        return bool(self.metavar)


class Address(Record):
    """Where to listen: a host and port, or a path. An empty host means all addresses."""

    host: str
    port: int
    path: str | None = None

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@overload
def option(
    metavar: str, default: str, read: Callable[[str], _T], help: str, group: str, **more: Any
) -> _T: ...
@overload
def option(
    metavar: str, default: None, read: Callable[[str], _T], help: str, group: str, **more: Any
) -> _T | None: ...
def option(
    metavar: str,
    default: str | None,
    read: Callable[[str], _T],
    help: str,  # noqa: A002 - the name of the field
    group: str,
    **more: Any,
) -> _T | None:
    """Declare an option as an attribute of Settings with that attribute's name and type; the type
    checker compares the annotation with what `read` returns. `more`: the other fields of Option."""
    return Option("", metavar, default, read, help, group, **more)  # type: ignore[return-value]


def settled(value: _T | None) -> _T:
    """Declare an option whose value is never None once all are settled."""
    return value  # type: ignore[return-value]


class Settings:
    """Options as attributes, declared by a subclass; an instance has their values, and is
    immutable."""

    options: ClassVar[tuple[Option, ...]] = ()

    def __init_subclass__(cls) -> None:
        cls.options = tuple(
            replace(declared, name=attribute.replace("_", "-"))
            for attribute, declared in vars(cls).items()
            if isinstance(declared, Option)
        )

    def __init__(self, values: Mapping[str, Any]) -> None:
        """Take the values of the options declared here from those of all, by option name."""
        vars(self).update({option.attribute: values[option.name] for option in self.options})

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name} can't be set: settings never change")


class Given(Record):
    """A value and where it came from: the flag, the variable's name, or "default"."""

    value: object
    source: str

    @property
    def by_flag(self) -> bool:
        """True if it was given on the command line."""
        return self.source.startswith("--")

    @property
    def by_us(self) -> bool:
        """True if it was set for leaderexec: by a flag, or a LEADEREXEC_ variable."""
        return self.by_flag or self.source.startswith(PREFIX)


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
LONGEST = 30 * 24 * 3600.0


def duration(text: str) -> float:
    """Read ``500ms``, ``10s``, ``2m`` or ``1h`` as seconds; a bare ``0`` needs no unit."""
    if text == "0":
        return 0.0
    number = text.rstrip("hms")
    unit = text.removeprefix(number)
    whole, point, part = number.partition(".")
    digits = whole if not point else whole and part and whole + part
    if unit not in _UNITS or not (digits.isascii() and digits.isdigit()):
        raise ValueError("a duration with its unit, such as 500ms, 10s, 2m or 1h")
    seconds = float(number) * _UNITS[unit]
    if seconds > LONGEST:
        raise ValueError("at most 720h")
    return seconds


def duration_more_than_0(text: str) -> float:
    """Read a duration that is not 0."""
    seconds = duration(text)
    if seconds == 0:
        raise ValueError("more than 0, such as 500ms or 10s")
    return seconds


def whole_seconds(text: str) -> float:
    """Read a duration of whole seconds that is not 0."""
    seconds = duration_more_than_0(text)
    if seconds != int(seconds):
        raise ValueError("whole seconds, such as 22s")
    return seconds


def duration_or(word: str, *, zero: bool = False) -> Callable[[str], float | None]:
    """Read a duration, positive unless `zero` is allowed, or `word` as None."""

    def read(text: str) -> float | None:
        if text.lower() == word:
            return None
        try:
            seconds = duration(text)
        except ValueError as error:
            raise ValueError(f"{error}, or {word}") from None
        if seconds == 0 and not zero:
            raise ValueError(f"more than 0, or {word}")
        return seconds

    return read


def show_duration(seconds: float | None, word: str = "never") -> str:
    """Write seconds as the options do: the largest unit that keeps the number whole."""
    if seconds is None:
        return word
    if seconds == 0:
        return "0s"
    for unit in ("h", "m", "s"):
        count = seconds / _UNITS[unit]
        if count == int(count):
            return f"{int(count)}{unit}"
    return f"{seconds * 1000:g}ms"


def signal_number(text: str) -> int:
    """Read TERM, SIGTERM, 15, RTMIN+3 or SIGRTMAX-1 (signal(7))."""
    number = _signal_number(text)
    if number is None:
        raise ValueError("a signal's name or number, such as TERM, SIGQUIT, 15 or RTMIN+3")
    return number


def signal_or(word: str) -> Callable[[str], int | None]:
    """Read a signal, or `word` as None."""

    def read(text: str) -> int | None:
        if text.lower() == word:
            return None
        try:
            return signal_number(text)
        except ValueError as error:
            raise ValueError(f"{error}, or {word}") from None

    return read


def end_signal(text: str) -> int:
    """Read a signal that may be an order to end."""
    number = signal_number(text)
    if number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD):
        raise ValueError(
            f"signals that can be received and mean nothing else, such as QUIT or RTMIN+3, not"
            f" {signal_name(number).removeprefix('SIG')}"
        )
    return number


def _signal_number(text: str) -> int | None:
    name = text.upper().removeprefix("SIG")
    number: int | None = None
    if _is_whole(name, digits=9):
        number = int(name)
    elif name.startswith("RTM") and (match := fullmatch(r"RTM(IN|AX)([+-][0-9]{1,9})?", name)):
        number = (signal.SIGRTMIN if match[1] == "IN" else signal.SIGRTMAX) + int(match[2] or 0)
    else:
        found = getattr(signal, f"SIG{name}", None)
        number = int(found) if isinstance(found, signal.Signals) else None
    return number if number in signal.valid_signals() else None


class OneOf:
    """Reads one of these words, in any case."""

    def __init__(self, *allowed: str) -> None:
        self.allowed = allowed

    def __call__(self, text: str) -> str:
        """Return the word; raise ValueError with the allowed ones."""
        word = text.lower()
        if word not in self.allowed:
            raise ValueError(f"{', '.join(self.allowed[:-1])} or {self.allowed[-1]}")
        return word


def switch(text: str) -> bool:
    """Read a switch's variable."""
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError("1 or 0")


def http_url(text: str) -> str:
    """Read a plain-HTTP URL: the elector is on loopback and speaks no TLS."""
    match = fullmatch(r"""http://([^/?#@\s]+)(/[!"$-~]*)?""", text)
    if match is None:
        raise ValueError("an http:// URL with a host, such as http://localhost:4040/sse")
    _host_and_port(match[1])
    return text


def _is_host(text: str) -> bool:
    """Return whether what is in brackets, if anything, is an IPv6 address."""
    if not text.startswith("["):
        return True
    import socket

    try:
        socket.inet_pton(socket.AF_INET6, text[1:-1])
    except OSError:
        return False
    return True


def server_url(text: str) -> str:
    """Read an API server's URL."""
    if not fullmatch(r"""https?://[!$-.0->A-~]+(/[!"$->@-~]*)?""", text):
        raise ValueError("an http:// or https:// URL, such as http://localhost:8001")
    return text


def host_and_optional_port(text: str) -> tuple[str, int | None]:
    """Split ``host:port`` or ``host``, an IPv6 address without its brackets. Raises ValueError."""
    match = fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?", text)
    if (
        match is None
        or (match[2] and not 0 < int(match[2]) < 65536)  # noqa: PLR2004 - ports
        or not _is_host(match[1])
    ):
        raise ValueError("a host and port, such as localhost:4040")
    return match[1].strip("[]"), int(match[2]) if match[2] else None


def _host_and_port(text: str) -> str:
    host_and_optional_port(text)
    return text


def host_and_port(text: str) -> str:
    """Read ``host:port`` without a scheme (``ELECTOR_PATH``)."""
    return _host_and_port(text)


def listen_address(text: str) -> Address:
    """Read ``:8080``, ``127.0.0.1:8080``, ``[::]:8080`` or ``unix:/path``."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/") or len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
            raise ValueError(f"unix: and an absolute path of at most {LONGEST_SOCKET_PATH} bytes")
        return Address("", 0, path)
    match = fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]*):([0-9]{1,5})", text)
    if match is None or int(match[2]) > 65535 or not _is_host(match[1]):  # noqa: PLR2004 - ports
        raise ValueError(":8080, 127.0.0.1:8080, [::]:8080 or unix:/path")
    return Address(match[1].strip("[]"), int(match[2]))


def socket_path(text: str) -> str | None:
    """Read ``auto``, ``off`` (None), or the path of a socket (unix(7))."""
    if text.lower() == "off":
        return None
    if text.lower() == "auto":
        return "auto"
    if not text.startswith("/") or len(os.fsencode(text)) > LONGEST_SOCKET_PATH:
        raise ValueError(f"auto, off, or an absolute path of at most {LONGEST_SOCKET_PATH} bytes")
    return text


def host_name(text: str) -> str:
    """Read a host's name, as a Host header has it (RFC 9110, section 7.2), without the port."""
    if fullmatch(r"[A-Za-z0-9._-]{1,253}", text) is None:
        raise ValueError("host names without a port, such as my-worker.my-namespace.svc")
    return text.lower().removesuffix(".")


def peer(text: str) -> str:
    """Read a replica's address: a name or an address, with a port or without."""
    try:
        return _host_and_port(text)
    except ValueError:
        raise ValueError(
            "names and addresses, with the port unless it is that of --http, such as my-workers or"
            " 10.1.0.7:8080,[fd00::7]:8080"
        ) from None


class Label(Record):
    """A label of a Kubernetes object."""

    key: str
    value: str

    def __str__(self) -> str:
        return f"{self.key}={self.value}"


_LABEL_NAME = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_SUBDOMAIN = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"


def label(text: str) -> Label:
    """Read ``KEY=VALUE``, a label by Kubernetes' own rules, with a value."""
    key, equals, value = text.partition("=")
    prefix, slash, name = key.rpartition("/")
    shape = "1 to 63 letters, digits, -, _ and ., with a letter or digit at both ends"
    why = None
    if not equals:
        why = "there is no ="
    elif slash and not (len(prefix) <= 253 and fullmatch(_SUBDOMAIN, prefix)):  # noqa: PLR2004
        why = f"the key's prefix {prefix!r} is no DNS name in lower case"
    elif not fullmatch(_LABEL_NAME, name):
        why = f"the key's name {name!r} is not {shape}"
    elif not fullmatch(_LABEL_NAME, value):
        why = f"the value {value!r} is not {shape}"
    if why is not None:
        raise ValueError(f"KEY=VALUE as Kubernetes has labels, such as role=leader; {why}")
    return Label(key, value)


def image(text: str) -> str:
    """Read the name of a container image."""
    if fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,511}", text) is None:
        raise ValueError("a container image, such as registry.example/team/worker:1.2")
    return text


def once_key(text: str) -> str:
    """Read the key of what is done once. It is a word, so that several can be kept as one text."""
    if fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}", text) is None:
        raise ValueError("1 to 128 letters, digits, and . _ : / @ + -, such as v1.4.2")
    return text


def _is_whole(text: str, digits: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= digits


def slots(text: str) -> int:
    """Read the number of slots. A replica follows each of them, with threads and connections."""
    if not (_is_whole(text, digits=2) and 1 <= int(text) <= _MOST_SLOTS):
        raise ValueError(f"a whole number from 1 to {_MOST_SLOTS}")
    return int(text)


def identity(text: str) -> str:
    """Read a replica's name."""
    if not 0 < len(text) <= 253 or not text.isprintable() or text != text.strip():  # noqa: PLR2004 - DNS
        raise ValueError("1 to 253 printable characters, as the elector announces them")
    return text


def count(text: str) -> int:
    """Read a whole number from 0."""
    if not _is_whole(text, digits=9):
        raise ValueError("a whole number from 0")
    return int(text)


def count_from_1(text: str) -> int:
    """Read a whole number from 1."""
    if text.strip("0") == "" or count(text) == 0:
        raise ValueError("a whole number from 1")
    return count(text)


def each(read: Callable[[str], _T]) -> Callable[[str], tuple[_T, ...]]:
    """Read a comma-separated list."""

    def read_all(text: str) -> tuple[_T, ...]:
        return tuple(read(part.strip()) for part in text.split(",") if part.strip())

    return read_all


def words(text: str) -> tuple[str, ...]:
    """Read a command with its arguments, quoted as in a shell; it is run without one."""
    import shlex

    try:
        found = tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(f"a command with its arguments, quoted as in a shell ({error})") from None
    if not found:
        raise ValueError("a command with its arguments, such as 'curl -sf localhost:8080/warm-up'")
    return found


def exit_status(text: str) -> int:
    """Read an exit code, or a signal's name as the code of a command that it killed."""
    is_number = _is_whole(text, digits=9)
    if is_number and int(text) <= _HIGHEST_CODE:
        return int(text)
    number = None if is_number else _signal_number(text)
    if number is None:
        raise ValueError("exit codes from 0 to 255 and signals, such as 0,3,TERM")
    return 128 + number


def exit_code(text: str) -> int:
    """Read an exit code."""
    if not (_is_whole(text, digits=9) and int(text) <= _HIGHEST_CODE):
        raise ValueError("an exit code from 0 to 255")
    return int(text)


def rewriting(text: str) -> tuple[int, int]:
    """Read ``HUP=USR1`` as two numbers; ``HUP=`` as the signal and 0, which swallows it."""
    before, equals, after = text.partition("=")
    if not equals:
        raise ValueError("SIGNAL=SIGNAL or SIGNAL=, such as HUP=USR1 or WINCH=")
    received = _signal_number(before)
    sent = _signal_number(after) if after else 0
    if received is None or sent is None:
        wrong = before if received is None else after
        raise ValueError(f"SIGNAL=SIGNAL or SIGNAL=, such as HUP=USR1; {wrong!r} is not a signal")
    return received, sent


def descriptor(text: str) -> int:
    """Read a file descriptor beyond the standard three, which are always inherited."""
    if not (_is_whole(text, digits=7) and int(text) > 2):  # noqa: PLR2004
        raise ValueError("a number from 3, of a descriptor that is open")
    return int(text)


def nearest(name: str, names: Sequence[str]) -> str | None:
    """Return the name that was probably meant."""
    from difflib import get_close_matches

    near = get_close_matches(name, names, 1)
    return near[0] if near else None


def find(name: str, table: Sequence[Option], others: Sequence[str] = ()) -> Option:
    """Return the option called `name` (without dashes); raise UsageError with the nearest one,
    which may be one of `others`."""
    for option in table:
        if option.name == name:
            return option
    near = nearest(name, [*(option.name for option in table), *others])
    hint = f"; did you mean --{near}?" if near else "; see leaderexec --help"
    raise UsageError(f"there is no option --{name}{hint}")


def parse(
    arguments: Sequence[str], table: Sequence[Option], words: Mapping[str, str] | None = None
) -> tuple[dict[str, str], list[str]]:
    """Split ``--name value``, ``--name=value`` and switches into texts by option name; return them,
    and which of `words` (a mapping from what is typed to its full form) are among the arguments."""
    given: dict[str, str] = {}
    asked: list[str] = []
    words = words or {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word in words:
            asked.append(words[word])
            continue
        if not word.startswith("--"):
            raise UsageError(
                f"{word!r} is not an option; put -- before the command:"
                f" leaderexec [OPTIONS] -- {word} ..."
            )
        name, equals, value = word[2:].partition("=")
        if f"--{name}" in words:
            raise UsageError(f"--{name} takes no value; leave out ={value}")
        option = find(name, table, [other[2:] for other in words if other.startswith("--")])
        if option.takes_value and not equals:
            if not rest or (rest[0].startswith("--") and rest[0] != "--"):
                raise UsageError(f"{option.flag} needs a value: {option.flag} {option.metavar}")
            value = rest.pop(0)
        if not option.takes_value:
            value = value if equals else "1"
        given[name] = f"{given[name]},{value}" if option.repeats and name in given else value
    return given, asked


def named(
    option: Option, arguments: Sequence[str], environ: Mapping[str, str]
) -> tuple[str, str] | None:
    """Return an option's text and where it came from, as `parse` and `resolve` will find it; None
    if it is not given. For what must be known before the table is complete."""
    given = None
    for word, after in zip(arguments, [*arguments[1:], ""], strict=False):
        if word == option.flag:
            given = after
        elif word.startswith(f"{option.flag}="):
            given = word.partition("=")[2]
    if given is not None:
        return given, option.flag
    text = environ.get(option.variable)
    return (text, option.variable) if text else None


def resolve(
    given: Mapping[str, str], environ: Mapping[str, str], table: Sequence[Option]
) -> dict[str, Given]:
    """Read every option from the flag, else its variable, else its default.

    Raises UsageError that names the option, the value and what is allowed.
    """
    values: dict[str, Given] = {}
    for option in table:
        if option.name in given:
            text, source = given[option.name], option.flag
        elif environ.get(option.variable):
            text, source = environ[option.variable], option.variable
        elif option.default is None:
            values[option.name] = Given(None, "default")
            continue
        else:
            text, source = option.default, "default"
        try:
            values[option.name] = Given(option.read(text), source)
        except ValueError as error:
            # A refused URL ends up in the container's logs.
            import re

            shown = re.sub("//[^/@]*@", "//...@", text)
            shown = shown if len(shown) <= 80 else shown[:77] + "..."  # noqa: PLR2004 - a line
            # What is allowed may quote a part of it.
            raise UsageError(f"{source} is {shown!r}; allowed: {str(error)[:400]}") from None
    return values


def show(option: Option, value: object) -> str:
    """Write a value as the option would be given."""
    if value is None:
        return option.none
    if isinstance(value, bool):
        return ("0", "1")[value]
    if option.repeats and isinstance(value, tuple):
        show_part = _short_signal_name if option.metavar == "SIGNALS" else _show_part
        return ",".join(show_part(part) for part in value) or "-"
    return _SHOWN_AS.get(option.metavar, str)(value)


def _show_part(part: object) -> str:
    if isinstance(part, tuple):
        received, sent = part
        return f"{_short_signal_name(received)}={_short_signal_name(sent) if sent else ''}"
    return str(part)


def _short_signal_name(number: int) -> str:
    return signal_name(number).removeprefix("SIG")


def _quoted(command: Sequence[str]) -> str:
    import shlex

    return shlex.join(command)


_SHOWN_AS: dict[str, Callable[[Any], str]] = {
    "DURATION": show_duration,
    "SIGNAL": _short_signal_name,
    "COMMAND": _quoted,
}
