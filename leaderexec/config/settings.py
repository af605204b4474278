"""The effective configuration: options resolved, checked together, and explained. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from leaderexec.config import options
from leaderexec.config.options import Given, Option, UsageError
from leaderexec.core.signals import signal_name
from leaderexec.election import KINDS, Kind, kind_called

# A GET on loopback is answered within milliseconds; a busy node may need seconds.
LONGEST_REQUEST = 5.0
# With --poll-interval off a replaced lock file is found by inotify, or else by this.
LOOK_EVERY = 10.0

# What the command is told. None of them is read as an option: a leaderexec inside a leaderexec must
# not inherit what the outer one was told.
TOLD = (
    "LEADEREXEC",
    "LEADEREXEC_REPLICA",
    "LEADEREXEC_LEADER",
    "LEADEREXEC_LEADER_SINCE",
    "LEADEREXEC_TERM",
    "LEADEREXEC_SOURCE",
    "LEADEREXEC_FENCE",
    "LEADEREXEC_GATE",
    "LEADEREXEC_HOOK",
    "LEADEREXEC_EXIT_CODE",
)

_ELECTION = options.ELECTION
_COMMAND = "The command"
_HOOKS = "Hooks"
_HTTP = "HTTP"
_LOGS = "Logs"

_GENERAL: tuple[Option, ...] = (
    Option(
        "election",
        "KIND",
        "auto",
        options.OneOf("auto", *(kind.name for kind in KINDS)),
        "Where leadership comes from. "
        + " ".join(f"{kind.name}: {kind.leads_when}." for kind in KINDS)
        + " auto: the kind whose setting is given; a flag outranks every variable.",
        _ELECTION,
    ),
    Option(
        "identity",
        "NAME",
        None,
        options.identity,
        "This replica's name, as the elector announces it. Default: the kernel's hostname; with a"
        " lock file the hostname and leaderexec's pid (host.4711), since replicas on one machine"
        " have one hostname; with a Lease the hostname and the pod's uid, or a nonce.",
        _ELECTION,
    ),
    Option(
        "poll-interval",
        "DURATION",
        "10s",
        options.duration_or("off"),
        "How often to cross-check by GET, or with a lock file to look whether it is still the same."
        " off: for an elector without GET, and without the protection from one that hangs.",
        _ELECTION,
        none="off",
        kinds=("elector", "file"),
    ),
    Option(
        "takeover-delay",
        "DURATION",
        "auto",
        options.duration_or("auto", zero=True),
        "Wait so long between winning and starting. auto: --grace-lost and a second with an"
        " elector, so that the old leader's command is gone; nothing with a lock file or a Lease,"
        " which are free only then. 0s for those who prefer speed to certainty.",
        _ELECTION,
        none="auto",
    ),
    Option(
        "on-lost",
        "WHAT",
        "standby",
        options.OneOf("standby", "exit"),
        "After a loss: stay up and compete again, or exit with 124.",
        _ELECTION,
        kinds=("elector", "file", "lease"),
    ),
    Option(
        "stop-signal",
        "SIGNAL",
        "TERM",
        options.signal_or("same"),
        "What tells the command to stop. same: an order to end is passed on as the signal that"
        " came, INT as INT; any other stop is TERM.",
        _COMMAND,
        none="same",
    ),
    Option(
        "end-on",
        "SIGNALS",
        "",
        options.each(options.end_signal),
        "Signals that end leaderexec beside TERM and INT, for an image whose STOPSIGNAL is another:"
        " QUIT for nginx and php-fpm. The command gets the very signal. May be repeated.",
        _COMMAND,
        repeats=True,
    ),
    Option(
        "grace",
        "DURATION",
        "25s",
        options.duration,
        "From the stop signal to KILL when leaderexec itself is told to stop. Keep it below the"
        " pod's terminationGracePeriodSeconds.",
        _COMMAND,
    ),
    Option(
        "grace-lost",
        "DURATION",
        "10s",
        options.duration,
        "The same when leadership moved or became unconfirmed: a rival is about to start.",
        _COMMAND,
    ),
    Option(
        "restart",
        "WHEN",
        "never",
        options.OneOf("never", "on-failure", "always"),
        "When the command ends by itself while leading: never ends leaderexec with its code.",
        _COMMAND,
    ),
    Option(
        "restart-limit",
        "COUNT",
        None,
        options.count,
        "End with the command's code after so many restarts in a row. Default: no limit.",
        _COMMAND,
        needs=("restart",),
    ),
    Option(
        "success-exit-status",
        "LIST",
        "0",
        options.each(options.exit_status),
        "Exit codes, and signals' names, that count as success beside 0, for --restart on-failure.",
        _COMMAND,
        repeats=True,
        needs=("restart",),
    ),
    Option(
        "signal-group",
        "",
        "0",
        options.switch,
        "Send signals, the stop signal and what is passed on, to the command's whole process group."
        " Default: to the command alone, which prefork servers need.",
        _COMMAND,
    ),
    Option(
        "rewrite",
        "SIGNAL=SIGNAL",
        "",
        options.each(options.rewriting),
        "Pass the second signal on where the first is received; SIGNAL= swallows it. May be"
        " repeated.",
        _COMMAND,
        repeats=True,
    ),
    Option(
        "death-signal",
        "SIGNAL",
        "TERM",
        options.signal_number,
        "What the kernel sends the command should leaderexec itself be killed.",
        _COMMAND,
    ),
    Option(
        "pass-fd",
        "NUMBER",
        "",
        options.each(options.descriptor),
        "A descriptor for the command to inherit beside 0, 1 and 2. May be repeated.",
        _COMMAND,
        repeats=True,
    ),
    Option(
        "on-start",
        "COMMAND",
        None,
        options.words,
        "Run this each time before the command starts, without a shell. What it leaves behind is"
        " stopped.",
        _HOOKS,
    ),
    Option(
        "on-start-timeout",
        "DURATION",
        "10s",
        options.duration_more_than_0,
        "When to KILL it.",
        _HOOKS,
        needs=("on-start",),
    ),
    Option(
        "on-stop",
        "COMMAND",
        None,
        options.words,
        "Run this each time after the command's whole tree is gone, also when --on-start was run"
        " and the command was not.",
        _HOOKS,
    ),
    Option(
        "on-stop-timeout",
        "DURATION",
        "5s",
        options.duration_more_than_0,
        "When to KILL it. This time is kept free at the end of --grace and --grace-lost.",
        _HOOKS,
        needs=("on-stop",),
    ),
    Option(
        "hook-failure",
        "WHAT",
        "ignore",
        options.OneOf("ignore", "abort"),
        "What follows when a hook fails or takes too long. ignore: it is logged. abort: the command"
        " is not started, or not again, and leaderexec ends with 125 where it would not have ended"
        " anyway.",
        _HOOKS,
        needs=("on-start", "on-stop"),
    ),
    Option(
        "http",
        "ADDR",
        None,
        options.listen_address,
        "Serve /livez, /readyz, /leader, /status and /metrics there: :8080, 127.0.0.1:8080,"
        " [::]:8080 or unix:/path. Default: nothing is served.",
        _HTTP,
    ),
    Option(
        "metrics",
        "WHETHER",
        "auto",
        options.OneOf("auto", "on", "off"),
        "Whether /metrics is served, which needs prometheus_client (leaderexec[metrics]). auto:"
        " where that is installed.",
        _HTTP,
        needs=("http",),
    ),
    Option(
        "http-hosts",
        "LIST",
        "",
        options.each(options.host_name),
        "Names by which --http may be asked, beside addresses and localhost: a Service's name, say."
        " Others are refused, so that no web page can read it. May be repeated.",
        _HTTP,
        repeats=True,
        needs=("http",),
    ),
    Option(
        "show-command",
        "",
        "0",
        options.switch,
        "Show the command line in /status, with whatever secrets it has. Default: the program's"
        " name alone.",
        _HTTP,
        needs=("http",),
    ),
    Option(
        "child-logs",
        "FORMAT",
        "inherit",
        options.OneOf("inherit", "json", "prefix"),
        "The command's own output. inherit: it gets stdout and stderr themselves. json: each line"
        " becomes a JSON object, or is completed if it is one. prefix: each line begins with"
        " identity and term.",
        _LOGS,
    ),
    Option(
        "log-format",
        "FORMAT",
        "auto",
        options.OneOf("auto", "json", "console"),
        "How leaderexec's own lines look on stderr. auto: console on a terminal, else json.",
        _LOGS,
    ),
    Option(
        "log-level",
        "LEVEL",
        "info",
        options.OneOf("debug", "info", "warning", "error"),
        "The least level that is logged.",
        _LOGS,
    ),
)

# The options of each kind stand behind those of all.
_FIRST = sum(option.group == _ELECTION for option in _GENERAL)
OPTIONS: tuple[Option, ...] = (
    *_GENERAL[:_FIRST],
    *(option for kind in KINDS for option in kind.options),
    *_GENERAL[_FIRST:],
)


class Config(NamedTuple):
    """What the user chose; durations in seconds, signals by number, None for off or never."""

    command: tuple[str, ...]
    election: str
    identity: str
    sse_url: str | None
    get_url: str | None
    poll_interval: float | None
    contact_timeout: float | None
    takeover_delay: float
    lock_file: str | None
    lease: str | None
    lease_duration: float
    renew_deadline: float
    retry_period: float
    kubeconfig: str | None
    api_server: str | None
    on_lost: str
    stop_signal: int | None
    end_on: tuple[int, ...]
    grace: float
    grace_lost: float
    restart: str
    restart_limit: int | None
    success_exit_status: tuple[int, ...]
    signal_group: bool
    rewrite: tuple[tuple[int, int], ...]
    death_signal: int
    pass_fd: tuple[int, ...]
    on_start: tuple[str, ...] | None
    on_start_timeout: float
    on_stop: tuple[str, ...] | None
    on_stop_timeout: float
    hook_failure: str
    http: options.Address | None
    metrics: str
    http_hosts: tuple[str, ...]
    show_command: bool
    child_logs: str
    log_format: str
    log_level: str

    @property
    def kind(self) -> Kind:
        """The kind of election, which knows its own rules."""
        return kind_called(self.election)

    @property
    def request_timeout(self) -> float:
        """Seconds until an unanswered GET is given up."""
        return min(LONGEST_REQUEST, self.poll_interval or LONGEST_REQUEST)

    @property
    def look_interval(self) -> float:
        """Seconds between two looks at whether the lock file is still the same."""
        return self.poll_interval or LOOK_EVERY


def load(
    given: Mapping[str, str],
    command: Sequence[str],
    environ: Mapping[str, str],
    hostname: str,
) -> Config:
    """Build the configuration; raise UsageError where options are bad alone or together."""
    return build(settle(given, environ, hostname), command)


def settle(
    given: Mapping[str, str], environ: Mapping[str, str], hostname: str, pid: int | None = None
) -> dict[str, Given]:
    """Return each option's effective value and where it came from. Raises UsageError.

    `pid` is this process's: with a lock file, replicas on one machine have one hostname.
    """
    values = options.resolve(given, environ, OPTIONS)
    # What is wrong with the settings of a kind that nobody has chosen is no matter.
    wrong: dict[str, UsageError] = {}
    for kind in KINDS:
        try:
            kind.complete(values, environ)
        except UsageError as error:
            wrong[kind.name] = error
    try:
        values["election"] = _election(values)
    except UsageError as error:
        raise next(iter(wrong.values()), error) from None
    if (name := str(values["election"].value)) in wrong:
        raise wrong[name]
    if values["identity"].value is None:
        values["identity"] = kind_called(str(values["election"].value)).own_name(hostname, pid)
    values["takeover-delay"] = _takeover_delay(values)
    return values


def build(values: Mapping[str, Given], command: Sequence[str]) -> Config:
    """Build the configuration from settled values; raise UsageError where they don't fit."""
    fields = {name.replace("-", "_"): given.value for name, given in values.items()}
    config = Config(command=tuple(command), **fields)  # type: ignore[arg-type]
    _check_together(config)
    return config


