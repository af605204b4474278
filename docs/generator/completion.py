"""Completion for bash, zsh and fish, from the option table."""

import signal

from leaderexec.config.help import QUESTIONS
from leaderexec.config.options import OneOf, Option
from leaderexec.config.settings import OPTIONS

SIGNALS = sorted(one.name.removeprefix("SIG") for one in signal.Signals)
_FILES = ("lock-file",)
_HEAD = "Completion of leaderexec. Made from the option table: `make generate`."


def _switches() -> list[str]:
    asked = " ".join(QUESTIONS).replace("[", "").replace("]", "").split()
    return [*(word for word in asked if word.startswith("--")), "--help", "--version"]


def _values(option: Option) -> list[str]:
    if isinstance(option.read, OneOf):
        return list(option.read.allowed)
    if option.metavar == "SIGNAL":
        return SIGNALS
    return []


def bash() -> str:
    """Return leaderexec.bash."""
    words = " ".join([option.flag for option in OPTIONS] + _switches() + ["--"])
    cases = []
    for option in OPTIONS:
        if not option.takes_value:
            continue
        if values := _values(option):
            cases.append(f"""        {option.flag})
            mapfile -t COMPREPLY < <(compgen -W "{" ".join(values)}" -- "$word")
            return ;;""")
        elif option.name in _FILES:
            cases.append(f"""        {option.flag})
            compopt -o filenames 2> /dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
            return ;;""")
        else:
            cases.append(f"        {option.flag}) return ;;")
    return f"""# {_HEAD}
_leaderexec() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} i
    COMPREPLY=()
    # Behind -- the command's own completion goes on.
    for ((i = 1; i < COMP_CWORD; i++)); do
        if [[ ${{COMP_WORDS[i]}} == -- ]]; then
            if declare -F _command_offset > /dev/null; then
                _command_offset $((i + 1))
            elif ((COMP_CWORD == i + 1)); then
                mapfile -t COMPREPLY < <(compgen -c -- "$word")
            else
                compopt -o filenames 2> /dev/null
                mapfile -t COMPREPLY < <(compgen -f -- "$word")
            fi
            return
        fi
    done
    case $before in
{chr(10).join(cases)}
    esac
    mapfile -t COMPREPLY < <(compgen -W "{words}" -- "$word")
}}
complete -F _leaderexec leaderexec
"""


def zsh() -> str:
    """Return _leaderexec."""
    specs = []
    for option in OPTIONS:
        again = "*" if option.repeats else ""
        value = ""
        if option.takes_value:
            values = " ".join(_values(option))
            action = f"({values})" if values else "_files" if option.name in _FILES else " "
            value = f":{option.metavar.lower()}:{action}"
        specs.append(f"    '{again}{option.flag}[{_zsh_escaped(_brief(option))}]{value}' \\")
    specs += [f"    '{flag}[see --help]' \\" for flag in _switches()]
    return f"""#compdef leaderexec
# {_HEAD}
_arguments -S \\
{chr(10).join(specs)}
    '(-)1:command: _command_names -e' \\
    '*::arguments: _normal'
"""


def fish() -> str:
    """Return leaderexec.fish."""
    lines = [f"# {_HEAD}", "complete -c leaderexec -f"]
    for option in OPTIONS:
        text = _brief(option).replace("\\", "\\\\").replace("'", "\\'")
        line = f"complete -c leaderexec -l {option.name} -d '{text}'"
        if option.takes_value:
            values = " ".join(_values(option))
            line += f" -x -a '{values}'" if values else " -r -F" if option.name in _FILES else " -x"
        lines.append(line)
    lines += [f"complete -c leaderexec -l {flag[2:]}" for flag in _switches()]
    return "\n".join(lines) + "\n"


def _brief(option: Option) -> str:
    return option.help.partition(". ")[0].rstrip(".")


def _zsh_escaped(text: str) -> str:
    for special in ("\\", "[", "]", ":"):
        text = text.replace(special, "\\" + special)
    return text.replace("'", "'\\''")
