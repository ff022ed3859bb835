"""Bounds: rooms whose filters give bounds, sorted so that those around a value are found by bisection. Pure.

Rooms that give `minValue` alone are sorted by it, those that give `maxValue` alone by its negative: the ones that hold a value are
the first ones. Rooms that give both are apart by the length of their interval, in powers of two, and sorted by `minValue`: an interval
shorter than `2**n` that holds a value begins less than `2**n` below it, so only its likes in place and length are looked at.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import islice
from math import frexp, inf, isinf, ldexp
from typing import NamedTuple

import msgspec

from common.identifiers import Slot

Found = dict[Slot, list[bytes]]
"""Slot -> ids of rooms, in pieces."""

LOWS, HIGHS, UNBOUNDED = 2000, 2001, 1024
"""Kinds besides the binary exponents of lengths, which end at 1024."""
_MOST = 512
"""Records in a block: what adding one moves, 20 KB at most."""


class Record(NamedTuple):
    """A room in a slot, with the bounds of its filter. `room` is as deliveries name it: begun by a byte that is in none again."""

    slot: Slot
    room: bytes
    low: float | None = None
    high: float | None = None

    @property
    def bounded(self) -> bool:
        return self.low is not None or self.high is not None


class Block(msgspec.Struct, array_like=True, gc=False):
    """Records in the order of their keys, column by column: small to hold, quick to encode."""

    keys: list[float]
    highs: list[float]
    """Of intervals only."""
    slots: list[Slot]
    rooms: bytes
    """All of one length: ids of a channel are."""

    @property
    def width(self) -> int:
        return len(self.rooms) // len(self.slots)


Bounded = dict[int, list[Block]]
"""Kind -> blocks, the keys of one not above those of the next."""


def kind_of(record: Record) -> tuple[int, float]:
    """The kind of a bounded record, and its key there."""
    if record.low is None:
        return HIGHS, -(record.high or 0.0)
    if record.high is None:
        return LOWS, record.low
    length = float(record.high) - record.low
    return (UNBOUNDED if isinf(length) else frexp(length)[1]), record.low


def add(bounded: Bounded, record: Record) -> None:
    kind, key = kind_of(record)
    blocks = bounded.setdefault(kind, [Block([], [], [], b"")])
    # Equal keys may lie in several blocks; any of them will do.
    number = max(0, bisect_right(blocks, key, key=_first) - 1)
    block = blocks[number]
    at, width = bisect_right(block.keys, key), len(record.room)
    block.keys.insert(at, key)
    block.slots.insert(at, record.slot)
    if kind <= UNBOUNDED:
        block.highs.insert(at, record.high or 0.0)
    block.rooms = block.rooms[: at * width] + record.room + block.rooms[at * width :]
    if len(block.keys) > _MOST:
        blocks[number : number + 1] = _halves(block, width)


def remove(bounded: Bounded, record: Record) -> None:
    """Raises `ValueError` where it is not held."""
    kind, key = kind_of(record)
    blocks = bounded.get(kind, [])
    block, at = _find(blocks, key, record)
    width = len(record.room)
    for column in (block.keys, block.slots, block.highs):
        del column[at : at + 1]
    block.rooms = block.rooms[: at * width] + block.rooms[(at + 1) * width :]
    if not block.keys:
        blocks.remove(block)
    if not blocks:
        del bounded[kind]


def around(bounded: Bounded, value: float, found: Found) -> None:
    """Add the rooms whose bounds hold `value`, both inclusive."""
    for kind, blocks in bounded.items():
        if kind == LOWS:
            _between(blocks, value, found)
        elif kind == HIGHS:
            _between(blocks, -value, found)
        else:
            _holding(blocks, value, _reach(kind), found)


def _between(blocks: list[Block], most: float, found: Found) -> None:
    """Those with keys up to `most`."""
    for block in blocks:
        last = bisect_right(block.keys, most)
        if not last:
            return
        slots, rooms, width = block.slots[:last], block.rooms, block.width
        if slots.count(slots[0]) == last:
            found[slots[0]].append(rooms[: last * width])
            continue
        for slot, at in zip(slots, range(0, last * width, width), strict=True):
            found[slot].append(rooms[at : at + width])


def _holding(blocks: list[Block], value: float, reach: float, found: Found) -> None:
    """Those with keys up to `value` whose intervals reach up to it."""
    for block in blocks if len(blocks) == 1 else _from(blocks, value - reach):
        last = bisect_right(block.keys, value)
        if not last:
            return
        first = bisect_left(block.keys, value - reach, 0, last)
        for at, high in enumerate(block.highs[first:last], start=first):
            if high >= value:
                width = block.width
                found[block.slots[at]].append(block.rooms[at * width : (at + 1) * width])


def _from(blocks: list[Block], low: float) -> Iterator[Block]:
    """Blocks that may have keys from `low` on."""
    return islice(blocks, max(0, bisect_left(blocks, low, key=_first) - 1), None)


def _reach(exponent: int) -> float:
    """How far below a value an interval of this kind can begin: twice its length, so that rounding cannot hide one."""
    return ldexp(1.0, exponent + 1) if exponent + 1 < UNBOUNDED else inf


def _find(blocks: list[Block], key: float, record: Record) -> tuple[Block, int]:
    width = len(record.room)
    for block in _from(blocks, key):
        first, last = bisect_left(block.keys, key), bisect_right(block.keys, key)
        if not last:
            break
        at = block.rooms.find(record.room, first * width, last * width)
        while at >= 0:
            if block.slots[at // width] == record.slot:
                return block, at // width
            at = block.rooms.find(record.room, at + width, last * width)
    raise ValueError(f"{record.room!r} is not held for slot {record.slot}")


def _halves(block: Block, width: int) -> list[Block]:
    half = len(block.keys) // 2
    parts = (slice(None, half), half * width), (slice(half, None), None)
    return [
        Block(
            block.keys[part],
            block.highs[part],
            block.slots[part],
            block.rooms[:end] if end is not None else block.rooms[half * width :],
        )
        for part, end in parts
    ]


def _first(block: Block) -> float:
    return block.keys[0] if block.keys else -inf
