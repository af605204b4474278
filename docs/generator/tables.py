"""The table of exit codes, and the options at length."""

from leaderexec.config.help import EXIT_CODES
from leaderexec.config.options import OneOf, Option
from leaderexec.config.settings import OPTIONS


def with_block(page: str, name: str, text: str) -> str:
    """Return the page with the block between `<!-- name -->` and `<!-- /name -->` replaced."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the page has no block {begin!r}")
    return f"{before}{begin}{text}{end}{after}"


def exit_codes() -> str:
    """Return what each of leaderexec's exit codes means."""
    rows = "".join(f"| {code} | {text} |\n" for code, text in EXIT_CODES)
    return f"| code | meaning |\n|---|---|\n{rows}"


def options_at_length() -> str:
    """Return a section for each, by group."""
    sections = []
    for group in dict.fromkeys(option.group for option in OPTIONS):
        sections.append(f"\n## {group}\n")
        sections += [_section(option) for option in OPTIONS if option.group == group]
    return "".join(sections) + "\n"


def _section(option: Option) -> str:
    head = f"{option.flag} {option.metavar}".rstrip()
    facts = [f"`{option.variable}`"]
    if option.default is not None and option.takes_value:
        facts.append(f"default `{option.default}`" if option.default else "default none")
    if isinstance(option.read, OneOf):
        facts.append("one of " + ", ".join(f"`{word}`" for word in option.read.allowed))
    return f"\n### `{head}`\n\n{option.help}\n\n{'; '.join(facts)}\n"
