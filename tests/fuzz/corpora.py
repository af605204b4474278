"""The kept inputs of each target, readable: a bytes literal per line. A comment above one says what
it once broke, and keeps it when the others are minimised."""

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent / "corpus"


class Entry(NamedTuple):
    """An input, and what it once broke; empty if nothing."""

    data: bytes
    broke: str = ""


def path_of(target: str) -> Path:
    """Return the file of a target's inputs."""
    return HERE / f"{target}.txt"


def read(target: str) -> list[Entry]:
    """Return a target's inputs, as they are kept."""
    found, broke = [], ""
    for line in path_of(target).read_text(encoding="ascii").splitlines():
        if line.startswith("#"):
            broke = line.removeprefix("#").strip()
        elif line:
            found.append(Entry(ast.literal_eval(line), broke))
            broke = ""
    return found


def order(entry: Entry) -> tuple[bool, int, bytes]:
    """Sort what once broke something first, and then the shortest."""
    return (not entry.broke, len(entry.data), entry.data)


def write(target: str, entries: Iterable[Entry]) -> None:
    """Keep these."""
    lines = [
        f"# {one.broke}\n{one.data!r}\n" if one.broke else f"{one.data!r}\n"
        for one in sorted(set(entries), key=order)
    ]
    path_of(target).write_text("".join(lines), encoding="ascii")


def add(target: str, found: Entry) -> None:
    """Keep one more, unless it is kept already."""
    kept = read(target)
    if found.data not in {one.data for one in kept}:
        write(target, [*kept, found])
