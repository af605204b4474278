"""The picture of the machine: `run.TABLE` as an SVG, and the questions of `lifecycle` as a list.

The arrows are the cells of the table, so that the picture is what the code does.
"""

import textwrap
from collections.abc import Sequence
from html import escape

from leaderexec.core.lifecycle import QUESTIONS
from leaderexec.core.run import TABLE, Stage, Trigger

Edges = dict[tuple[Stage, Stage], list[Trigger]]
State = tuple[str, str]
Arrow = tuple[str, str, str]

_WIDTH, _HEIGHT, _GAP, _EDGE = 132, 46, 136, 20
# What arcs, and each line of text, take above and below the row of states.
_ARC, _LINE = 46, 13
_WHAT = {
    Stage.RUNNING: "it runs",
    Stage.STOPPING: "the stop was decided",
    Stage.KILLING: "KILL was sent",
    Stage.GONE: "no process is left",
}
_STYLE = """
  svg { color: #1f2328; background: #fff; font: 13px system-ui, sans-serif }
  @media (prefers-color-scheme: dark) { svg { color: #e6edf3; background: #0d1117 } }
  rect { fill: none; stroke: currentColor; stroke-width: 1.5 }
  path { fill: none; stroke: currentColor; stroke-width: 1.2; marker-end: url(#tip) }
  text { fill: currentColor; text-anchor: middle }
  .name { font-weight: 600 } .small { font-size: 11px; opacity: .8 }
"""
_TIP = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"'
    ' markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="currentColor"'
    ' style="fill:currentColor;stroke:none;marker-end:none"/></marker></defs>'
)


def edges() -> Edges:
    """Return the triggers that lead from one stage to another."""
    found: Edges = {}
    for stage, row in TABLE.items():
        for trigger, cell in row.items():
            if cell.leads_to not in (None, stage):
                found.setdefault((stage, cell.leads_to), []).append(trigger)
    return found


def svg() -> str:
    """Return the picture of a run."""
    return render(
        "The stages of a run, and what leads from one to the next",
        [(stage.name, _WHAT[stage]) for stage in Stage],
        [
            (before.name, after.name, trigger.value)
            for (before, after), triggers in edges().items()
            for trigger in triggers
        ],
    )


def render(title: str, states: Sequence[State], arrows: Sequence[Arrow]) -> str:
    """Draw states, each a name and what it is, in a row, and labelled arrows between them.

    Neighbours are joined by straight lines, others by arcs: above the row, or below it where it
    would cross one. Arrows between the same two states become one with all their labels.
    """
    at = {name: position for position, (name, _) in enumerate(states)}
    labels: dict[tuple[int, int], list[str]] = {}
    for before, after, label in arrows:
        labels.setdefault((at[before], at[after]), []).append(label)
    straight = {pair: _lines(texts) for pair, texts in labels.items() if pair[1] - pair[0] == 1}
    arcs = _levels([pair for pair in labels if pair not in straight])
    text_height = max((len(lines) for lines in straight.values()), default=0) * _LINE
    highest = max((level for level in arcs.values() if level > 0), default=0)
    lowest = -min((level for level in arcs.values() if level < 0), default=0)
    top = _EDGE + highest * _ARC + max(0, text_height - _HEIGHT // 2)
    width = 2 * _EDGE + len(states) * _WIDTH + (len(states) - 1) * _GAP
    height = top + _HEIGHT + lowest * _ARC + _EDGE
    shapes = [_box(position, top, state) for position, state in enumerate(states)]
    shapes += [_line(pair[0], top, lines) for pair, lines in straight.items()]
    shapes += [_arc(pair, level, top, ", or ".join(labels[pair])) for pair, level in arcs.items()]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n{_TIP}\n"
        + "\n".join(shapes)
        + "\n</svg>\n"
    )


def _levels(pairs: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """Return how high each arc goes, negative below the row; no two of a level share a place."""
    levels: dict[tuple[int, int], int] = {}
    for pair in sorted(pairs, key=lambda pair: (abs(pair[1] - pair[0]), pair)):
        side = (
            -1 if any(level > 0 and _cross(pair, other) for other, level in levels.items()) else 1
        )
        under = [
            abs(level)
            for other, level in levels.items()
            if level * side > 0 and max(min(pair), min(other)) < min(max(pair), max(other))
        ]
        levels[pair] = side * (max(under, default=0) + 1)
    return levels


def _cross(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Tell whether one arc begins inside the other and ends outside of it."""
    (begin, end), (first, last) = sorted((sorted(one), sorted(other)))
    return begin < first < end < last


def _lines(texts: Sequence[str]) -> list[str]:
    return textwrap.wrap(", or ".join(texts), width=22)


def _middle(position: int) -> float:
    return _EDGE + position * (_WIDTH + _GAP) + _WIDTH / 2


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{escape(text)}</text>'


def _box(position: int, top: int, state: State) -> str:
    middle = _middle(position)
    return (
        f'<rect x="{middle - _WIDTH / 2:g}" y="{top}" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>'
        + _text(middle, top + 20, state[0], "name")
        + _text(middle, top + 36, state[1], "small")
    )


def _line(position: int, top: int, lines: Sequence[str]) -> str:
    """Draw a straight arrow to the next state, its label standing on it."""
    begin, y = _middle(position) + _WIDTH / 2, top + _HEIGHT / 2
    first = y - 7 - _LINE * (len(lines) - 1)
    texts = [
        _text(begin + _GAP / 2, first + _LINE * number, line, "small")
        for number, line in enumerate(lines)
    ]
    return f'<path d="M{begin:g} {y:g}h{_GAP - 2}"/>' + "".join(texts)


def _arc(pair: tuple[int, int], level: int, top: int, label: str) -> str:
    """Draw an arrow around the states between, its label on the far side."""
    begin, end = _middle(pair[0]), _middle(pair[1])
    side = -1 if level > 0 else 1
    edge = top if level > 0 else top + _HEIGHT
    bend = edge - level * _ARC
    # A cubic curve comes three quarters of the way to its two control points.
    label_at = edge + (bend - edge) * 0.75 + (14 if side > 0 else -6)
    curve = f"M{begin:g} {edge}C{begin:g} {bend} {end:g} {bend} {end:g} {edge + 2 * side}"
    return f'<path d="{curve}"/>' + _text((begin + end) / 2, label_at, label, "small")


def questions() -> str:
    """Return the questions of the plan, in their order."""
    texts = (" ".join((question.__doc__ or "").split()) for question in QUESTIONS)
    return "".join(f"{at}. {text}\n" for at, text in enumerate(texts, 1))
