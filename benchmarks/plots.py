"""Small plots as SVG, by hand: groups of bars, and curves on logarithmic axes. No library, no script in the picture.

Each has a white ground with an edge, so that it reads the same on a light page and on a dark one, and is as wide as a page of text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, BAR, GAP, LEFT, RIGHT = 800, 15, 5, 184, 170
COLOURS = {"defistream": "#2563eb", "floor": "#6b7280", "floor, joined": "#6b7280"}
OTHERS = "#d97706"
INK, FAINT = "#111827", "#4b5563"


@dataclass(frozen=True, slots=True)
class Bar:
    """`value` is None where nothing could be measured; then `note` says why, in place of the bar. Otherwise it is put behind the figure."""

    subject: str
    label: str
    value: float | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Bars under one heading, which names the unit. `scale`: groups with the same name have the same scale."""

    heading: str
    scale: str
    bars: Sequence[Bar]


def bars(title: str, groups: Sequence[Group], notes: Sequence[str] = ()) -> str:
    """Lengths are linear from zero; notes come last, a line each."""
    longest: dict[str, float] = {}
    for group in groups:
        longest[group.scale] = max(
            [longest.get(group.scale, 0.0), *(each.value for each in group.bars if each.value is not None)]
        )
    parts, top = [_text(12, 24, title, size=15, weight="bold")], 36
    for group in groups:
        parts.append(_text(12, top + 15, group.heading, weight="bold"))
        top += 24
        for each in group.bars:
            parts += _bar(each, top, longest[group.scale] or 1.0)
            top += BAR + GAP
        top += 6
    for note in notes:
        parts.append(_text(12, top + 12, note, size=12, colour=FAINT))
        top += 17
    return _picture(top + 10, parts)


def _bar(each: Bar, top: float, longest: float) -> list[str]:
    weight, foot = ("bold" if each.subject == "defistream" else "normal"), top + BAR - 3
    label = _text(LEFT - 8, foot, each.label, anchor="end", weight=weight)
    if each.value is None:
        return [label, _text(LEFT, foot, each.note, size=12, colour=FAINT)]
    length = (WIDTH - LEFT - RIGHT) * each.value / longest
    colour = COLOURS.get(each.subject, OTHERS)
    figure = f"{bar_text(each.value)} {each.note}".strip()
    return [
        label,
        f'<rect x="{LEFT}" y="{top}" width="{max(length, 1):.1f}" height="{BAR}" fill="{colour}"/>',
        _text(LEFT + length + 6, foot, figure, weight=weight),
    ]


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


def bar_text(value: float) -> str:
    """As `number_text`, whole thousands from 10,000 on: rounds differ by more than that."""
    return number_text(round(value, -3) if value >= 10_000 else value)


def _axis(values: Sequence[float]) -> tuple[int, int]:
    """Powers of ten around the values."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    weight: str = "normal",
    size: int = 13,
    colour: str = INK,
) -> str:
    font = f'font-family="Helvetica, Arial, sans-serif" font-size="{size}" font-weight="{weight}" fill="{colour}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {font} text-anchor="{anchor}">{escape(text)}</text>'


def _picture(height: float, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}">'
    ground = (
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1:.0f}" rx="6" fill="white" stroke="#d1d5db"/>'
    )
    return "\n".join((head, ground, *parts, "</svg>\n"))
