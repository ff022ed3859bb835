"""Frames of one tick on their way to connections, and which members of a room can be served together. Pure.

They go one of two ways. What is for a whole room waits at the room, and is joined once for all of its members that are in no other: an
update costs such a member nothing, a tick one write. What is for some of a room, or for members of several, waits at each of them. Where
something of the second kind is to follow the first, `spill` hands what waits at rooms to their members, so that the order stays.

The loops over members are the product's hottest: `benchmarks/` has their figures.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence

from common.rooms import Room
from gateway.members import NONE_WAIT, Frames, Member
from gateway.outbox import Entity

_ALL = sys.maxsize
"""More connections than there are."""


class HubRoom:
    """`several`: those of its members that are in other rooms as well, or were since they were in none."""

    __slots__ = ("_alone", "frames", "members", "room", "several")

    def __init__(self, room: Room) -> None:
        self.room = room
        self.members: dict[Member, None] = {}
        self.several: set[Member] | None = None
        self.frames: Frames = NONE_WAIT
        """Of this tick, for the members that are in no other room."""
        self._alone: tuple[Member, ...] | None = None

    @property
    def alone(self) -> tuple[Member, ...]:
        """The members that are in no other room."""
        if self._alone is None:
            several = self.several
            self._alone = tuple(member for member in self.members if not several or member not in several)
        return self._alone

    def add(self, member: Member) -> None:
        if member.rooms:
            self.share(member)
            if member.home is not None:
                member.home.share(member)
        member.home = None if member.rooms else self
        member.rooms += 1
        self.members[member] = None
        self._alone = None

    def remove(self, member: Member) -> None:
        member.home = None
        member.rooms -= 1
        del self.members[member]
        if self.several:
            self.several.discard(member)
        self._alone = None

    def share(self, member: Member) -> None:
        """A member goes to another room as well."""
        self.several = self.several or set()
        self.several.add(member)
        self._alone = None


class FanOut:
    def __init__(self) -> None:
        self._busy: list[HubRoom] = []
        """Rooms at which frames wait."""
        self._begun: list[tuple[tuple[Member, ...], bytes, Frames]] = []
        """Of a flush that was begun: who is still to be written to, and what: joined, and frame by frame."""
        self._touched: list[Member] = []
        """Members at which frames wait."""
        self._by_member = False
        """Whether all the rest of this tick goes to members one by one: something that is not for a whole room came before."""
        self._entities: dict[int, Entity] = {}
        self._kept: list[bytes] = []
        """The frames that `_entities` knows: a reply may write them all, and another must not get the `id()` of one that is gone."""

    def to_rooms(self, rooms: Sequence[HubRoom], frame: bytes) -> int:
        """For all members of the rooms, once for each; how many they are."""
        if self._by_member:
            if self._begun:
                self.spill()
            return self._append(dict.fromkeys(member for here in rooms for member in here.members), (frame,))
        count, several = 0, None
        for here in rooms:
            if here.frames:
                here.frames.append(frame)
            else:
                here.frames = [frame]
                self._busy.append(here)
            count += len(here.members)
            if here.several:
                count -= len(here.several)
                several = here.several if several is None else several | here.several
        return count + self._append(several, (frame,)) if several else count

    def to_members(self, members: Collection[Member], *frames: bytes) -> int:
        """For these, after all that waits for their rooms; how many they are."""
        self.spill()
        self._by_member = True
        return self._append(members, frames)

    def may_be_spared(self, frame: bytes, entity: Entity) -> None:
        """A slow connection can do without this frame of the tick when a newer one of the entity follows."""
        self._entities[id(frame)] = entity
        self._kept.append(frame)

    def spill(self) -> None:
        """Hand what waits at rooms to their members: something that is not for all of them may follow."""
        if self._begun:
            begun, self._begun = self._begun, []
            for members, _joined, frames in begun:
                self._append(members, frames)
        if self._busy:
            self._by_member = True
            for members, frames in self._take_busy():
                self._append(members, frames)

    @property
    def waits(self) -> bool:
        """Whether there is something to be written."""
        return bool(self._busy or self._begun or self._touched)

    def flush(self, most: int = _ALL) -> bool:
        """Write what waits, to each connection in one go, but to no more than `most` connections; whether others are left.

        Between two calls replies may be written and rooms change.
        """
        self._begun += [
            (members, frames[0] if len(frames) == 1 else b"".join(frames), frames)
            for members, frames in self._take_busy()
        ]
        entities = self._entities
        while self._begun and most > 0:
            members, joined, frames = self._begun.pop()
            if len(members) > most:
                self._begun.append((members[most:], joined, frames))
                members = members[:most]
            most -= len(members)
            for member in members:
                member.send(joined, frames, entities)
        if not self._begun and len(self._touched) <= most:
            self._flush_touched(_ALL)
            entities.clear()
            self._kept.clear()
            self._by_member = False
            return False
        self._flush_touched(most)
        self._by_member = True
        return True

    def _flush_touched(self, most: int) -> None:
        touched, self._touched = self._touched[:most], self._touched[most:]
        for member in touched:
            member.flush(self._entities)

    def _take_busy(self) -> list[tuple[tuple[Member, ...], Frames]]:
        """What waits at rooms, and for whom; it waits no more. All at once, as writing may change who is in a room."""
        taken = [(here.alone, here.frames) for here in self._busy]
        for here in self._busy:
            here.frames = NONE_WAIT
        self._busy.clear()
        return taken

    def _append(self, members: Collection[Member], added: Sequence[bytes]) -> int:
        touched = self._touched
        for member in members:
            if member.frames:
                member.frames.extend(added)
            else:
                member.frames = list(added)
                touched.append(member)
        return len(members)
