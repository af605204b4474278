"""The effective configuration: options resolved, checked together, and explained. Pure."""

import signal
from collections.abc import Mapping, Sequence

from leaderexec.config import options
from leaderexec.config.options import Given, Option, Settings, UsageError, option, settled
from leaderexec.core.lifecycle import Policy, Restart, Unhealthy
from leaderexec.core.record import replace
from leaderexec.core.signals import signal_name
from leaderexec.election import KINDS, Kind, kind_called
from leaderexec.light_typing import Any, TypeVar

# A GET on loopback is answered within milliseconds; a busy node may need seconds.
LONGEST_REQUEST = 5.0
# With --poll-interval off, inotify reports a replaced lock file; this interval is the fallback.
LOOK_EVERY = 10.0

# Added to the command's environment. None of them is read as an option: a nested leaderexec must
# not inherit the outer one's values.
ADDED_VARIABLES = (
    "LEADEREXEC",
    "LEADEREXEC_REPLICA",
    "LEADEREXEC_LEADER",
    "LEADEREXEC_LEADER_SINCE",
    "LEADEREXEC_TERM",
    "LEADEREXEC_SOURCE",
    "LEADEREXEC_FENCE",
    "LEADEREXEC_SLOT",
    "LEADEREXEC_SLOT_COUNT",
    "LEADEREXEC_GATE",
    "LEADEREXEC_HOOK",
    "LEADEREXEC_EXIT_CODE",
    "LEADEREXEC_EVENT",
    "LEADEREXEC_ROLE",
    "LEADEREXEC_REASON",
    "LEADEREXEC_HEALTHY",
)

_T = TypeVar("_T")
_S = TypeVar("_S", bound=Settings)

_ELECTION = options.ELECTION
_COMMAND = "The command"
_HEALTH = "Health"
_HOOKS = "Hooks"
_HTTP = "HTTP"
_LOGS = "Logs"
_ASKING_AN_API_SERVER = tuple(kind.name for kind in KINDS if kind.asks_api_server)
_PROBES = ("health-http", "health-tcp", "health-file", "health-cmd")
_JUDGING = (*_PROBES, "health-watchdog")


def _same(value: _T) -> _T:
    return value


