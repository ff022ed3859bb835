"""Buckets: the rooms of a channel, by the values of the first attribute that their filters give. Pure.

A filter's attributes are looked at in a fixed order, those that select the fewest rooms first. A room is in the bucket of each value
of its first attribute, in the entry of its *shape* (which attributes its filter gives); for each further attribute it is in that
value's bitmap. So an update looks into a handful of buckets, and an entry costs it one intersection for each further attribute.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from typing import TypeAlias

from pyroaring import BitMap

from common.filters import Filter
from common.updates import Update
from router.bounds import Interval
from router.members import Members, Numbers

TOKEN, PROTOCOL, USER, CHAIN, LOW, HIGH = 1, 2, 4, 8, 16, 32
BOUNDS = LOW | HIGH

Values: TypeAlias = tuple[str, ...]
Entries: TypeAlias = dict[int, Members | Interval]

_OF_FILTER: tuple[tuple[int, Callable[[Filter], Values]], ...] = (
    (TOKEN, lambda chosen: chosen.token_ids),
    (PROTOCOL, lambda chosen: chosen.protocol_ids),
    (USER, lambda chosen: (chosen.user_id,) if chosen.user_id is not None else ()),
    (CHAIN, lambda chosen: chosen.chains),
)
_ATTRIBUTES = tuple(bit for bit, _ in _OF_FILTER)
_FURTHER = {shape: tuple(bit for bit in _ATTRIBUTES if shape & bit)[1:] for shape in range(64)}
"""Shape -> its attributes after the first."""
_NONE: tuple[int, Values] = (0, ("",))


class Buckets:
    def __init__(self) -> None:
        self._buckets: dict[int, dict[str, Entries]] = {bit: {} for bit in (*_ATTRIBUTES, 0)}
        self._maps: dict[int, dict[str, BitMap]] = {bit: {} for bit in _ATTRIBUTES}

    def add(self, number: int, chosen: Filter) -> None:
        shape, (first, values), further = _parts(chosen)
        for value in values:
            entries = self._buckets[first].setdefault(value, {})
            entry = entries.get(shape)
            if entry is None:
                entry = entries[shape] = _new_entry(shape)
            if isinstance(entry, Members):
                entry.add(number)
            else:
                entry.add(number, chosen.min_value, chosen.max_value)
        for bit, others in further:
            for value in others:
                self._maps[bit].setdefault(value, BitMap()).add(number)

    def remove(self, number: int, chosen: Filter) -> None:
        shape, (first, values), further = _parts(chosen)
        for value in values:
            entries = self._buckets[first][value]
            entry = entries[shape]
            if isinstance(entry, Members):
                entry.remove(number)
            else:
                entry.remove(number, chosen.min_value, chosen.max_value)
            if not entry:
                del entries[shape]
            if not entries:
                del self._buckets[first][value]
        for bit, others in further:
            self._remove_from_maps(self._maps[bit], others, number)

    def match(self, update: Update) -> Numbers:
        """The rooms that the update matches, each once, in no order."""
        look = _Look(update, self._maps)
        for bit, value in ((TOKEN, update.token_id), (PROTOCOL, update.protocol_id), (USER, update.user_id), (0, "")):
            if value is not None and (entries := self._buckets[bit].get(value)) is not None:
                look.into(entries)
        if len(update.chains) == 1:
            if (entries := self._buckets[CHAIN].get(update.chains[0])) is not None:
                look.into(entries)
        elif update.chains:
            look.into_several([entries for name in update.chains if (entries := self._buckets[CHAIN].get(name))])
        return look.found

    def __iter__(self) -> Iterator[Entries]:
        """What is held, for tests."""
        return (entries for buckets in self._buckets.values() for entries in buckets.values())

    @staticmethod
    def _remove_from_maps(maps: dict[str, BitMap], values: Values, number: int) -> None:
        for value in values:
            maps[value].discard(number)
            if not maps[value]:
                del maps[value]


class _Look:
    """One update's look into the buckets. Written for speed: it is most of what an update costs."""

    __slots__ = ("_has", "_maps", "_update", "found")

    def __init__(self, update: Update, maps: dict[int, dict[str, BitMap]]) -> None:
        self._update = update
        self._maps = maps
        self._has = (
            (TOKEN if update.token_id is not None else 0)
            | (PROTOCOL if update.protocol_id is not None else 0)
            | (USER if update.user_id is not None else 0)
            | (CHAIN if update.chains else 0)
            | (BOUNDS if update.value is not None else 0)
        )
        self.found: Numbers = array("I")

    def into(self, entries: Entries) -> None:
        lacks = ~self._has
        for shape, entry in entries.items():
            if shape & lacks:
                continue
            further = _FURTHER[shape]
            if isinstance(entry, Members):
                some = entry.numbers(as_bitmap=bool(further))
            else:
                some = entry.around(self._update.value or 0.0, as_bitmap=bool(further))
            for bit in further:
                allowed = self._allowed(bit)
                some = some & allowed if isinstance(some, BitMap) else _within(some, allowed)
            self.found.extend(some.to_array() if isinstance(some, BitMap) else some)

    def into_several(self, buckets: list[Entries]) -> None:
        """A room may be in more than one of these."""
        before, self.found = self.found, array("I")
        for entries in buckets:
            self.into(entries)
        before.extend(BitMap(self.found).to_array())
        self.found = before

    def _allowed(self, bit: int) -> BitMap:
        """Rooms whose further attribute takes the update's value, or one of its values."""
        update, maps = self._update, self._maps[bit]
        if bit == CHAIN and len(update.chains) > 1:
            return BitMap.union(*(maps.get(name, _EMPTY) for name in update.chains))
        value = update.chains[0] if bit == CHAIN else update.protocol_id if bit == PROTOCOL else update.user_id
        return maps.get(value or "", _EMPTY)


def _within(numbers: Numbers, allowed: BitMap) -> Numbers:
    return array("I", [number for number in numbers if number in allowed])


_EMPTY = BitMap()


def _parts(chosen: Filter) -> tuple[int, tuple[int, Values], list[tuple[int, Values]]]:
    """Shape, first attribute and further ones of a filter, with their values."""
    given = [(bit, values) for bit, of in _OF_FILTER if (values := of(chosen))]
    low = LOW if chosen.min_value is not None else 0
    high = HIGH if chosen.max_value is not None else 0
    return sum(bit for bit, _ in given) | low | high, given[0] if given else _NONE, given[1:]


def _new_entry(shape: int) -> Members | Interval:
    if shape & BOUNDS:
        return Interval(low=bool(shape & LOW), high=bool(shape & HIGH))
    return Members()
