"""Draws the courses of a soak as an SVG: a column for each scene, a row for each measure."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from html import escape
from statistics import StatisticsError

from soaking.flatness import Course, Key

SHOWN = ("private", "descriptors", "threads", "CPU", "log")
_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 420, 84, 58, 40, 34
_ENTRY = 18
_COLOURS = (
    "#0969da",
    "#bc4c00",
    "#1a7f37",
    "#8250df",
    "#bf8700",
    "#cf222e",
    "#57606a",
    "#1b7c83",
    "#bf3989",
)
_STYLE = """
  svg { color: #1f2328; background: #fff; font: 12px system-ui, sans-serif }
  @media (prefers-color-scheme: dark) { svg { color: #e6edf3; background: #0d1117 } }
  text { fill: currentColor } .head { font-weight: 600 } .small { font-size: 10px; opacity: .8 }
  .end { text-anchor: end } .axis { stroke: currentColor; opacity: .4 }
  .line { fill: none; stroke-width: 1.2; stroke-linejoin: round }
"""
# How many points a line has.
_POINTS = 60


def svg(found: Mapping[Key, Mapping[str, Course]]) -> str:
    """Return the picture."""
    scenes = list(dict.fromkeys(scene for scene, _ in found))
    names = {scene: [name for one, name in found if one == scene] for scene in scenes}
    most = max(len(ones) for ones in names.values())
    width = len(scenes) * (_LEFT + _WIDTH) + 20
    legend = _TOP + len(SHOWN) * (_HEIGHT + _GAP)
    height = legend + -(-most // 2) * _ENTRY + 8
    shapes = []
    for column, scene in enumerate(scenes):
        left = column * (_LEFT + _WIDTH) + _LEFT
        shapes.append(_text(left, 18, scene, "head"))
        for row, measure in enumerate(SHOWN):
            ones = [found[scene, name][measure] for name in names[scene]]
            shapes += _panel(left, _TOP + row * (_HEIGHT + _GAP), ones)
        for at, name in enumerate(names[scene]):
            x, y = left + at % 2 * _WIDTH // 2, legend + at // 2 * _ENTRY + 6
            colour = _COLOURS[at % len(_COLOURS)]
            shapes.append(f'<path d="M{x} {y - 4}h16" class="line" style="stroke:{colour}"/>')
            shapes.append(_text(x + 22, y, name, ""))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">\n'
        f"<title>What each process used over time</title>\n<style>{_STYLE}</style>\n"
        + "\n".join(shapes)
        + "\n</svg>\n"
    )


def _panel(left: float, top: float, ones: Sequence[Course]) -> list[str]:
    measure, samples = ones[0].measure, ones[0].samples
    lines = [_points(one) for one in ones]
    most = max(value for line in lines for _, value in line) * 1.1 or 1.0
    last = samples[-1].at
    per = f" a {'move' if samples[-1].moves else 'minute'}" if measure.adds_up else ""
    unit = f", {measure.unit}{per}" if measure.unit else ""
    bottom = top + _HEIGHT
    shapes = [
        _text(left, top - 6, f"{measure.name}{unit}", "small"),
        _text(left - 5, top + 8, f"{most:.3g}", "small end"),
        _text(left - 5, bottom, "0", "small end"),
        _text(left + _WIDTH - 12, bottom + 12, f"{last / 60:.0f} min", "small end"),
        f'<path d="M{left} {top}V{bottom}H{left + _WIDTH - 12}" class="line axis"/>',
    ]
    for at, line in enumerate(lines):
        points = " ".join(
            f"{left + when / last * (_WIDTH - 12):.1f},{bottom - value / most * _HEIGHT:.1f}"
            for when, value in line
        )
        colour = _COLOURS[at % len(_COLOURS)]
        shapes.append(f'<polyline points="{points}" class="line" style="stroke:{colour}"/>')
    return shapes


def _points(course: Course) -> list[tuple[float, float]]:
    """Return the middle and the value of each part of the time that has enough samples."""
    first, last = course.samples[0].at, course.samples[-1].at
    length = (last - first) / _POINTS
    points = []
    for number in range(_POINTS):
        begin = first + number * length
        with suppress(StatisticsError):
            points.append((begin + length / 2, course.between(begin, begin + length)))
    return points


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{escape(text)}</text>'
