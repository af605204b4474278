"""The picture of the machine: `run.TABLE` as an SVG, and the questions of `lifecycle` as a list.

The arrows are the cells of the table, so that the picture is what the code does.
"""

from html import escape

from leaderexec.core.lifecycle import QUESTIONS
from leaderexec.core.run import TABLE, Stage, Trigger

Edges = dict[tuple[Stage, Stage], list[Trigger]]

_BOX_WIDTH, _BOX_HEIGHT, _GAP, _TOP = 130, 46, 120, 130
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
    stages = list(Stage)
    left = {stage: 20 + at * (_BOX_WIDTH + _GAP) for at, stage in enumerate(stages)}
    width, height = left[stages[-1]] + _BOX_WIDTH + 20, 300
    shapes = [_box(left[stage], stage) for stage in stages]
    shapes += [
        _arrow(left, stages, before, after, triggers)
        for (before, after), triggers in edges().items()
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">\n'
        "<title>The stages of a run, and what leads from one to the next</title>\n"
        f"<style>{_STYLE}</style>\n"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"'
        ' markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="currentColor"'
        ' style="fill:currentColor;stroke:none;marker-end:none"/></marker></defs>\n'
        + "\n".join(shapes)
        + "\n</svg>\n"
    )


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{escape(text)}</text>'


def _box(x: int, stage: Stage) -> str:
    middle = x + _BOX_WIDTH / 2
    return (
        f'<rect x="{x}" y="{_TOP}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="6"/>'
        + _text(middle, _TOP + 20, stage.name, "name")
        + _text(middle, _TOP + 36, _WHAT[stage], "small")
    )


def _arrow(
    left: dict[Stage, int],
    stages: list[Stage],
    before: Stage,
    after: Stage,
    triggers: list[Trigger],
) -> str:
    words = [trigger.value for trigger in triggers]
    steps = stages.index(after) - stages.index(before)
    begin, end = left[before] + _BOX_WIDTH, left[after]
    if steps == 1:
        y = _TOP + _BOX_HEIGHT / 2
        middle = (begin + end) / 2
        lines = [part for word in words for part in _halves(word)]
        texts = [_text(middle, y + 34 + 13 * at, line, "small") for at, line in enumerate(lines)]
        return f'<path d="M{begin} {y:g}H{end - 2}"/>' + "".join(texts)
    # Over the heads of the stages between: from RUNNING higher than from STOPPING.
    high = _TOP - 34 - 44 * (stages.index(before) == 0)
    start, stop = left[before] + _BOX_WIDTH / 2, left[after] + _BOX_WIDTH / 2
    curve = f"M{start:g} {_TOP}C{start:g} {high} {stop:g} {high} {stop:g} {_TOP - 2}"
    return f'<path d="{curve}"/>' + _text((start + stop) / 2, high + 14, ", ".join(words), "small")


def _halves(text: str) -> list[str]:
    words = text.split()
    half = (len(words) + 1) // 2
    return [" ".join(words[:half]), " ".join(words[half:])]


def questions() -> str:
    """Return the questions of the plan, in their order."""
    texts = (" ".join((question.__doc__ or "").split()) for question in QUESTIONS)
    return "".join(f"{at}. {text}\n" for at, text in enumerate(texts, 1))
