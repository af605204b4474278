"""The help text, made from the option table."""

from leaderexec.config.options import Option
from leaderexec.config.settings import OPTIONS

_WIDTH = 79
_INDENT = " " * 6

SYNOPSES = (
    "leaderexec [OPTIONS] -- COMMAND [ARG...]",
    "leaderexec [OPTIONS] --is-leader [--quiet]",
    "leaderexec [OPTIONS] --check [-- COMMAND [ARG...]]",
    "leaderexec --http ADDR --status [--watch|--json]",
    "leaderexec --peers LIST --status [--watch|--json]",
    "leaderexec --step-down [--until-taken] [--hold-off DURATION]",
    "leaderexec --say-ready",
    "leaderexec --elections",
    "leaderexec [OPTIONS] --manifest KIND --lease NAME -- COMMAND [ARG...]",
)
WHAT_IT_DOES = (
    "Runs COMMAND only while this replica is the leader, and stops it, with everything that it"
    " started, when leadership moves."
)
QUESTIONS = {
    "--is-leader [--quiet]": "Print the leader's name. Exit code 0: this replica leads, 1: it"
    " does not, 125: unknown.",
    "--check": "Print the effective configuration, where each value came from, and the current"
    " leader. Exit code 0: no problem was found, 125: otherwise.",
    "--status [--watch] [--json]": "Show the status of the leaderexec that runs with this --http"
    " address: who leads, the command and its tree, the last transitions. With --peers: a table of"
    " all replicas. --watch refreshes it every second; --json prints it as one line of JSON. Exit"
    " code 0: shown, 125: nobody responded.",
    "--step-down [--until-taken]": "Make the leaderexec that runs here stop its command, release"
    " leadership and hold off, and show the progress; with --until-taken until another replica"
    " leads. Exit code 0: done, 1: it is not the leader, or no other replica has taken over, 125:"
    " no leaderexec could be reached.",
    "--say-ready": "For programs and scripts that can't use sd_notify(3) themselves: tell the"
    " leaderexec that runs the caller that it is ready (READY=1). Exit code 0: it was received,"
    " 125: otherwise.",
    "--elections": "List the kinds of election that are installed, both built-in ones and plug-ins:"
    " the package of each, and what is missing to use it.",
    "--manifest lease|elector [--image IMAGE] [--elector-image IMAGE]": "Print Kubernetes objects"
    " that run COMMAND with these options, for kubectl apply -f -. --lease [NAMESPACE/]NAME names"
    " them: service account, Role, Deployment with matching graces and probes (--http), disruption"
    " budget, and the Lease or an elector sidecar.",
}
EXIT_CODES = (
    ("the command's", "it exited on its own, or after a stop"),
    ("128+n", "it was killed by signal n (137: also by leaderexec's own KILL)"),
    ("126, 127", "it can't be executed; it was not found (detected at start-up)"),
    ("125", "leaderexec's own failure: usage, configuration, a hook, a bug"),
    ("125", "--once: the success could not be kept"),
    ("124", "--on-lost exit, after a clean stop"),
    ("123", "the command was unhealthy, and is not restarted"),
    ("75", "--wait is over without a win (--wait-exit-code)"),
    ("129", "the terminal was closed while in standby"),
    ("0", "--once: done, here or on another replica"),
    ("0", "ordered to stop while in standby"),
    ("128+n", "--once: ordered to stop by signal n, and not done"),
)


def help_text() -> str:
    """Return what ``--help`` prints."""
    import textwrap

    def entry(head: str, text: str) -> str:
        body = textwrap.fill(
            text,
            _WIDTH,
            initial_indent=_INDENT,
            subsequent_indent=_INDENT,
            break_on_hyphens=False,
        )
        return f"  {head}\n{body}\n"

    def option_entry(option: Option) -> str:
        default = option.default and option.takes_value
        text = f"{option.help} [default: {option.default}]" if default else option.help
        return entry(f"{option.flag} {option.metavar}".rstrip(), text)

    usage = "\n       ".join(SYNOPSES)
    what = textwrap.fill(WHAT_IT_DOES, _WIDTH, break_on_hyphens=False)
    sections = [f"Usage: {usage}\n\n{what}\n"]
    for group in dict.fromkeys(option.group for option in OPTIONS):
        entries = "".join(option_entry(option) for option in OPTIONS if option.group == group)
        sections.append(f"{group}:\n{entries}")
    asked = "".join(entry(flags, text) for flags, text in QUESTIONS.items())
    sections.append(f"Queries (no command is started):\n{asked}")
    sections.append(
        "Other:\n  -h, --help\n      Print this.\n  -V, --version\n      Print the version.\n"
    )
    sections.append(
        "Every option --foo-bar X is also LEADEREXEC_FOO_BAR=X; the flag wins.\n"
        "Durations: 500ms, 10s, 2m, 1h. Signals: TERM, SIGQUIT, 15, RTMIN+3.\n"
    )
    codes = "".join(f"  {code:<14}  {text}\n" for code, text in EXIT_CODES)
    sections.append(f"Exit codes:\n{codes}")
    return "\n".join(sections)
