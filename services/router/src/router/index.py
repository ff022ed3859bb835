"""The rooms index: which rooms an update matches, and which slots want them. Pure, in memory, for up to millions of rooms.

Rooms of a channel are numbered, and found by what their filters give (`router.buckets`). A room stays
while at least one slot wants it. What it costs is measured in `benchmarks/match`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import TypeVar

import msgspec
from pyroaring import BitMap

from common.channels import Channel
from common.filters import Filter
from common.identifiers import RoomId, Slot
from common.rooms import Room
from common.updates import Update
from router.buckets import Buckets
from router.members import Numbers

T = TypeVar("T")
_NOBODY: tuple[Slot, ...] = ()


class ChannelIndex:
    """The rooms of one channel."""

    __slots__ = ("_buckets", "_by_slot", "_filters", "_free", "_ids", "_numbers", "_slots")

    def __init__(self) -> None:
        self._numbers: dict[RoomId, int] = {}
        self._ids: list[str] = []
        self._filters: list[bytes] = []
        self._slots: list[tuple[Slot, ...]] = []
        self._free: list[int] = []
        self._buckets = Buckets()
        self._by_slot: dict[Slot, BitMap] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def slots(self) -> Iterable[Slot]:
        """Slots that want at least one room."""
        return self._by_slot.keys()

    def rooms_of(self, slot: Slot) -> list[RoomId]:
        return [RoomId(self._ids[number]) for number in self._by_slot.get(slot, ())]

    def add(self, slot: Slot, room: Room) -> None:
        number = self._numbers.get(room.id)
        if number is None:
            number = self._insert(room)
        if slot not in self._slots[number]:
            self._slots[number] = _shared((*self._slots[number], slot))
            self._by_slot.setdefault(slot, BitMap()).add(number)

    def remove(self, slot: Slot, room_id: RoomId) -> None:
        number = self._numbers.get(room_id)
        if number is None or slot not in self._slots[number]:
            return
        wanted = self._by_slot[slot]
        wanted.discard(number)
        if not wanted:
            del self._by_slot[slot]
        self._release(slot, number)

    def forget(self, slot: Slot) -> None:
        for number in self._by_slot.pop(slot, ()):
            self._release(slot, number)

    def match(self, update: Update) -> Numbers:
        """Numbers of the rooms that the update matches, each once."""
        return self._buckets.match(update)

    def by_slot(self, numbers: Numbers) -> Mapping[Slot, list[str]]:
        """Who wants the rooms of these numbers."""
        rooms = _pick(self._ids, numbers)
        if len(self._by_slot) == 1:
            return dict.fromkeys(self._by_slot, rooms)
        wanted: defaultdict[Slot, list[str]] = defaultdict(list)
        for room_id, slots in zip(rooms, _pick(self._slots, numbers), strict=True):
            for slot in slots:
                wanted[slot].append(room_id)
        return wanted

    def _insert(self, room: Room) -> int:
        if self._free:
            number = self._free.pop()
            self._ids[number], self._filters[number], self._slots[number] = room.id, _pack(room.filter), _NOBODY
        else:
            number = len(self._ids)
            self._ids.append(room.id)
            self._filters.append(_pack(room.filter))
            self._slots.append(_NOBODY)
        self._numbers[room.id] = number
        self._buckets.add(number, room.filter)
        return number

    def _release(self, slot: Slot, number: int) -> None:
        """The slot wants the room no more; the room goes with the last one."""
        left = tuple(other for other in self._slots[number] if other != slot)
        self._slots[number] = _shared(left)
        if left:
            return
        chosen = _unpack(self._filters[number])
        self._buckets.remove(number, chosen)
        del self._numbers[RoomId(self._ids[number])]
        self._filters[number] = b""
        self._free.append(number)


class RoomsIndex:
    """All channels' rooms. Adding what is there and removing what is not change nothing."""

    def __init__(self) -> None:
        self._channels = {channel: ChannelIndex() for channel in Channel}

    def __len__(self) -> int:
        return sum(map(len, self._channels.values()))

    def channel(self, channel: Channel) -> ChannelIndex:
        return self._channels[channel]

    def add(self, slot: Slot, room: Room) -> None:
        self._channels[room.channel].add(slot, room)

    def remove(self, slot: Slot, room_id: RoomId) -> None:
        channel = _channel_of(room_id)
        if channel is not None:
            self._channels[channel].remove(slot, room_id)

    def forget(self, slot: Slot) -> None:
        """The slot wants nothing any more."""
        for channel in self._channels.values():
            channel.forget(slot)

    def match(self, update: Update) -> Mapping[Slot, list[str]]:
        """Slots and the rooms in them that the update matches; empty where it matches none."""
        channel = self._channels[update.channel]
        matched = channel.match(update)
        return channel.by_slot(matched) if matched else {}


_single: dict[tuple[Slot, ...], tuple[Slot, ...]] = {}


def _shared(slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
    """One tuple for all rooms that a single slot wants, which are nearly all: 48 bytes a room saved."""
    return _single.setdefault(slots, slots) if len(slots) <= 1 else slots


_Packed = tuple[tuple[str, ...], int | float | None, int | float | None, tuple[str, ...], tuple[str, ...], str | None]
_unpacker = msgspec.msgpack.Decoder(_Packed)


def _pack(chosen: Filter) -> bytes:
    """A filter in a tenth of the bytes of the object, read only when its room goes."""
    values = (
        chosen.chains,
        chosen.max_value,
        chosen.min_value,
        chosen.protocol_ids,
        chosen.token_ids,
        chosen.user_id,
    )
    return msgspec.msgpack.encode(values)


def _unpack(packed: bytes) -> Filter:
    return Filter(*_unpacker.decode(packed))


def _pick(values: Sequence[T], numbers: Sequence[int]) -> list[T]:
    """The values at these places; `itemgetter` does it at a fifth of a comprehension's cost."""
    if len(numbers) > 1:
        return list(itemgetter(*numbers)(values))
    return [values[number] for number in numbers]


def _channel_of(room_id: RoomId) -> Channel | None:
    try:
        return Channel(room_id.partition(":")[0])
    except ValueError:
        return None