class Config(Settings):
    """The effective options; durations in seconds, signals by number, None for off or never.
    Options of a single kind of election are declared with the kind: see `of`."""

    election: str = option(
        "KIND",
        "auto",
        str,
        "Where leadership comes from. {kinds} auto: the kind whose setting is given; a flag takes"
        " precedence over every variable. Another name: the plug-in of that name (--elections).",
        _ELECTION,
    )
    identity: str = settled(
        option(
            "NAME",
            None,
            options.identity,
            "This replica's name, as the elector announces it. Default: the kernel's hostname;"
            " with a lock file followed by leaderexec's pid (host.4711), because replicas on one"
            " machine share a hostname; with lease, etcd, postgres and redis followed by the pod's"
            " uid or a nonce.",
            _ELECTION,
            decides={"identity": _same},
        )
    )
    poll_interval: float | None = option(
        "DURATION",
        "10s",
        options.duration_or("off"),
        "How often to cross-check by GET, or with a lock file to check that the file is still the"
        " same. off: for an elector without GET; an elector that hangs is then not detected.",
        _ELECTION,
        none="off",
        kinds=("elector", "file"),
    )
    lease_duration: float = option(
        "DURATION",
        "22s",
        options.whole_seconds,
        "Other replicas may take over this long after the last renewal that they observed. At"
        " least --renew-deadline plus --grace-lost plus one second, so that the old command has"
        " exited by then.",
        _ELECTION,
        common_to="renews",
    )
    renew_deadline: float = option(
        "DURATION",
        "10s",
        options.duration_more_than_0,
        "How long after sending the last successful renewal the command is stopped.",
        _ELECTION,
        common_to="renews",
    )
    retry_period: float = option(
        "DURATION",
        "2s",
        options.duration_more_than_0,
        "How often the leader renews, and how often a standby checks if it can't watch.",
        _ELECTION,
        common_to="renews",
    )
    takeover_delay: float = settled(
        option(
            "DURATION",
            "auto",
            options.duration_or("auto", zero=True),
            "How long to wait between winning and starting. auto: --grace-lost plus one second"
            " with an elector, so that the old leader's command has exited; 0s with the other"
            " kinds, which are released only after that, or wait on their own. 0s trades safety for"
            " speed.",
            _ELECTION,
            none="auto",
            decides={"takeover_delay": _same},
        )
    )
    on_lost: str = option(
        "WHAT",
        "standby",
        options.OneOf("standby", "exit"),
        "What to do after a loss of leadership: stay up and compete again, or exit with 124.",
        _ELECTION,
        common_to="can_be_lost",
        decides={"exit_when_lost": lambda what: what == "exit"},
    )
    wait: float | None = option(
        "DURATION",
        "off",
        options.duration_or("off"),
        "Exit if this replica has not become leader after this long, as for a cron job on many"
        " machines. off: stand by for as long as it takes.",
        _ELECTION,
        none="off",
        common_to="can_be_lost",
        decides={"wait": _same},
    )
    wait_exit_code: int = option(
        "CODE",
        "75",
        options.exit_code,
        "The exit code after --wait. 75 is EX_TEMPFAIL of sysexits.h; use 0 if it is fine that"
        " another replica leads.",
        _ELECTION,
        needs=("wait",),
        decides={"wait_exit_code": _same},
    )
    once: bool = option(
        "",
        "0",
        options.switch,
        "Run the command until it has succeeded once for --once-key, on whichever replica leads."
        " That is kept with the election: then every replica exits with 0, and so does one that"
        " starts later, without running the command. A failure is not kept. Only with --election"
        " lease or file.",
        _ELECTION,
        decides={"once": _same},
    )
    once_key: str | None = option(
        "KEY",
        None,
        options.once_key,
        "What --once has to be done for, such as the release: with another key the command runs"
        " again.",
        _ELECTION,
        needs=("once",),
    )
    slots: int | None = option(
        "N",
        None,
        options.slots,
        "Up to N replicas lead at once, each in its own slot, from 0 to N-1 (LEADEREXEC_SLOT), with"
        " a fence of its own: for consumers that share the work. A replica holds one slot. All"
        " replicas must have the same N, at most 32. Only with --election lease (each slot has the"
        " Lease NAME-0, NAME-1, ...) or file (PATH.0, PATH.1, ...).",
        _ELECTION,
    )
    hold_off: float = option(
        "DURATION",
        "30s",
        options.duration_more_than_0,
        "How long this replica does not compete after a --step-down or an abdication. After an"
        " abdication it doubles each time, up to 10 minutes, until the command has been healthy for"
        " a minute.",
        _ELECTION,
        common_to="releases",
        decides={"hold_off": _same},
    )
    control_socket: str | None = option(
        "PATH",
        "auto",
        options.socket_path,
        "The socket through which a running leaderexec is asked to step down, or whether it leads;"
        " only its own user and root can use it. auto: in $XDG_RUNTIME_DIR, /run, or $TMPDIR,"
        " whichever is writable first. off: no socket.",
        _ELECTION,
        none="off",
        common_to="releases",
    )
    leader_label: options.Label | None = option(
        "KEY=VALUE",
        None,
        options.label,
        "Label the leader's own Pod while its command runs (with a health check: once it is"
        " healthy), so that a Service can select it. Needs the right to get, list and patch pods."
        " Only with --election lease, or with an elector where a service account token is mounted.",
        _ELECTION,
        kinds=_ASKING_AN_API_SERVER,
    )
    kubeconfig: str | None = option(
        "PATH",
        None,
        str,
        "The kubeconfig that locates the API server, outside a pod. Default: KUBECONFIG (only with"
        " --lease), then the pod's service account.",
        _ELECTION,
        common_to="asks_api_server",
        needs=("lease", "confirm-lease", "leader-label"),
    )
    api_server: str | None = option(
        "URL",
        None,
        options.server_url,
        "The API server, in place of a kubeconfig, such as that of `kubectl proxy`.",
        _ELECTION,
        common_to="asks_api_server",
        needs=("lease", "confirm-lease", "leader-label"),
    )
    stop_signal: int | None = option(
        "SIGNAL",
        "TERM",
        options.signal_or("same"),
        "The signal that tells the command to stop. same: an order to stop is forwarded as the"
        " signal that was received, INT as INT; any other stop is TERM.",
        _COMMAND,
        none="same",
        decides={
            "stop_signal": lambda number: number or signal.SIGTERM,
            "stop_same": lambda number: number is None,
        },
    )
    end_on: tuple[int, ...] = option(
        "SIGNALS",
        "",
        options.each(options.end_signal),
        "Further signals that stop leaderexec, in addition to TERM and INT, for an image with"
        " another STOPSIGNAL: QUIT for nginx and php-fpm. The command gets the same signal. May be"
        " repeated.",
        _COMMAND,
        repeats=True,
        decides={"end_on": frozenset},
    )
    grace: float = option(
        "DURATION",
        "25s",
        options.duration,
        "The time from the stop signal to KILL when leaderexec itself is ordered to stop. Keep it"
        " below the pod's terminationGracePeriodSeconds.",
        _COMMAND,
        decides={"grace": _same},
    )
    grace_lost: float = option(
        "DURATION",
        "10s",
        options.duration,
        "The time from the stop signal to KILL when leadership moved or became unconfirmed and"
        " another replica is about to start.",
        _COMMAND,
        decides={"grace_lost": _same},
    )
    restart: str = option(
        "WHEN",
        "never",
        options.OneOf("never", "on-failure", "always"),
        "When to restart the command if it exits on its own while leading: never (leaderexec exits"
        " with its code), on-failure or always.",
        _COMMAND,
        decides={"restart": Restart},
    )
    restart_limit: int | None = option(
        "COUNT",
        None,
        options.count,
        "Exit with the command's code after this many restarts in a row. Default: no limit.",
        _COMMAND,
        needs=("restart",),
        decides={"restart_limit": _same},
    )
    success_exit_status: tuple[int, ...] = option(
        "LIST",
        "0",
        options.each(options.exit_status),
        "Exit codes and signal names that count as success, in addition to 0, for --restart"
        " on-failure and --once.",
        _COMMAND,
        repeats=True,
        needs=("restart", "once"),
        decides={"success_codes": lambda codes: frozenset({0, *codes})},
    )
    signal_group: bool = option(
        "",
        "0",
        options.switch,
        "Send signals, both the stop signal and forwarded ones, to the command's whole process"
        " group. Default: only to the command, as prefork servers require.",
        _COMMAND,
    )
    rewrite: tuple[tuple[int, int], ...] = option(
        "SIGNAL=SIGNAL",
        "",
        options.each(options.rewriting),
        "When the first signal is received, forward the second one instead; SIGNAL= swallows it."
        " May be repeated.",
        _COMMAND,
        repeats=True,
        decides={"rewrite": _same},
    )
    death_signal: int = option(
        "SIGNAL",
        "TERM",
        options.signal_number,
        "The signal that the kernel sends to the command if leaderexec itself is killed.",
        _COMMAND,
    )
    pass_fd: tuple[int, ...] = option(
        "NUMBER",
        "",
        options.each(options.descriptor),
        "A file descriptor for the command to inherit, in addition to 0, 1 and 2. May be repeated.",
        _COMMAND,
        repeats=True,
    )
    warm: bool = option(
        "",
        "0",
        options.switch,
        "Start the command on standby, too. It prepares itself, sends READY=1 to its NOTIFY_SOCKET,"
        " and waits for a line with term and fence on the descriptor LEADEREXEC_GATE: only then"
        " does this replica lead, and only then may it work.",
        _COMMAND,
    )
    health_http: str | None = option(
        "URL",
        None,
        options.http_url,
        "GET this URL while the command runs: it is healthy if the response is 2xx or 3xx. If"
        " several probes are given, all must succeed.",
        _HEALTH,
    )
    health_tcp: options.Address | None = option(
        "ADDR",
        None,
        options.listen_address,
        "Connect to this address while the command runs: it is healthy if the connection is"
        " accepted. :8080, 127.0.0.1:8080, [::1]:8080 or unix:/path.",
        _HEALTH,
    )
    health_file: str | None = option(
        "PATH",
        None,
        str,
        "Watch this file while the command runs: it is healthy if the file was written since the"
        " last check, so at least once per --health-interval.",
        _HEALTH,
    )
    health_cmd: tuple[str, ...] | None = option(
        "COMMAND",
        None,
        options.words,
        "Run this, without a shell, while the command runs: the command is healthy if this exits"
        " with 0. It has the command's environment; after --health-timeout it is killed with its"
        " process group.",
        _HEALTH,
    )
    notify: str = option(
        "WHETHER",
        "auto",
        options.OneOf("auto", "required", "off"),
        "Whether the command gets a NOTIFY_SOCKET, as systemd provides for sd_notify(3). auto: it"
        " does, and what it reports there counts. required: the command is also healthy only after"
        " it has sent READY=1. off: it does not.",
        _HEALTH,
    )
    health_watchdog: float | None = option(
        "DURATION",
        None,
        options.duration_or("off"),
        "The command is unhealthy if it does not send WATCHDOG=1 to its NOTIFY_SOCKET at least this"
        " often; it finds the time in WATCHDOG_USEC. Default: off.",
        _HEALTH,
        none="off",
    )
    health_interval: float = option(
        "DURATION",
        "10s",
        options.duration_more_than_0,
        "How often to probe; every second until the command first proves healthy.",
        _HEALTH,
        needs=_PROBES,
    )
    health_timeout: float = option(
        "DURATION",
        "2s",
        options.duration_more_than_0,
        "How long a probe may take before it counts as failed.",
        _HEALTH,
        needs=_PROBES,
    )
    health_threshold: int = option(
        "COUNT",
        "3",
        options.count_from_1,
        "How many failures in a row make the command unhealthy.",
        _HEALTH,
        needs=_PROBES,
    )
    health_start_period: float = option(
        "DURATION",
        "30s",
        options.duration,
        "Failures during this time after the command's start don't count, until it first proves"
        " healthy. With --warm also: how long this replica leads with a command that is not ready"
        " before that counts as unhealthy.",
        _HEALTH,
        needs=(*_JUDGING, "warm"),
    )
    unhealthy: str = option(
        "WHAT",
        "restart",
        options.OneOf("restart", "abdicate", "exit"),
        "What to do when the command is unhealthy, after stopping it within --grace-lost. restart:"
        " start it again, with backoff. abdicate: release leadership, and hold off (--hold-off);"
        " same as exit if the kind of election can't release. exit: exit with 123.",
        _HEALTH,
        needs=(*_JUDGING, "warm"),
        decides={"unhealthy": Unhealthy},
    )
    abdicate_after: int | None = option(
        "COUNT",
        None,
        options.count_from_1,
        "Release leadership when the command has exited, and would be restarted, this many times"
        " in a row without running well for a minute. Default: never.",
        _HEALTH,
        needs=("restart", *_JUDGING, "warm"),
        decides={"abdicate_after": _same},
    )
    on_start: tuple[str, ...] | None = option(
        "COMMAND",
        None,
        options.words,
        "A command to run each time before the command starts, without a shell. What it leaves"
        " behind is stopped.",
        _HOOKS,
    )
    on_start_timeout: float = option(
        "DURATION",
        "10s",
        options.duration_more_than_0,
        "How long the --on-start command may run before it is KILLed.",
        _HOOKS,
        needs=("on-start",),
        decides={"on_start_timeout": _same},
    )
    on_stop: tuple[str, ...] | None = option(
        "COMMAND",
        None,
        options.words,
        "A command to run each time after the command's whole tree has exited, and also if"
        " --on-start was run but the command was not. It runs without a shell.",
        _HOOKS,
    )
    on_stop_timeout: float = option(
        "DURATION",
        "5s",
        options.duration_more_than_0,
        "How long the --on-stop command may run before it is KILLed. This time is reserved at the"
        " end of --grace and --grace-lost.",
        _HOOKS,
        needs=("on-stop",),
        decides={"on_stop_timeout": _same},
    )
    hook_failure: str = option(
        "WHAT",
        "ignore",
        options.OneOf("ignore", "abort"),
        "What to do when a hook fails or times out. ignore: log it. abort: don't start, or don't"
        " restart, the command, and exit with 125 unless leaderexec would have exited anyway.",
        _HOOKS,
        needs=("on-start", "on-stop"),
        decides={"hook_failure_aborts": lambda what: what == "abort"},
    )
    on_change: tuple[str, ...] | None = option(
        "COMMAND",
        None,
        options.words,
        "A command to run, without a shell, each time the leader, this replica's role or its"
        " command's health changes; its environment says what changed. Only one runs at a time:"
        " while it runs, newer changes replace older ones that are waiting. leaderexec never waits"
        " for it, and kills it on exit if it is still running.",
        _HOOKS,
    )
    on_change_timeout: float = option(
        "DURATION",
        "10s",
        options.duration_more_than_0,
        "How long the --on-change command may run before it is KILLed with its process group.",
        _HOOKS,
        needs=("on-change",),
    )
    http: options.Address | None = option(
        "ADDR",
        None,
        options.listen_address,
        "The address at which to serve a page for people at /, and /livez, /readyz, /leader,"
        " /status and /metrics: :8080, 127.0.0.1:8080, [::]:8080 or unix:/path. Default: nothing is"
        " served.",
        _HTTP,
    )
    peers: tuple[str, ...] = option(
        "LIST",
        "",
        options.each(options.peer),
        "All replicas, to be shown side by side on the page and by --status: the --http addresses,"
        " or one name that resolves to all of them, as that of a headless Service. The port is that"
        " of --http if none is given. May be repeated.",
        _HTTP,
        repeats=True,
        needs=("http",),
    )
    metrics: str = option(
        "WHETHER",
        "auto",
        options.OneOf("auto", "on", "off"),
        "Whether /metrics is served: on, off, or auto, if prometheus_client (leaderexec[metrics])"
        " is installed.",
        _HTTP,
        needs=("http",),
    )
    readyz: str = option(
        "WHEN",
        "contact",
        options.OneOf("contact", "healthy"),
        "When /readyz is 200. contact: while in contact with the election, on standby too. healthy:"
        " on the leader also only once its command is healthy.",
        _HTTP,
        needs=("http",),
    )
    http_hosts: tuple[str, ...] = option(
        "LIST",
        "",
        options.each(options.host_name),
        "Host names under which --http may be reached, in addition to IP addresses and localhost,"
        " such as a Service's name. Requests for other names are refused, so that no web page can"
        " read what is served. May be repeated.",
        _HTTP,
        repeats=True,
        needs=("http",),
    )
    show_command: bool = option(
        "",
        "0",
        options.switch,
        "Show full command lines in /status, including any secrets in them. Default: only the"
        " program's name.",
        _HTTP,
        needs=("http",),
    )
    child_logs: str = option(
        "FORMAT",
        "inherit",
        options.OneOf("inherit", "json", "prefix"),
        "What happens to the command's own output. inherit: it uses leaderexec's stdout and stderr"
        " directly. json: each line becomes a JSON object; a line that already is one gets fields"
        " added. prefix: each line begins with identity and term.",
        _LOGS,
    )
    log_format: str = option(
        "FORMAT",
        "auto",
        options.OneOf("auto", "json", "console"),
        "The format of leaderexec's own lines on stderr. auto: console on a terminal, else json.",
        _LOGS,
    )
    log_level: str = option(
        "LEVEL",
        "info",
        options.OneOf("debug", "info", "warning", "error"),
        "The lowest level that is logged: debug, info, warning or error.",
        _LOGS,
    )

    def __init__(self, values: Mapping[str, Any], command: Sequence[str]) -> None:
        """Take the settled values of all options, by option name."""
        super().__init__(values)
        vars(self).update(command=tuple(command), _values=dict(values))

    command: tuple[str, ...]
    _values: Mapping[str, Any]

    def of(self, settings: type[_S]) -> _S:
        """Return the settings of a kind of election."""
        return settings(self._values)

    @property
    def kind(self) -> Kind:
        """The kind of election, which knows its own rules."""
        return kind_called(self.election)

    @property
    def prepares(self) -> bool:
        """Whether the command's process is forked ahead of time, to be executed once it leads."""
        return self.kind.prepares and not self.warm

    @property
    def request_timeout(self) -> float:
        """Seconds until a GET without a response is abandoned."""
        return min(LONGEST_REQUEST, self.poll_interval or LONGEST_REQUEST)

    @property
    def look_interval(self) -> float:
        """Seconds between two checks that the lock file is still the same."""
        return self.poll_interval or LOOK_EVERY

    @property
    def done_key(self) -> str | None:
        """The key for which the election keeps a success; None without --once."""
        return self.once_key if self.once else None

    @property
    def probed(self) -> bool:
        """Whether there is a health probe."""
        probes = (self.health_http, self.health_tcp, self.health_file, self.health_cmd)
        return any(probe is not None for probe in probes)

    @property
    def proves_healthy(self) -> bool:
        """Whether the command has to prove healthy, by a probe or by its watchdog."""
        return self.probed or self.health_watchdog is not None

    @property
    def policy(self) -> Policy:
        """The part that decisions depend on, converted as each option declares."""
        fields: dict[str, Any] = {
            field: make(self._values[one.name])
            for one in self.options
            for field, make in one.decides.items()
        }
        if self.on_start is None:
            fields["on_start_timeout"] = None
        if self.on_stop is None:
            fields["on_stop_timeout"] = None
        if self.warm:
            fields["warm"] = self.health_start_period
        fields["can_release"] = self.kind.releases
        return Policy(contact=self.kind.contact(self), **fields)


