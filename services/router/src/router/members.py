"""Members: the rooms of one bucket that give no bounds, as sorted numbers and, where it helps, as a bitmap. Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import TypeAlias

from pyroaring import BitMap

Numbers: TypeAlias = "array[int]"

FEW = 24
"""Up to so many numbers, looking each up in a bitmap is cheaper than making a bitmap of them (1.5 us, and 200 bytes to keep)."""


class Members:
    __slots__ = ("_bitmap", "_numbers")

    def __init__(self) -> None:
        self._numbers = array("I")
        self._bitmap: BitMap | None = None

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, number: int) -> None:
        self._numbers.insert(bisect_left(self._numbers, number), number)
        if self._bitmap is not None:
            self._bitmap.add(number)

    def remove(self, number: int) -> None:
        del self._numbers[bisect_left(self._numbers, number)]
        if self._bitmap is not None:
            self._bitmap.discard(number)

    def numbers(self, *, as_bitmap: bool) -> Numbers | BitMap:
        """All of them, not to be changed by the caller. Many come as a bitmap if that is what is wanted."""
        if not as_bitmap or len(self._numbers) <= FEW:
            return self._numbers
        if self._bitmap is None:
            self._bitmap = BitMap(self._numbers)
        return self._bitmap
