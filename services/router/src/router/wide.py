"""Wide: rooms whose filters have so many combinations of values that they would lie at the end of too many paths. Pure.

Each is held once for each of its values, in that value's bitmap; those with the same attributes together. An update's rooms are in
the bitmaps of one of its values for each attribute.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyroaring import BitMap

from router.bounds import Found, Record

Levels = Sequence[Sequence[str]]
"""For each attribute that a filter gives, its values, each with the attribute's letter before it."""


class Wide:
    def __init__(self) -> None:
        self._records: list[Record | None] = []
        self._free: list[int] = []
        self._numbers: dict[Record, int] = {}
        self._maps: dict[str, dict[str, BitMap]] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, levels: Levels, record: Record) -> None:
        if self._free:
            number = self._free.pop()
            self._records[number] = record
        else:
            number = len(self._records)
            self._records.append(record)
        self._numbers[record] = number
        maps = self._maps.setdefault(_shape(levels), {})
        for values in levels:
            for value in values:
                maps.setdefault(value, BitMap()).add(number)

    def remove(self, levels: Levels, record: Record) -> None:
        """Raises `KeyError` where it is not held."""
        number = self._numbers.pop(record)
        self._records[number] = None
        self._free.append(number)
        shape = _shape(levels)
        maps = self._maps[shape]
        for values in levels:
            for value in values:
                maps[value].discard(number)
                if not maps[value]:
                    del maps[value]
        if not maps:
            del self._maps[shape]

    def find(self, values: Sequence[str], value: float | None, found: Found) -> None:
        """Add the rooms that an update with these values matches, each once."""
        for shape, maps in self._maps.items():
            for number in _met(shape, maps, values):
                record = self._records[number]
                if record is not None and _holds(record, value):
                    found[record.slot].append(record.room)


def _shape(levels: Levels) -> str:
    return "".join(values[0][0] for values in levels)


def _met(shape: str, maps: dict[str, BitMap], values: Sequence[str]) -> BitMap:
    """Numbers that are in a bitmap of each attribute."""
    met: BitMap | None = None
    for attribute in shape:
        held = [maps[value] for value in values if value[0] == attribute and value in maps]
        if not held:
            return BitMap()
        some = held[0] if len(held) == 1 else BitMap.union(*held)
        met = some if met is None else met & some
    return met if met is not None else BitMap()


def _holds(record: Record, value: float | None) -> bool:
    if not record.bounded:
        return True
    return (
        value is not None
        and (record.low is None or record.low <= value)
        and (record.high is None or value <= record.high)
    )
