"""Cumulative distributions of times as an SVG: one panel for each condition, time on a logarithmic
axis. Light or dark as the reader's system prefers."""

import math
from collections.abc import Mapping, Sequence
from html import escape

Samples = Mapping[str, Mapping[str, Sequence[int]]]

_WIDTH, _HEIGHT, _LEFT, _TOP, _APART = 380, 200, 48, 36, 56
# Milliseconds at both ends of the axis.
_LEAST, _MOST = 0.01, 100.0
_SHARES = (0, 0.25, 0.5, 0.75, 0.9, 1)
_POINTS = 150
# On light and on dark.
_COLOURS = (
    ("#c2410c", "#fb923c"),
    ("#1d4ed8", "#60a5fa"),
    ("#15803d", "#4ade80"),
    ("#7e22ce", "#c084fc"),
    ("#57534e", "#a8a29e"),
    ("#0e7490", "#22d3ee"),
)
_STYLE = """  svg { color: #1f2328; background: #fff; font: 12px system-ui, sans-serif }
  text { fill: currentColor } .title { font-weight: 600 } .end { text-anchor: end }
  path { fill: none; stroke-width: 2 } .grid { stroke: currentColor; stroke-width: 1; opacity: .15 }
  .middle { text-anchor: middle } .beside { stroke-width: 1.2 }"""
_DARK = "svg { color: #e6edf3; background: #0d1117 }"


def drawn(title: str, samples: Samples, beside: Sequence[str], columns: int = 2) -> str:
    """Return the picture of samples in ns, by panel and by curve; those of `beside` are thinner."""
    names = list(dict.fromkeys(name for curves in samples.values() for name in curves))
    classes = {
        name: f"c{number} beside" if name in beside else f"c{number}"
        for number, name in enumerate(names)
    }
    rows = -(-len(samples) // columns)
    width = columns * (_WIDTH + _APART) + _LEFT
    legend = _TOP + rows * (_HEIGHT + _APART)
    height = legend + 20 * -(-len(names) // columns) + 8
    light, dark = (
        " ".join(f".c{number} {{ stroke: {two[which]} }}" for number, two in enumerate(_COLOURS))
        for which in (0, 1)
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>\n{_STYLE}\n  {light}",
        f"  @media (prefers-color-scheme: dark) {{ {_DARK} {dark} }}",
        "</style>",
    ]
    for number, (panel, curves) in enumerate(samples.items()):
        left = _LEFT + (number % columns) * (_WIDTH + _APART)
        top = _TOP + (number // columns) * (_HEIGHT + _APART)
        parts += [f'<g transform="translate({left} {top})">', *_panel(panel)]
        for name, times in curves.items():
            parts.append(f'<path class="{classes[name]}" d="{_curve(sorted(times))}"/>')
        parts.append("</g>")
    for number, name in enumerate(names):
        left = _LEFT + (number % columns) * (_WIDTH + _APART)
        top = legend + 20 * (number // columns)
        parts.append(f'<path class="{classes[name]}" d="M{left} {top - 4}h24"/>')
        parts.append(f'<text x="{left + 32}" y="{top}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(title: str) -> list[str]:
    parts = [f'<text class="title" x="0" y="-12">{escape(title)}</text>']
    for share in _SHARES:
        y = _HEIGHT * (1 - share)
        parts.append(f'<path class="grid" d="M0 {y:g}h{_WIDTH}"/>')
        parts.append(f'<text class="end" x="-6" y="{y + 4:g}">{share:.0%}</text>')
    decades = round(math.log10(_MOST / _LEAST))
    for decade in range(decades + 1):
        ms = _LEAST * 10**decade
        parts.append(f'<path class="grid" d="M{_across(ms):g} 0v{_HEIGHT}"/>')
        parts.append(
            f'<text class="middle" x="{_across(ms):g}" y="{_HEIGHT + 16}">{ms:g} ms</text>'
        )
    return parts


def _curve(ordered: Sequence[int]) -> str:
    points = []
    for step in range(_POINTS + 1):
        share = step / _POINTS
        place = min(len(ordered) - 1, int(share * len(ordered)))
        points.append(f"{_across(ordered[place] / 1e6):.1f} {_HEIGHT * (1 - share):.1f}")
    return "M" + "L".join(points)


def _across(ms: float) -> float:
    """Return how far to the right a time is."""
    share = math.log10(max(ms, _LEAST) / _LEAST) / math.log10(_MOST / _LEAST)
    return _WIDTH * min(1.0, share)