def _table() -> list[Option]:
    """Return every option, those of each kind after those common to all elections. Only here is it
    known which kinds there are."""
    election, *others = Config.options
    chosen = replace(
        election,
        read=options.OneOf("auto", *(kind.name for kind in KINDS)),
        help=election.help.format(
            kinds=" ".join(f"{one.name}: {one.leads_when}." for one in KINDS)
        ),
    )
    first = sum(one.group == _ELECTION for one in others)
    of_kinds = (one for kind in KINDS for one in kind.settings.options)
    return [chosen, *others[:first], *of_kinds, *others[first:]]


OPTIONS = _table()


def plug_in(kind: Kind) -> None:
    """Add a kind of election, with its options."""
    KINDS.append(kind)
    OPTIONS[:] = _table()


def unplug(kind: Kind) -> None:
    """Remove it again."""
    KINDS.remove(kind)
    OPTIONS[:] = _table()


def load(
    given: Mapping[str, str],
    command: Sequence[str],
    environ: Mapping[str, str],
    hostname: str,
) -> Config:
    """Build the configuration; raise UsageError if options are invalid, alone or together."""
    return build(settle(given, environ, hostname), command)


def settle(
    given: Mapping[str, str], environ: Mapping[str, str], hostname: str, pid: int | None = None
) -> dict[str, Given]:
    """Return each option's effective value and where it came from. Raises UsageError.

    `pid` is this process's: with a lock file, replicas on one machine have one hostname.
    """
    values = options.resolve(given, environ, OPTIONS)
    # An error in the settings of a kind that was not chosen does not matter.
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
    """Build the configuration from settled values; raise UsageError if they don't fit together."""
    config = Config({name: given.value for name, given in values.items()}, command)
    _check_together(config)
    return config


