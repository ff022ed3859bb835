"""Rooms sorted by a bound, so that those a value passes are found by bisection. Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right

from pyroaring import BitMap

from router.members import FEW, Numbers

_STEP = 256
"""Entries between two cuts of a list: what a query adds one by one, about 2 us."""
_MOST_CUTS = 128
"""Each cut keeps a bitmap, so their number is bounded: 128 of 100,000 rooms are 1.6 MB at most."""


class SortedBounds:
    """Room numbers by their lower bound; those whose bound is at most `v` are passed by `v`.

    The rooms below some bounds ("cuts") are kept as bitmaps, so that a bitmap of many rooms is a copy of one of them with the few
    entries beyond. Upper bounds are kept negated and asked with `-v`.
    """

    __slots__ = ("_below", "_bounds", "_cuts", "_numbers", "_rebuild_at")

    def __init__(self) -> None:
        self._bounds = array("d")
        self._numbers = array("I")
        self._cuts: tuple[float, ...] = ()
        self._below: tuple[BitMap, ...] = ()
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

    def count(self, value: float) -> int:
        """How many rooms are passed."""
        return bisect_right(self._bounds, value)

    def first(self, count: int) -> Numbers:
        """The rooms of the lowest bounds."""
        return self._numbers[:count]

    def passed(self, value: float) -> BitMap:
        """A new bitmap of the rooms that are passed."""
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
        self._cuts = tuple(sorted({self._bounds[at] for at in range(step - 1, size, step)}))
        self._below = tuple(BitMap(self._numbers[: bisect_right(self._bounds, cut)]) for cut in self._cuts)
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

    def around(self, value: float, *, as_bitmap: bool) -> Numbers | BitMap:
        """The rooms whose bounds hold `value`, both inclusive. Many come as a bitmap if that is what is wanted."""
        if self._lows is not None and self._highs is not None:
            both = self._lows.passed(value)
            both &= self._highs.passed(-value)
            return both if as_bitmap else both.to_array()
        if self._lows is not None:
            return _passed(self._lows, value, as_bitmap=as_bitmap)
        return _passed(self._highs, -value, as_bitmap=as_bitmap) if self._highs is not None else array("I")


def _passed(bounds: SortedBounds, value: float, *, as_bitmap: bool) -> Numbers | BitMap:
    count = bounds.count(value)
    return bounds.passed(value) if as_bitmap and count > FEW else bounds.first(count)
