"""Groups: the rooms of a channel whose filters give the same attributes. Within one, matching is a few lookups. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain

from pyroaring import BitMap

from common.filters import Filter
from common.updates import Update
from router.bounds import Interval

TOKEN, PROTOCOL, USER, CHAIN, LOW, HIGH = 1, 2, 4, 8, 16, 32
_VALUE = LOW | HIGH

Values = tuple[str, ...]

# In the order in which a group looks: the attributes that select the fewest rooms first.
_OF_FILTER: tuple[tuple[int, Callable[[Filter], Values]], ...] = (
    (TOKEN, lambda chosen: chosen.token_ids),
    (PROTOCOL, lambda chosen: chosen.protocol_ids),
    (USER, lambda chosen: (chosen.user_id,) if chosen.user_id is not None else ()),
    (CHAIN, lambda chosen: chosen.chains),
)


def shape_of(chosen: Filter) -> int:
    """Which attributes a filter gives, as bits."""
    shape = sum(bit for bit, values in _OF_FILTER if values(chosen))
    low = LOW if chosen.min_value is not None else 0
    high = HIGH if chosen.max_value is not None else 0
    return shape | low | high


def attributes_of(update: Update) -> int:
    """Which attributes an update has: it can match only groups that ask for no others."""
    has = 0
    if update.token_id is not None:
        has |= TOKEN
    if update.protocol_id is not None:
        has |= PROTOCOL
    if update.user_id is not None:
        has |= USER
    if update.chains:
        has |= CHAIN
    if update.value is not None:
        has |= _VALUE
    return has


class Group:
    """Rooms of one shape: a bitmap for each value of each attribute, and the bounds sorted per value of the first attribute."""

    __slots__ = ("_bits", "_everything", "_intervals", "_maps", "shape", "size")

    def __init__(self, shape: int) -> None:
        self.shape = shape
        self.size = 0
        self._bits = tuple(bit for bit, _ in _OF_FILTER if shape & bit)
        self._maps: dict[int, dict[str | None, BitMap]] = {bit: {} for bit in self._bits}
        self._everything = BitMap()
        self._intervals: dict[str, Interval] = {}

    def add(self, number: int, chosen: Filter) -> None:
        self.size += 1
        for bit, values in self._values(chosen):
            maps = self._maps[bit]
            for value in values:
                maps.setdefault(value, BitMap()).add(number)
        if not self._bits:
            self._everything.add(number)
        if self.shape & _VALUE:
            for bucket in self._buckets(chosen):
                self._interval(bucket).add(number, chosen.min_value, chosen.max_value)

    def remove(self, number: int, chosen: Filter) -> None:
        self.size -= 1
        for bit, values in self._values(chosen):
            maps = self._maps[bit]
            for value in values:
                maps[value].discard(number)
                if not maps[value]:
                    del maps[value]
        self._everything.discard(number)
        if self.shape & _VALUE:
            for bucket in self._buckets(chosen):
                self._intervals[bucket].remove(number, chosen.min_value, chosen.max_value)
                if not self._intervals[bucket]:
                    del self._intervals[bucket]

    def match(self, update: Update) -> BitMap | None:
        """The rooms that the update matches, not to be changed by the caller; it has all attributes of the shape."""
        found: BitMap | None = None
        if self.shape & _VALUE:
            found = self._within_bounds(update)
            bits = self._bits[1:]
        else:
            bits = self._bits
        for bit in bits:
            among = _lookup(self._maps[bit], bit, update)
            if among is None:
                return None
            found = among if found is None else found & among
        return self._everything if found is None else found

    def _within_bounds(self, update: Update) -> BitMap:
        value = update.value
        assert value is not None
        buckets = _values_of(update, self._bits[0]) if self._bits else ("",)
        intervals = [interval for bucket in buckets if (interval := self._intervals.get(bucket)) is not None]
        if len(intervals) == 1:
            return intervals[0].around(value)
        return BitMap.union(*(interval.around(value) for interval in intervals)) if intervals else BitMap()

    def _values(self, chosen: Filter) -> Iterable[tuple[int, Values]]:
        """The attributes kept in maps: not the first where the intervals are kept by it."""
        skipped = self._bits[:1] if self.shape & _VALUE else ()
        return ((bit, values(chosen)) for bit, values in _OF_FILTER if self.shape & bit and bit not in skipped)

    def _buckets(self, chosen: Filter) -> Values:
        first = self._bits[0] if self._bits else 0
        return tuple(chain.from_iterable(values(chosen) for bit, values in _OF_FILTER if bit == first)) or ("",)

    def _interval(self, bucket: str) -> Interval:
        interval = self._intervals.get(bucket)
        if interval is None:
            interval = self._intervals[bucket] = Interval(low=bool(self.shape & LOW), high=bool(self.shape & HIGH))
        return interval


def _values_of(update: Update, bit: int) -> Iterable[str]:
    if bit == CHAIN:
        return update.chains
    value = update.token_id if bit == TOKEN else update.protocol_id if bit == PROTOCOL else update.user_id
    return (value,) if value is not None else ()


def _lookup(maps: dict[str | None, BitMap], bit: int, update: Update) -> BitMap | None:
    if bit == TOKEN:
        return maps.get(update.token_id)
    if bit == PROTOCOL:
        return maps.get(update.protocol_id)
    if bit == USER:
        return maps.get(update.user_id)
    if len(update.chains) == 1:
        return maps.get(update.chains[0])
    found = [among for name in update.chains if (among := maps.get(name)) is not None]
    return BitMap.union(*found) if found else None
