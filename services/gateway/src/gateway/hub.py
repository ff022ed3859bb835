"""Who is in which room here, and fan-out: one frame, built once, to every connection that may have it. Pure.

The loops over members are the product's hottest: `benchmarks/` has their figures.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from common.channels import STATE_CHANNELS
from common.deliveries import (
    Activated,
    Began,
    Delivery,
    OperatorMessage,
    Progress,
    Replayed,
    Routed,
    Segment,
    TookOver,
)
from common.identifiers import RoomId
from common.rooms import Room
from gateway.activation import Activation, Waiting
from gateway.catching import CatchingUp, CatchUp
from gateway.members import Member
from gateway.outbox import Entity
from gateway.positions import Positions, Source
from gateway.protocol.frames import text_frame


@dataclass(slots=True)
class Counts:
    """Totals since the start, for `/v2/stats` and `/metrics`."""

    updates: int = 0
    frames: int = 0
    repeats: int = 0
    fenced: int = 0


class HubRoom:
    __slots__ = ("members", "room")

    def __init__(self, room: Room) -> None:
        self.room = room
        self.members: dict[Member, None] = {}


class Hub:
    """`clock` gives monotonic seconds."""

    def __init__(
        self, activation: Activation, catching_up: CatchingUp, positions: Positions, *, clock: Callable[[], float]
    ) -> None:
        self.activation = activation
        self.catching_up = catching_up
        self.positions = positions
        self.counts = Counts()
        self._clock = clock
        self._rooms: dict[RoomId, HubRoom] = {}
        self._users: dict[str, set[Member]] = {}
        self._everyone: dict[Member, None] = {}
        self._touched: list[Member] = []
        self._entities: dict[int, Entity] = {}
        """Of this tick's frames, by `id()`: what a slow connection may be spared."""
        self._kept: list[bytes] = []
        """Those frames: a reply in between may write them all, and another one must not get the `id()` of one that is gone."""

    # Membership -----------------------------------------------------------------------------------------------------

    def register(self, member: Member) -> None:
        """An authenticated connection: it gets what is for everyone, and what is private to its user."""
        self._everyone[member] = None
        if member.user is not None:
            self._users.setdefault(member.user, set()).add(member)

    def unregister(self, member: Member, rooms: Iterable[Room]) -> None:
        for room in rooms:
            self.leave(member, room)
        self._everyone.pop(member, None)
        if member.user is not None and (same := self._users.get(member.user)) is not None:
            same.discard(member)
            if not same:
                del self._users[member.user]

    def join(
        self, member: Member, rooms: tuple[Room, ...], *, done: Callable[[], None], failed: Callable[[str], None]
    ) -> Waiting:
        """Make `member` part of all rooms once every partition delivers to them, then call `done`; or to none, then call `failed`."""

        def active() -> None:
            for room in rooms:
                self._enter(member, room)
            done()

        now = self._clock()
        waiting = Waiting(rooms, now, active, failed)
        self.activation.join(waiting, now=now)
        return waiting

    def catch_up(self, catch_up: CatchUp) -> None:
        """Give a connection what it missed of a room, then make it a member; it is none meanwhile, also if it was one."""
        self.leave(catch_up.member, catch_up.room)
        self.catching_up.begin(catch_up, now=self._clock())

    def _enter(self, member: Member, room: Room) -> None:
        here = self._rooms.get(room.id)
        if here is None:
            here = self._rooms[room.id] = HubRoom(room)
        if member in here.members or self.catching_up.has(member, room):
            # Subscribed once more: it held the room already.
            self.activation.leave(room)
            return
        here.members[member] = None

    def leave(self, member: Member, room: Room) -> None:
        here = self._rooms.get(room.id)
        if here is None or member not in here.members:
            self.catching_up.leave(member, room)
            return
        del here.members[member]
        if not here.members:
            del self._rooms[room.id]
        self.activation.leave(room)

    def clear(self) -> None:
        self._rooms.clear()
        self._users.clear()
        self._everyone.clear()
        self.activation.clear()
        self.catching_up.clear()
        self.positions.clear()

    # Fan-out --------------------------------------------------------------------------------------------------------

    def deliver(self, delivery: Delivery) -> None:
        """Append what a delivery brings to the connections concerned; `flush` sends it."""
        for segment in delivery.segments:
            self._deliver_segment(segment)

    def flush(self) -> None:
        """Write each touched connection's frames of this tick in one go."""
        touched, self._touched = self._touched, []
        for member in touched:
            member.flush(self._entities)
        self._entities.clear()
        self._kept.clear()

    def _deliver_segment(self, segment: Segment) -> None:
        channel, partition = segment.channel, segment.partition
        source = self.positions.accept(channel, partition, segment.generation, segment.stream)
        if source is None:
            self.counts.fenced += len(segment.items)
            return
        for item in segment.items:
            match item:
                case Routed(offset=offset):
                    fresh = self.positions.advance(channel, source, offset)
                    self._route(item, channel, partition, source, fresh=fresh)
                case Progress(offset=offset):
                    self.positions.advance(channel, source, offset)
                case OperatorMessage(offset=offset):
                    if self.positions.advance(channel, source, offset):
                        self._broadcast(item)
                case Replayed():
                    self._replay(item, partition)
                case _:
                    self._activate(item, channel, partition, source)
        self.catching_up.settle(channel, self._enter)

    def _activate(self, item: Activated | Began | TookOver, channel: str, partition: int, source: Source) -> None:
        now = self._clock()
        match item:
            case Activated(room=room, offset=offset, request=request):
                self.positions.advance(channel, source, offset - 1)
                self.activation.activated(RoomId(room), partition, request)
                self.catching_up.activated(request, partition, offset, now=now)
            case Began():
                self.catching_up.began(item, partition, now=now)
            case TookOver(offset=offset):
                source.progress = offset - 1
                self.activation.took_over(channel, partition, item, now=now)
                self.catching_up.took_over(channel, partition)

    def _route(self, update: Routed, channel: str, partition: int, source: Source, *, fresh: bool) -> None:
        if fresh:
            self.counts.updates += 1
        else:
            self.counts.repeats += 1
        plain = fresh and update.user is None and not source.recovering and not self.catching_up.rooms
        members = self._audience(update.rooms) if plain else self._chosen(update, partition, source, fresh=fresh)
        if not members:
            return
        frame = text_frame(update.body)
        if update.key is not None and channel in STATE_CHANNELS:
            self._entities[id(frame)] = Entity(channel, partition, update.key, update.offset)
            self._kept.append(frame)
        self._send(members, frame)

    def _audience(self, room_ids: Sequence[str]) -> Collection[Member]:
        """Everybody in the rooms."""
        rooms = self._rooms
        if len(room_ids) == 1:
            here = rooms.get(RoomId(room_ids[0]))
            return here.members if here is not None else ()
        found: dict[Member, None] = {}
        for room_id in room_ids:
            if (here := rooms.get(RoomId(room_id))) is not None:
                found.update(here.members)
        return found

    def _chosen(self, update: Routed, partition: int, source: Source, *, fresh: bool) -> Collection[Member]:
        """The same where not everybody may have it: private updates, repeats, rooms that recover, connections that catch up."""
        found: dict[Member, None] = {}
        for room_id in map(RoomId, update.rooms):
            if source.recovering and self.activation.is_recovering(room_id, partition):
                continue
            if fresh and (here := self._rooms.get(room_id)) is not None:
                found.update(dict.fromkeys(self._permitted(here, update.user)))
            if room_id in self.catching_up.rooms:
                found.update(dict.fromkeys(self.catching_up.live(room_id, partition, update.offset, update.user)))
        return found

    def _permitted(self, here: HubRoom, user: str | None) -> Iterable[Member]:
        if user is None or here.room.filter.user_id == user:
            return here.members
        return (member for member in self._users.get(user, ()) if member in here.members)

    def _replay(self, item: Replayed, partition: int) -> None:
        found = dict.fromkeys(self.catching_up.replayed(item, partition, now=self._clock()))
        for room_id, request in item.answers:
            recovered = self.activation.recovered(RoomId(room_id), partition, request, item.offset)
            if recovered and (here := self._rooms.get(RoomId(room_id))) is not None:
                found.update(dict.fromkeys(self._permitted(here, item.user)))
        if found:
            self._send(found, text_frame(item.body))

    def _send(self, members: Collection[Member], frame: bytes) -> None:
        touched = self._touched
        for member in members:
            frames = member.frames
            if not frames:
                touched.append(member)
            frames.append(frame)
        self.counts.frames += len(members)

    def _broadcast(self, message: OperatorMessage) -> None:
        self._send(
            self._everyone if message.channel is None else self._subscribers(message.channel), text_frame(message.body)
        )

    def _subscribers(self, channel: str) -> Collection[Member]:
        found = dict.fromkeys(self.catching_up.members(channel))
        for here in self._rooms.values():
            if here.room.channel.value == channel:
                found.update(here.members)
        return found

    # Figures --------------------------------------------------------------------------------------------------------

    def subscriptions(self) -> dict[str, int]:
        """Subscriptions by channel."""
        counts: dict[str, int] = {}
        for here in self._rooms.values():
            channel = here.room.channel.value
            counts[channel] = counts.get(channel, 0) + len(here.members)
        return counts

    @property
    def rooms(self) -> int:
        return len(self._rooms)

    @property
    def members(self) -> Collection[Member]:
        return self._everyone
