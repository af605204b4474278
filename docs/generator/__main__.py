"""Write what must not go stale, from the code itself: `make generate`.

The picture of a run from its table, and the questions of the plan; the options, the exit codes, the
man page and the completions from the tables that the program itself reads. A test fails while what
is committed is not what this makes.
"""

import sys
from pathlib import Path

from generator import completion, diagram, manual, tables

ROOT = Path(__file__).parents[2]


def generated() -> dict[Path, str]:
    """Return the content of every generated file."""
    blocks = (
        ("README.md", "exit-codes", tables.exit_codes()),
        ("docs/signals.md", "exit-codes", tables.exit_codes()),
        ("docs/options.md", "options", tables.options_at_length()),
        ("docs/states.md", "questions", diagram.questions()),
    )
    return {
        ROOT / page: tables.with_block((ROOT / page).read_text(), name, text)
        for page, name, text in blocks
    } | {
        ROOT / "docs" / "run.svg": diagram.svg(),
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
