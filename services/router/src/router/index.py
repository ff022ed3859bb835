"""The rooms index: which rooms an update matches, and which slots want them. Pure, in memory, for up to millions of rooms.

A room stays while at least one slot wants it. Found rooms come as what deliveries take, so that no room is touched singly on an
update's way. What it costs is measured in `benchmarks/match`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import product
from math import prod
from typing import cast

from common.channels import Channel
from common.deliveries import PackedRooms, distinct_rooms, pack_room
from common.filters import Filter
from common.identifiers import RoomId, Slot
from common.rooms import Room
from common.updates import Update
from router import nodes
from router.bounds import Record
from router.directory import Directory, Number
from router.nodes import new_node
from router.wide import Levels, Wide


class UnknownRoomId(ValueError):
    """It is not of the form that `common.rooms` makes."""


class ChannelIndex:
    """The rooms of one channel."""

    __slots__ = ("_directory", "_root", "_wide", "prefix")

    def __init__(self, channel: Channel) -> None:
        self.prefix = f"{channel.value}:"
        self._directory = Directory()
        self._root = new_node()
        self._wide = Wide()

    def __len__(self) -> int:
        return len(self._directory)

    @property
    def empty(self) -> bool:
        """Nothing at all is held, for tests."""
        return not len(self._directory) and self._root == new_node() and not len(self._wide)

    def slots(self) -> Iterable[Slot]:
        """Slots that want at least one room."""
        return self._directory.slots.keys()

    def rooms_of(self, slot: Slot) -> list[RoomId]:
        return [self._id(number) for number in self._directory.rooms_of(slot)]

    def add(self, slot: Slot, room: Room) -> None:
        """Raises `UnknownRoomId`."""
        if self._directory.add(slot, self._number(room.id), room.filter):
            record, levels = self._place(slot, room.id, room.filter)
            if _is_wide(levels):
                self._wide.add(levels, record)
                return
            for path in product(*levels):
                nodes.add(self._root, path, record)

    def remove(self, slot: Slot, room_id: RoomId) -> None:
        try:
            number = self._number(room_id)
        except UnknownRoomId:
            return
        chosen = self._directory.remove(slot, number)
        if chosen is None:
            return
        record, levels = self._place(slot, room_id, chosen)
        if _is_wide(levels):
            self._wide.remove(levels, record)
            return
        for path in product(*levels):
            nodes.remove(self._root, path, record)

    def forget(self, slot: Slot) -> None:
        for room_id in self.rooms_of(slot):
            self.remove(slot, room_id)

    def match(self, update: Update) -> Mapping[Slot, PackedRooms]:
        """Slots and the rooms in them that the update matches, each once."""
        found: defaultdict[Slot, list[bytes]] = defaultdict(list)
        values = _values(update)
        nodes.find(self._root, values, update.value, found)
        if self._wide:
            self._wide.find(values, update.value, found)
        matched = cast("dict[Slot, PackedRooms]", {slot: b"".join(pieces) for slot, pieces in found.items()})
        if len(update.chains) > 1:
            # A room of several chains lies at the end of a path for each.
            return {slot: distinct_rooms(rooms) for slot, rooms in matched.items()}
        return matched

    def _place(self, slot: Slot, room_id: RoomId, chosen: Filter) -> tuple[Record, Levels]:
        return Record(slot, pack_room(room_id), chosen.min_value, chosen.max_value), _levels(chosen)

    def _number(self, room_id: RoomId) -> Number:
        try:
            number = Number(int(room_id.removeprefix(self.prefix), 16))
        except ValueError:
            raise UnknownRoomId(room_id) from None
        if self._id(number) != room_id:
            raise UnknownRoomId(room_id)
        return number

    def _id(self, number: Number) -> RoomId:
        return RoomId(f"{self.prefix}{number:016x}")


class RoomsIndex:
    """All channels' rooms. Adding what is there and removing what is not change nothing."""

    def __init__(self) -> None:
        self._channels = {channel: ChannelIndex(channel) for channel in Channel}

    def __len__(self) -> int:
        return sum(map(len, self._channels.values()))

    def channel(self, channel: Channel) -> ChannelIndex:
        return self._channels[channel]

    def add(self, slot: Slot, room: Room) -> None:
        """Raises `UnknownRoomId` for an id that `common.rooms` would not make."""
        self._channels[room.channel].add(slot, room)

    def remove(self, slot: Slot, room_id: RoomId) -> None:
        for channel in self._channels.values():
            if room_id.startswith(channel.prefix):
                channel.remove(slot, room_id)

    def rooms_of(self, slot: Slot) -> set[RoomId]:
        return {room for channel in self._channels.values() for room in channel.rooms_of(slot)}

    def forget(self, slot: Slot) -> None:
        """The slot wants nothing any more."""
        for channel in self._channels.values():
            channel.forget(slot)

    def match(self, update: Update) -> Mapping[Slot, PackedRooms]:
        """Slots and the rooms in them that the update matches, each once; empty where it matches none."""
        return self._channels[update.channel].match(update)


def _levels(chosen: Filter) -> Levels:
    """The values of each attribute that the filter gives, those first that select the fewest rooms."""
    user = (chosen.user_id,) if chosen.user_id is not None else ()
    given = ("t", chosen.token_ids), ("p", chosen.protocol_ids), ("u", user), ("c", chosen.chains)
    return [[letter + value for value in values] for letter, values in given if values]


def _values(update: Update) -> list[str]:
    """What paths the update looks along."""
    values: list[str] = []
    if update.token_id is not None:
        values.append("t" + update.token_id)
    if update.protocol_id is not None:
        values.append("p" + update.protocol_id)
    if update.user_id is not None:
        values.append("u" + update.user_id)
    for chain in update.chains:
        values.append("c" + chain)  # noqa: PERF401 - one chain is usual, for which a comprehension costs more
    return values


def _is_wide(levels: Levels) -> bool:
    """Whether the room would take much more as paths (30 bytes each) than in bitmaps."""
    return prod(map(len, levels)) > 2 * sum(map(len, levels)) + 16
