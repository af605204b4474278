"""The help text, made from the option table."""

from leaderexec.config import OPTIONS
from leaderexec.options import Option

_WIDTH = 79
_INDENT = " " * 6

_HEAD = """\
Usage: leaderexec [OPTIONS] -- COMMAND [ARG...]
       leaderexec [OPTIONS] --is-leader [--quiet]
       leaderexec [OPTIONS] --check [-- COMMAND [ARG...]]
       leaderexec --http ADDR --status [--watch]

Runs COMMAND only while this replica is the leader, and stops it, with all that
it started, when leadership moves.
"""

_QUESTIONS = """\
Questions (nothing is started):
  --is-leader [--quiet]
      Ask once who leads and print the name. Exit code 0: this replica leads, 1:
      it does not, 125: that can't be told.
  --check
      Print the effective configuration and where each value came from, and ask
      once who leads. Exit code 0: all is well, 125: it is not.
  --status [--watch]
      Show the running leaderexec whose --http address this is: who leads, the
      command and its tree, the last transitions. --watch shows it again and
      again.
"""

_TAIL = """\
Every option --foo-bar X is also LEADEREXEC_FOO_BAR=X; the flag wins.
Durations: 500ms, 10s, 2m, 1h. Signals: TERM, SIGQUIT, 15, RTMIN+3.

Exit codes:
  the command's   it ended by itself, or after a stop
  128+n           signal n ended it (137: also our own KILL after the grace)
  126, 127        it can't be executed; it was not found (told at start-up)
  125             leaderexec's own failure: usage, configuration, internal error
  124             --on-lost exit, after a clean stop
  0               told to stop while on standby
"""


def help_text() -> str:
    """Return what ``--help`` prints."""
    import textwrap

    def entry(option: Option) -> str:
        head = f"  {option.flag} {option.metavar}".rstrip()
        text = option.help
        if option.default and option.takes_value:
            text += f" [default: {option.default}]"
        body = textwrap.fill(
            text,
            _WIDTH,
            initial_indent=_INDENT,
            subsequent_indent=_INDENT,
            break_on_hyphens=False,
        )
        return f"{head}\n{body}\n"

    sections = [_HEAD]
    for group in dict.fromkeys(option.group for option in OPTIONS):
        entries = "".join(entry(option) for option in OPTIONS if option.group == group)
        sections.append(f"{group}:\n{entries}")
    sections.append(_QUESTIONS)
    sections.append(
        "Other:\n  -h, --help\n      Print this.\n  -V, --version\n      Print the version.\n"
    )
    sections.append(_TAIL)
    return "\n".join(sections)


def markdown() -> str:
    """Return the options as the README shows them."""
    lines = ["| option | default | |", "|---|---|---|"]
    for option in OPTIONS:
        name = f"{option.flag} {option.metavar}".rstrip()
        default = f"`{option.default}`" if option.default and option.takes_value else ""
        lines.append(f"| `{name}` | {default} | {option.help} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(markdown())