def _election(values: Mapping[str, Given]) -> Given:
    """Return the kind: a flag outranks every variable, a variable of ours the platform's."""
    chosen = values["election"]
    set_for = {
        kind.name: next(
            (values[name] for name in kind.chosen_by if values[name].value is not None), None
        )
        for kind in KINDS
        if kind.chosen_by
    }
    if chosen.value == "auto":
        return _kind_by_setting(set_for)
    if not chosen.by_flag:
        flags = {name: given for name, given in set_for.items() if given and given.by_flag}
        chosen = _kind_by_setting(flags) if flags else chosen
    if set_for.get(str(chosen.value), chosen) is None:
        raise UsageError(kind_called(str(chosen.value)).missing(chosen.source))
    return chosen


def _kind_by_setting(set_for: Mapping[str, Given | None]) -> Given:
    given_for = [(kind, given) for kind, given in set_for.items() if given is not None]
    for found in (
        [(kind, given) for kind, given in given_for if given.by_flag],
        [(kind, given) for kind, given in given_for if given.by_us],
        given_for,
    ):
        if len(found) > 1:
            names = " and ".join(given.source for _, given in found)
            raise UsageError(
                f"{names} are both set, and each stands for another kind of election;"
                " leave one out, or say which with --election"
            )
        if found:
            kind, given = found[0]
            return Given(kind, given.source)
    ways = ", ".join(kind.ways for kind in KINDS)
    raise UsageError(f"nothing says who leads; set one of: {ways}")


