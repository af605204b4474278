"""The README tells what the program does."""

import re
from pathlib import Path

from leaderexec import usage

README = Path(__file__).parent.parent / "README.md"


def block(name: str) -> str:
    """Return what stands between the README's markers of that name."""
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", README.read_text(), re.DOTALL)
    assert found, name
    return found[1]


def test_the_options_are_those_of_the_program() -> None:
    """After a change: make readme."""
    assert block("options") == usage.markdown()


def test_files_named_in_the_readme_exist() -> None:
    """Paths in code spans."""
    for path in re.findall(
        r"`((?:leaderexec|examples|benchmarks|docs)/[\w./-]+)`", README.read_text()
    ):
        assert (README.parent / path).exists(), path
