"""Write what must not go stale, from the code itself: `make generate`.

The picture of a run from its table, and the questions of the plan; the tables of options, the man
page and the completions from the option table. A test fails while what is committed is not what
this makes.
"""

import sys
from pathlib import Path

from generator import completion, diagram, manual, tables

ROOT = Path(__file__).parents[2]


def generated() -> dict[Path, str]:
    """Return the content of every generated file."""
    readme, options = ROOT / "README.md", ROOT / "docs" / "options.md"
    return {
        readme: tables.with_block(readme.read_text(), "options", tables.options()),
        options: tables.with_block(options.read_text(), "options", tables.options_at_length()),
        ROOT / "docs" / "run.svg": diagram.svg(),
        ROOT / "docs" / "states.md": tables.with_block(
            (ROOT / "docs" / "states.md").read_text(), "questions", diagram.questions()
        ),
        ROOT / "docs" / "man" / "leaderexec.1": manual.page(),
        ROOT / "docs" / "completion" / "leaderexec.bash": completion.bash(),
        ROOT / "docs" / "completion" / "_leaderexec": completion.zsh(),
        ROOT / "docs" / "completion" / "leaderexec.fish": completion.fish(),
    }


def main() -> int:
    """Write what has changed; with --check write nothing, and return 1 if something has."""
    stale = [
        path for path, text in generated().items() if not path.exists() or path.read_text() != text
    ]
    for path in stale:
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(generated()[path])
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
