"""Curves as inline SVG, whose colours follow the page's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from whatwhere.report import Html

WIDTH, HEIGHT = 480, 250
LEFT, RIGHT, TOP, BOTTOM = 44, 14, 12, 34

Number = int | float
Point = tuple[Number, Number]


def curve(caption: str, points: Sequence[Point], *, dots: bool) -> Html:
    """A line through (step, value) from zero up, and its last value; nothing without two points.

    dots    mark every point, for values that were measured now and then
    """
    points = [p for p in sorted(dict(points).items()) if math.isfinite(p[1])]
    if len(points) < 2:
        return Html("")
    across = ticks(0, points[-1][0])
    up = ticks(min(0, *(y for _, y in points)), max(y for _, y in points))

    def place(x: Number, y: Number) -> Point:
        right = LEFT + (x - across[0]) / (across[-1] - across[0]) * (WIDTH - LEFT - RIGHT)
        down = HEIGHT - BOTTOM - (y - up[0]) / (up[-1] - up[0]) * (HEIGHT - TOP - BOTTOM)
        return round(right, 1), round(down, 1)

    drawn = [_horizontal(place(0, y)[1], f"{y:g}") for y in up]
    drawn += [_below(place(x, up[0])[0], f"{x:g}") for x in across]
    at = [place(*point) for point in points]
    corners = " ".join(f"{x},{y}" for x, y in at)
    drawn.append(f'<polyline points="{corners}"/>')
    marked = list(zip(points, at, strict=True)) if dots else []
    drawn += [
        f'<circle cx="{x}" cy="{y}" r="4"><title>step {step:g}: {value:.3g}</title></circle>'
        for (step, value), (x, y) in marked
    ]
    last = f"{points[-1][1]:.3g} after {points[-1][0]:g} steps"
    said = escape(f"{caption}: from {points[0][1]:.3g} to {last}")
    head = f"<figcaption>{escape(caption)} <span>{last}</span></figcaption>"
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{said}">'
    return Html("\n".join(["<figure>", head, svg, *drawn, "</svg>", "</figure>"]))


def ticks(low: Number, high: Number) -> list[Number]:
    """Round numbers a person would mark, about five, that hold [low, high] between them.

    >>> ticks(0, 37), ticks(0, 0.9)
    ([0, 10, 20, 30, 40], [0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    """
    span = (high - low) or 1.0
    size = 10 ** math.floor(math.log10(span))
    step = next(s * size for s in (0.1, 0.2, 0.5, 1, 2) if span / (s * size) <= 6)
    digits = max(0, -math.floor(math.log10(step)))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    marks = [round(k * step, digits) for k in range(first, max(last, first + 1) + 1)]
    return [int(mark) for mark in marks] if digits == 0 else marks


def _horizontal(y: Number, text: str) -> str:
    line = f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
    return f'{line}<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{text}</text>'


def _below(x: Number, text: str) -> str:
    return f'<text x="{x}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{text}</text>'
