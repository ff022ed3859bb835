"""Figures, and how they are printed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of durations, in milliseconds; by the nearest-rank method."""

    count: int
    p50: float
    p95: float
    p99: float
    longest: float

    def __str__(self) -> str:
        return f"p50 {self.p50:.1f}  p95 {self.p95:.1f}  p99 {self.p99:.1f}  max {self.longest:.1f} ms"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the result. `met` is None where there is no target."""

    criterion: str
    what: str
    measured: str
    target: str = ""
    met: bool | None = None

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def percentiles(milliseconds: Iterable[float]) -> Percentiles:
    """Raises ValueError where nothing was measured."""
    ordered = sorted(milliseconds)
    if not ordered:
        raise ValueError("nothing was measured")
    return Percentiles(len(ordered), _rank(ordered, 0.50), _rank(ordered, 0.95), _rank(ordered, 0.99), ordered[-1])


def table(figures: Sequence[Figure]) -> str:
    """Figures in aligned columns."""
    rows = [("criterion", "what", "measured", "target", ""), *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _row(figure: Figure) -> tuple[str, str, str, str, str]:
    verdict = {None: "", True: "met", False: "missed"}[figure.met]
    return (figure.criterion, figure.what, figure.measured, figure.target, verdict)


def _rank(ordered: Sequence[float], share: float) -> float:
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
