"""Rooms sorted by a bound, so that those a value passes are found by bisection. Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right

from pyroaring import BitMap

_STEP = 256
"""Entries between two cuts of a list: what a query adds one by one, about 2 us."""
_MOST_CUTS = 128
"""Each cut keeps a bitmap, so their number is bounded: 128 of 100,000 rooms are 1.6 MB at most."""


class SortedBounds:
    """Room numbers by their lower bound. `passed(v)` are those whose bound is at most `v`.

    The rooms below some bounds ("cuts") are kept as bitmaps, so a query copies one of them and adds the few entries beyond.
    Upper bounds are kept negated and asked with `-v`.
    """

    __slots__ = ("_below", "_bounds", "_cuts", "_numbers", "_rebuild_at")

    def __init__(self) -> None:
        self._bounds = array("d")
        self._numbers = array("I")
        self._cuts: list[float] = []
        self._below: list[BitMap] = []
        self._rebuild_at = _STEP * 2

    def __len__(self) -> int:
        return len(self._bounds)

    def add(self, bound: float, number: int) -> None:
        at = bisect_right(self._bounds, bound)
        self._bounds.insert(at, bound)
        self._numbers.insert(at, number)
        for below in self._below[bisect_left(self._cuts, bound) :]:
            below.add(number)
        if len(self._bounds) >= self._rebuild_at:
            self._rebuild()

    def remove(self, bound: float, number: int) -> None:
        """Raises `ValueError` where it is not held."""
        first = bisect_left(self._bounds, bound)
        at = self._numbers.index(number, first, bisect_right(self._bounds, bound, lo=first))
        del self._bounds[at]
        del self._numbers[at]
        for below in self._below[bisect_left(self._cuts, bound) :]:
            below.discard(number)

    def passed(self, value: float) -> BitMap:
        """A new bitmap of the rooms whose bound is not above `value`."""
        end = bisect_right(self._bounds, value)
        cut = bisect_right(self._cuts, value) - 1
        if cut < 0:
            return BitMap(self._numbers[:end])
        start = bisect_right(self._bounds, self._cuts[cut], hi=end)
        passed = self._below[cut].copy()
        passed.update(self._numbers[start:end])
        return passed

    def _rebuild(self) -> None:
        """New cuts at even distances; at each doubling, so adding stays cheap on average."""
        size = len(self._bounds)
        step = max(_STEP, size // _MOST_CUTS)
        self._cuts = sorted({self._bounds[at] for at in range(step - 1, size, step)})
        self._below = [BitMap(self._numbers[: bisect_right(self._bounds, cut)]) for cut in self._cuts]
        self._rebuild_at = size * 2


class Interval:
    """Rooms of one bucket that all give the same of `minValue` and `maxValue`: one of them, or both."""

    __slots__ = ("_highs", "_lows")

    def __init__(self, *, low: bool, high: bool) -> None:
        self._lows = SortedBounds() if low else None
        self._highs = SortedBounds() if high else None

    def __len__(self) -> int:
        held = self._lows if self._lows is not None else self._highs
        return len(held) if held is not None else 0

    def add(self, number: int, low: float | None, high: float | None) -> None:
        if self._lows is not None and low is not None:
            self._lows.add(low, number)
        if self._highs is not None and high is not None:
            self._highs.add(-high, number)

    def remove(self, number: int, low: float | None, high: float | None) -> None:
        if self._lows is not None and low is not None:
            self._lows.remove(low, number)
        if self._highs is not None and high is not None:
            self._highs.remove(-high, number)

    def around(self, value: float) -> BitMap:
        """The rooms whose bounds hold `value`, both inclusive."""
        if self._lows is None:
            return self._highs.passed(-value) if self._highs is not None else BitMap()
        passed = self._lows.passed(value)
        if self._highs is not None:
            passed &= self._highs.passed(-value)
        return passed
