"""Recent: what a room was sent of late, for those who ask for the same a little later (docs/adr/0023). Pure.

It begins with what was replayed for the first who asked, and goes on with what comes live, so that it has everything of the room after
`since`. It is kept until nobody has asked for a while, or room is needed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from common.identifiers import RoomId
from common.rooms import Room
from gateway.members import Member, may_have

_IDLE_SECONDS = 30.0
_PARTS = 8
"""A room has at most this part of all: a connection is given what it asks for in one go, some milliseconds for 2 MiB."""
_OVERHEAD_BYTES, _PARTITION_BYTES = 150, 100
"""What a frame takes besides its bytes, roughly (the tuple, its offset, its place in the list), and a room for each partition."""


class RecentRoom:
    """All updates of one room after `since` (partition -> offset) in one stream, as frames; after -1, all that was held."""

    __slots__ = ("_frames", "_had", "_oldest", "request", "room", "since", "size", "stream", "used_at")

    def __init__(self, room: Room, stream: str, since: Mapping[int, int]) -> None:
        self.room = room
        self.stream = stream
        self.since = since
        self.request = 0
        """Number of the interest record (`gateway.activation`) under which it goes on live; 0 while it is being replayed."""
        self.size = _PARTITION_BYTES * len(since)
        self.used_at = 0.0
        self._had = dict(since)
        self._oldest: dict[int, int] = {}
        self._frames: list[tuple[int, int, str | None, bytes]] = []

    def begins(self, partition: int, oldest: int) -> None:
        """The first offset that the partition held when it was replayed."""
        self._oldest[partition] = max(oldest, self._oldest.get(partition, 0))

    def reaches(self, partition: int, offset: int) -> bool:
        return self._had.get(partition, -1) >= offset

    def add(self, partition: int, offset: int, user: str | None, frame: bytes) -> int:
        """Take an update unless it is here; returns the bytes that it takes."""
        if offset <= self._had.get(partition, -1):
            return 0
        self._had[partition] = offset
        self._frames.append((partition, offset, user, frame))
        size = len(frame) + _OVERHEAD_BYTES
        self.size += size
        return size

    def covers(self, had: Mapping[int, int]) -> bool:
        """Whether it has all that follows what somebody had."""
        return all(
            offset <= (begin := had.get(partition, -1)) and not 0 <= begin < self._oldest.get(partition, 0) - 1
            for partition, offset in self.since.items()
        )

    def after(self, had: Mapping[int, int], member: Member) -> list[bytes]:
        """The frames that follow what the member had, but for those that are private to others."""
        return [
            frame
            for partition, offset, user, frame in self._frames
            if offset > had.get(partition, -1) and (user is None or may_have(member, user, self.room))
        ]


class Recent:
    """`limit` in bytes, of all rooms together; 0 keeps nothing."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._begun: dict[RecentRoom, None] = {}
        self._live: dict[RoomId, RecentRoom] = {}
        """Those that go on live, the one that was asked for last at the end."""

    @property
    def rooms(self) -> Collection[RoomId]:
        """Those that go on live."""
        return self._live.keys()

    @property
    def size(self) -> int:
        return self._size

    def begin(self, room: Room, stream: str, since: Mapping[int, int]) -> RecentRoom | None:
        """What is replayed after `since` is to be kept; nothing is here yet."""
        if not self._limit:
            return None
        recent = RecentRoom(room, stream, since)
        self._begun[recent] = None
        self._grow(recent.size)
        return recent

    def replayed(self, recent: RecentRoom, partition: int, offset: int, user: str | None, frame: bytes) -> None:
        """An update of what was begun; nothing happens where it was dropped."""
        if recent in self._begun:
            self._add(recent, partition, offset, user, frame)

    def goes_live(self, recent: RecentRoom, request: int, *, now: float) -> None:
        """All was replayed: from now on `routed` brings what follows."""
        if recent not in self._begun:
            return
        del self._begun[recent]
        if (before := self._live.get(recent.room.id)) is not None:
            self.drop(before)
        recent.request, recent.used_at = request, now
        self._live[recent.room.id] = recent

    def routed(self, rooms: Sequence[str], partition: int, offset: int, user: str | None, frame: bytes) -> None:
        """A live update that matches these rooms."""
        for room_id in rooms:
            recent = self._live.get(RoomId(room_id))
            if recent is not None:
                self._add(recent, partition, offset, user, frame)

    def find(self, room_id: RoomId) -> RecentRoom | None:
        return self._live.get(room_id)

    def used(self, recent: RecentRoom, *, now: float) -> None:
        """Somebody was given it: others may ask as well."""
        recent.used_at = now
        self._live[recent.room.id] = self._live.pop(recent.room.id)

    def drop(self, recent: RecentRoom) -> None:
        if recent in self._begun:
            del self._begun[recent]
        elif self._live.get(recent.room.id) is recent:
            del self._live[recent.room.id]
        else:
            return
        self._size -= recent.size

    def drop_channel(self, channel: str) -> None:
        """Somebody else delivers it from here on."""
        for recent in (*self._begun, *self._live.values()):
            if recent.room.channel.value == channel:
                self.drop(recent)

    def tick(self, now: float) -> None:
        """Drop what nobody has asked for of late."""
        while self._live and now - (oldest := next(iter(self._live.values()))).used_at >= _IDLE_SECONDS:
            self.drop(oldest)

    def clear(self) -> None:
        self._begun.clear()
        self._live.clear()
        self._size = 0

    def _add(self, recent: RecentRoom, partition: int, offset: int, user: str | None, frame: bytes) -> None:
        self._grow(recent.add(partition, offset, user, frame))
        if recent.size > self._limit // _PARTS:
            self.drop(recent)

    def _grow(self, size: int) -> None:
        """Where it gets too much, what was not asked for longest goes."""
        self._size += size
        while self._size > self._limit:
            self.drop(next(iter(self._live.values()), None) or next(iter(self._begun)))
