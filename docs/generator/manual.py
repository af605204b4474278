"""The man page, in the macros of man(7)."""

from leaderexec._version import __version__
from leaderexec.config.help import EXIT_CODES, QUESTIONS, SYNOPSES, WHAT_IT_DOES
from leaderexec.config.settings import OPTIONS

_ENVIRONMENT = (
    ("ELECTOR_SSE_URL, ELECTOR_GET_URL, ELECTOR_PATH", "The pod's elector; any one is enough."),
    ("LEADEREXEC_FOO_BAR", "The same as --foo-bar; the flag wins."),
    ("NO_COLOR", "Set to anything: no colours on a terminal."),
)
_ADDED = (
    ("LEADEREXEC", "1"),
    ("LEADEREXEC_REPLICA", "This replica's name."),
    ("LEADEREXEC_LEADER", "Who leads: the same."),
    ("LEADEREXEC_LEADER_SINCE", "RFC 3339, when this leaderexec learnt of it."),
    ("LEADEREXEC_TERM", "1, 2, ..., counted by this leaderexec process."),
    (
        "LEADEREXEC_FENCE",
        "A number that is greater in every later term; with an elector if its Lease can be read.",
    ),
    (
        "LEADEREXEC_SLOT, LEADEREXEC_SLOT_COUNT",
        "With --slots: the slot, from 0, and how many there are.",
    ),
    ("LEADEREXEC_SOURCE", "elector, file, lease, etcd, postgres, redis or off."),
    ("LEADEREXEC_GATE", "With --warm: the descriptor on which the command is told that it leads."),
    ("NOTIFY_SOCKET, WATCHDOG_USEC", "For the command: where it reports its state (sd_notify(3))."),
    (
        "LEADEREXEC_HOOK, LEADEREXEC_EXIT_CODE",
        "For hooks and --on-change: which one, and the command's exit code.",
    ),
    (
        "LEADEREXEC_EVENT, LEADEREXEC_ROLE, LEADEREXEC_REASON, LEADEREXEC_HEALTHY",
        "For --on-change: what has changed, the role, why, and whether the command is healthy.",
    ),
)


def page() -> str:
    """Return leaderexec(1)."""
    lines = [
        f'.TH LEADEREXEC 1 "" "leaderexec {__version__}" "User Commands"',
        ".SH NAME",
        "leaderexec \\- run a command only on the replica that leads",
        ".SH SYNOPSIS",
        ".nf",
        *(_escaped(synopsis) for synopsis in SYNOPSES),
        ".fi",
        ".SH DESCRIPTION",
        _escaped(WHAT_IT_DOES.replace("\n", " ")),
        ".SH OPTIONS",
        "Durations: 500ms, 10s, 2m, 1h. Signals: TERM, SIGQUIT, 15, RTMIN+3.",
    ]
    for group in dict.fromkeys(option.group for option in OPTIONS):
        lines.append(f".SS {_escaped(group)}")
        for option in OPTIONS:
            if option.group == group:
                lines += [".TP", _term(option.flag, option.metavar), _escaped(option.help)]
                if option.default and option.takes_value:
                    lines.append(f"Default: {_escaped(option.default)}.")
    lines += [".SS Queries (no command is started)"]
    for flags, text in QUESTIONS.items():
        lines += [".TP", f"\\fB{_escaped(flags)}\\fR", _escaped(text)]
    lines.append(".SH EXIT STATUS")
    for code, text in EXIT_CODES:
        lines += [".TP", _escaped(code), _escaped(text)]
    lines.append(".SH ENVIRONMENT")
    for name, text in _ENVIRONMENT:
        lines += [".TP", f"\\fB{_escaped(name)}\\fR", _escaped(text)]
    lines.append("Added for the command:")
    for name, text in _ADDED:
        lines += [".TP", f"\\fB{_escaped(name)}\\fR", _escaped(text)]
    lines += [".SH SEE ALSO", ".BR tini (1),", ".BR flock (2),", ".BR prctl (2),", ".BR signal (7)"]
    return "\n".join(lines) + "\n"


def _term(flag: str, metavar: str) -> str:
    return f"\\fB{_escaped(flag)}\\fR" + (f" \\fI{_escaped(metavar)}\\fR" if metavar else "")


def _escaped(text: str) -> str:
    """Escape for roff: backslashes, hyphens that are to be copied, leading dots and quotes."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text