def _election(values: Mapping[str, Given]) -> Given:
    """Return the kind. A flag takes precedence over variables, ours over the platform's."""
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
                f"{names} are both set, and each chooses a different kind of election;"
                " leave one out, or choose with --election"
            )
        if found:
            kind, given = found[0]
            return Given(kind, given.source)
    ways = ", ".join(kind.ways for kind in KINDS)
    raise UsageError(f"no kind of election is set; set one of: {ways}")


def _takeover_delay(values: Mapping[str, Given]) -> Given:
    """Resolve `auto`: the old leader's command has --grace-lost to exit, and the final KILL takes a
    moment more. Some kinds are released only after that."""
    given = values["takeover-delay"]
    if given.value is not None:
        return given
    grace_lost = values["grace-lost"].value
    assert isinstance(grace_lost, float)  # noqa: S101 - its default is one
    waits = not kind_called(str(values["election"].value)).free_when_gone
    delay = grace_lost + 1.0 if waits else 0.0
    return Given(delay, "auto" if given.source == "default" else f"{given.source} auto")


def warnings(values: Mapping[str, Given], environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return warnings about settings without effect, settings that disable a safeguard, and unknown
    variables."""
    said = []
    for one in OPTIONS:
        given = values[one.name]
        if not given.by_us:
            continue
        kind = kind_called(str(values["election"].value))
        if not _concerns(one, kind):
            said.append(f"{given.source} has no effect with --election {kind.name}")
        elif one.needs and all(_is_default(name, values) for name in one.needs):
            partners = " or ".join(f"--{name}" for name in one.needs)
            said.append(f"{given.source} has no effect without {partners}")
    said += _can_not_abdicate(values)
    known = {one.variable for one in OPTIONS} | set(ADDED_VARIABLES)
    for name in environ:
        if name.startswith(options.PREFIX) and name not in known:
            near = options.nearest(name, sorted(known - set(ADDED_VARIABLES)))
            hint = f"; did you mean {near}?" if near else ""
            said.append(f"{name} is set, and leaderexec has no such option{hint}")
    return tuple(said)


def _concerns(one: Option, kind: Kind) -> bool:
    if one.common_to:
        return bool(getattr(kind, one.common_to))
    return not one.kinds or kind.name in one.kinds


def _can_not_abdicate(values: Mapping[str, Given]) -> list[str]:
    """Return warnings about abdication with a kind of election that can't release leadership."""
    kind = kind_called(str(values["election"].value))
    if kind.releases:
        return []
    asked = {"unhealthy": values["unhealthy"].value == "abdicate"}
    asked["abdicate-after"] = values["abdicate-after"].value is not None
    return [
        f"{values[name].source} can't move leadership with --election {kind.name}: leaderexec exits"
        " with 123 instead"
        for name, wanted in asked.items()
        if wanted
    ]


def _is_default(name: str, values: Mapping[str, Given]) -> bool:
    one = options.find(name, OPTIONS)
    default = None if one.default is None else one.read(one.default)
    return values[name].value in (None, default)


def _check_together(config: Config) -> None:
    _check_hooks(config)
    _check_notify(config)
    _check_once(config)
    _check_warm(config)
    _check_slots(config)
    swallowed = {received for received, sent in config.rewrite if sent == 0}
    for number in swallowed.intersection(config.end_on):
        name = signal_name(number).removeprefix("SIG")
        raise UsageError(
            f"--end-on has {name}, which --rewrite {name}= swallows; leave one of them out"
        )
    if config.leader_label is not None and not config.kind.asks_api_server:
        raise UsageError(
            f"--leader-label is {str(config.leader_label)!r}, and --election {config.election} asks"
            f" no Kubernetes API server; allowed: with {_those_that('asks_api_server')}"
        )
    if config.http is not None:
        check_ports(config.peers, config.http)
    config.kind.check(config)


def check_ports(peers: Sequence[str], http: options.Address | None) -> None:
    """Raise UsageError if a peer has no port, and --http, a socket or not set, none to lend."""
    if http is not None and http.path is None:
        return
    why = "not set" if http is None else f"'{http}', which has none"
    for peer in peers:
        if options.host_and_optional_port(peer)[1] is None:
            raise UsageError(
                f"--peers has {peer!r} without a port, and --http is {why}; add the port of"
                f" the replicas' --http, such as {peer}:8080"
            )


def shown(values: Mapping[str, Given]) -> dict[str, str]:
    """Return settled values in the options' own words, by option name."""
    return {one.name: options.show(one, values[one.name].value) for one in OPTIONS}


def _those_that(attribute: str) -> str:
    """Return the kinds of election of which this is true, for a message."""
    return " or ".join(kind.name for kind in KINDS if getattr(kind, attribute))


def _check_once(config: Config) -> None:
    if not config.once:
        return
    if not config.kind.keeps_success:
        raise UsageError(
            f"--once is set, and --election {config.election} can't keep that the command has"
            f" succeeded; allowed: with --election {_those_that('keeps_success')}"
        )
    if config.once_key is None:
        raise UsageError(
            "--once is set without --once-key; name what is to be done once, such as the release:"
            " --once-key v1.4.2"
        )


def _check_slots(config: Config) -> None:
    if config.slots is None:
        return
    if not config.kind.has_slots:
        raise UsageError(
            f"--slots is {config.slots}, and with --election {config.election} only one replica can"
            f" lead; allowed: with --election {_those_that('has_slots')}"
        )
    for name, is_on, why in (
        ("once", config.once, "a success is kept for the whole election"),
        ("warm", config.warm, "a warm command is started before it is known which slot is free"),
        ("leader-label", config.leader_label is not None, "only one Pod can have the label"),
    ):
        if is_on:
            raise UsageError(
                f"--slots is {config.slots}, and --{name} is set, but {why}; leave one of them out"
            )


def _check_notify(config: Config) -> None:
    if config.notify == "off" and config.health_watchdog is not None:
        shown = options.show_duration(config.health_watchdog)
        raise UsageError(
            f"--health-watchdog is {shown}, but --notify is off, and the command could not send"
            " WATCHDOG=1; allowed: auto or required"
        )


def _check_warm(config: Config) -> None:
    if config.warm and config.once:
        raise UsageError(
            "--warm and --once are both on: a command that runs to its end once is not kept waiting"
            " on every replica; allowed: one of them"
        )
    if config.warm and config.health_start_period == 0:
        raise UsageError(
            "--warm is on, and --health-start-period is 0s, the time in which the command has to be"
            " ready once this replica leads; allowed: more than that"
        )
    if config.warm and config.notify == "off":
        raise UsageError(
            "--warm is on, but --notify is off, and the command could not say that it is ready;"
            " allowed: auto or required"
        )


def _check_hooks(config: Config) -> None:
    if config.on_stop is None:
        return
    for name, grace in (("--grace", config.grace), ("--grace-lost", config.grace_lost)):
        if config.on_stop_timeout >= grace:
            shown = options.show_duration(config.on_stop_timeout)
            raise UsageError(
                f"--on-stop-timeout is {shown}, which leaves no time for the command within {name}"
                f" ({options.show_duration(grace)});"
                f" allowed: less than {name}"
            )