def _takeover_delay(values: Mapping[str, Given]) -> Given:
    """Return what `auto` comes to: the old leader's command has --grace-lost to be gone, and the
    KILL at its end takes a moment more. Some kinds are free only once it is gone."""
    given = values["takeover-delay"]
    if given.value is not None:
        return given
    grace_lost = values["grace-lost"].value
    assert isinstance(grace_lost, float)  # noqa: S101 - its default is one
    waits = not kind_called(str(values["election"].value)).free_when_gone
    delay = grace_lost + 1.0 if waits else 0.0
    return Given(delay, "auto" if given.source == "default" else f"{given.source} auto")


def warnings(values: Mapping[str, Given], environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return what is set and has no effect, what takes a protection away, and the variables that
    nobody reads."""
    said = []
    for option in OPTIONS:
        given = values[option.name]
        if not given.by_us:
            continue
        kind = values["election"].value
        if option.kinds and kind not in option.kinds:
            said.append(f"{given.source} has no effect with --election {kind}")
        elif option.needs and all(_is_default(name, values) for name in option.needs):
            partners = " or ".join(f"--{name}" for name in option.needs)
            said.append(f"{given.source} has no effect without {partners}")
    known = {option.variable for option in OPTIONS} | set(TOLD)
    for name in environ:
        if name.startswith(options.PREFIX) and name not in known:
            near = options.nearest(name, sorted(known - set(TOLD)))
            hint = f"; did you mean {near}?" if near else ""
            said.append(f"{name} is set, and leaderexec has no such option{hint}")
    return tuple(said)


def _is_default(name: str, values: Mapping[str, Given]) -> bool:
    option = options.find(name, OPTIONS)
    default = None if option.default is None else option.read(option.default)
    return values[name].value == default


def _check_together(config: Config) -> None:
    _check_hooks(config)
    swallowed = {received for received, sent in config.rewrite if sent == 0}
    for number in swallowed.intersection(config.end_on):
        name = signal_name(number).removeprefix("SIG")
        raise UsageError(
            f"--end-on has {name}, which --rewrite {name}= swallows; leave one of them out"
        )
    config.kind.check(config)


def shown(values: Mapping[str, Given]) -> dict[str, str]:
    """Return settled values in the options' own words, by option name."""
    return {option.name: options.show(option, values[option.name].value) for option in OPTIONS}


def _check_hooks(config: Config) -> None:
    if config.on_stop is None:
        return
    for name, grace in (("--grace", config.grace), ("--grace-lost", config.grace_lost)):
        if config.on_stop_timeout >= grace:
            shown = options.show_duration(config.on_stop_timeout)
            raise UsageError(
                f"--on-stop-timeout is {shown}, which leaves the command nothing of {name}"
                f" ({options.show_duration(grace)});"
                f" allowed: less than {name}"
            )
