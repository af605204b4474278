"""The measurements as a Markdown table, and which programs are behind."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from inits.programs import Program


class NotMeasuredError(Exception):
    """The measurement failed; the text is the reason."""


class Cell(NamedTuple):
    """A cell; the higher score is better, and a cell without a score is not compared."""

    text: str
    score: float | None = None


NOT_APPLICABLE = Cell("\N{EN DASH}")
NOT_INSTALLED = Cell("not installed")


def not_measured(why: NotMeasuredError) -> Cell:
    """Say why there is no figure; for ours that means being behind any program that has one."""
    return Cell(f"not measured: {why}")


def yes(fact: object, detail: str = "") -> Cell:
    """Say yes or no."""
    text = "yes" if fact else "no"
    return Cell(f"{text} ({detail})" if detail else text, float(bool(fact)))


def out_of(count: int, total: int) -> Cell:
    """Say how many of how many."""
    return Cell("yes" if count == total else f"{count} of {total}", count)


class Row(NamedTuple):
    """A behaviour; rows that are not judged have cells without scores."""

    title: str
    measure: Callable[[Program], Cell]
    note: str = ""


Cells = Mapping[str, Cell]


def behind(cells: Cells, ours: str) -> list[str]:
    """Name the programs that do better than ours."""
    own = cells[ours].score
    return [
        name
        for name, cell in cells.items()
        if cell.score is not None and cell.score > (-1.0 if own is None else own)
    ]


def markdown(names: Sequence[str], rows: Sequence[tuple[Row, Cells]]) -> str:
    """Format the table, with its notes below."""
    notes: list[str] = []
    table = [["", *names]]
    for row, cells in rows:
        if row.note and row.note not in notes:
            notes.append(row.note)
        mark = f" [{notes.index(row.note) + 1}]" if row.note else ""
        table.append([row.title + mark, *(cells[name].text for name in names)])
    widths = [max(len(line[at]) for line in table) for at in range(len(table[0]))]
    lines = [_line(line, widths) for line in table]
    rule = "| " + " | ".join("-" * width for width in widths) + " |"
    told = [f"{number}. {note}" for number, note in enumerate(notes, 1)]
    return "\n".join([lines[0], rule, *lines[1:], "", *told])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)) + " |"
