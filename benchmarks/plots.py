"""Small plots as SVG, by hand: bars of one measure, and curves on logarithmic axes. No library, no script in the picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, BAR, GAP, LEFT, RIGHT = 760, 18, 6, 330, 110
COLOURS = {"defistream": "#2563eb", "floor": "#6b7280", "floor, joined": "#9ca3af"}
OTHERS = "#d97706"
_TEXT = 'font-family="sans-serif" font-size="12"'


def bars(title: str, rows: Sequence[tuple[str, str, float]], unit: str) -> str:
    """A bar for each (subject, label, value); lengths are linear from zero."""
    longest = max((value for _, _, value in rows), default=1.0) or 1.0
    height = 40 + len(rows) * (BAR + GAP)
    parts = [_text(10, 20, title, weight="bold")]
    for number, (subject, label, value) in enumerate(rows):
        top = 34 + number * (BAR + GAP)
        length = (WIDTH - LEFT - RIGHT) * value / longest
        parts.append(_text(LEFT - 8, top + 13, label, anchor="end"))
        parts.append(
            f'<rect x="{LEFT}" y="{top}" width="{length:.1f}" height="{BAR}" fill="{COLOURS.get(subject, OTHERS)}"/>'
        )
        parts.append(_text(LEFT + length + 6, top + 13, f"{number_text(value)} {unit}"))
    return _picture(height, parts)


def curves(title: str, lines: Mapping[str, Sequence[tuple[float, float]]], unit: str) -> str:
    """Lines through points with x and y above zero, both axes logarithmic."""
    points = [point for line in lines.values() for point in line if point[1] > 0]
    if not points:
        return _picture(40, [_text(10, 20, title)])
    left, top, width, height = 80, 40, 380, 240
    axes = [_axis([point[each] for point in points]) for each in (0, 1)]

    def place(x: float, y: float) -> tuple[float, float]:
        (low_x, high_x), (low_y, high_y) = axes
        across = (math.log10(x) - low_x) / (high_x - low_x)
        up = (math.log10(y) - low_y) / (high_y - low_y)
        return left + across * width, top + height * (1 - up)

    parts = [_text(10, 20, f"{title} ({unit})", weight="bold")]
    for power in range(axes[0][0], axes[0][1] + 1):
        x, _ = place(10**power, 10 ** axes[1][0])
        parts.append(f'<path d="M{x:.1f} {top}V{top + height}" stroke="#e5e7eb"/>')
        parts.append(_text(x, top + height + 16, number_text(10.0**power), anchor="middle"))
    for power in range(axes[1][0], axes[1][1] + 1):
        _, y = place(10 ** axes[0][0], 10**power)
        parts.append(f'<path d="M{left} {y:.1f}H{left + width}" stroke="#e5e7eb"/>')
        parts.append(_text(left - 6, y + 4, number_text(10.0**power), anchor="end"))
    palette = ("#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed")
    for number, (name, line) in enumerate(lines.items()):
        colour = palette[number % len(palette)]
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line if point[1] > 0))
        parts.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<rect x="{left + width + 14}" y="{top + number * 20}" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(left + width + 30, top + 9 + number * 20, name))
    return _picture(top + height + 30, parts)


def number_text(value: float) -> str:
    """Three figures that count, thousands apart."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _axis(values: Sequence[float]) -> tuple[int, int]:
    """Powers of ten around the values."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {_TEXT} font-weight="{weight}" text-anchor="{anchor}">{escape(text)}</text>'


def _picture(height: float, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}">'
    return "\n".join((head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>\n"))
