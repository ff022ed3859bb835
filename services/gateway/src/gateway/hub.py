"""Who is in which room here, and what each delivery brings to whom: one frame, built once, for every connection that may have it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
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
from gateway.catch_ups import CatchUp
from gateway.catching import CatchingUp
from gateway.fan_out import FanOut, HubRoom
from gateway.members import Member
from gateway.outbox import Entity
from gateway.positions import Positions, Source
from gateway.protocol import replies
from gateway.protocol.frames import text_frame
from gateway.recent import Recent

FRAMES_A_PART = 5000
"""Of a delivery, between two chances for other work: 5 ms where each member has frames of its own, as in a replay."""

PART_BYTES = 64 * 1024
"""Written at a time of what is at hand."""


@dataclass(slots=True)
class Counts:
    """Totals since the start, for `/v2/stats` and `/metrics`."""

    updates: int = 0
    frames: int = 0
    repeats: int = 0
    fenced: int = 0
    lost: int = 0
    """Rooms that were told that updates were deleted before they were sent."""


class Hub:
    """`clock` gives monotonic seconds."""

    def __init__(
        self,
        activation: Activation,
        catching_up: CatchingUp,
        positions: Positions,
        recent: Recent,
        *,
        clock: Callable[[], float],
    ) -> None:
        self.activation = activation
        self.catching_up = catching_up
        self.positions = positions
        self.counts = Counts()
        self._recent = recent
        self._clock = clock
        self._rooms: dict[RoomId, HubRoom] = {}
        self._users: dict[str, set[Member]] = {}
        self._everyone: dict[Member, None] = {}
        self.fan_out = FanOut()

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
        now = self._clock()
        frames = self.catching_up.at_hand(catch_up, now=now)
        if frames is None:
            self.catching_up.begin(catch_up, now=now)
        else:
            self.activation.hold(catch_up.room, now=now)
            self._give(catch_up, frames)

    def _give(self, catch_up: CatchUp, frames: Sequence[bytes]) -> None:
        member, room = catch_up.member, catch_up.room
        self._enter(member, room)
        member.catching_up += 1
        catch_up.listener.begun()
        for part in _parts(frames):
            # What a slow connection does not take at once is to wait as frames that it shares with others.
            member.flush({})
            if not self._is_in(member, room):
                break
            self.counts.frames += len(part) * self.fan_out.to_members((member,), *part)
        if self._is_in(member, room):
            catch_up.listener.caught_up(len(frames), snapshot=False)
        member.catching_up -= 1

    def _enter(self, member: Member, room: Room) -> None:
        here = self._rooms.get(room.id)
        if here is None:
            here = self._rooms[room.id] = HubRoom(room)
        if member in here.members or self.catching_up.has(member, room):
            # Subscribed once more: it held the room already.
            self.activation.leave(room)
            return
        self.fan_out.spill()
        here.add(member)

    def _is_in(self, member: Member, room: Room) -> bool:
        """Whether it still is a member: what it was told, or could not take, may have ended it."""
        here = self._rooms.get(room.id)
        return here is not None and member in here.members

    def leave(self, member: Member, room: Room) -> None:
        here = self._rooms.get(room.id)
        if here is None or member not in here.members:
            self.catching_up.leave(member, room)
            return
        self.fan_out.spill()
        here.remove(member)
        if not here.members:
            del self._rooms[room.id]
        self.activation.leave(room)

    def clear(self) -> None:
        self.fan_out.spill()
        for here in self._rooms.values():
            for member in tuple(here.members):
                here.remove(member)
        self._rooms.clear()
        self._users.clear()
        self._everyone.clear()
        self.activation.clear()
        self.catching_up.clear()
        self.positions.clear()

    # Fan-out --------------------------------------------------------------------------------------------------------

    def deliver(self, delivery: Delivery) -> None:
        """Append what a delivery brings to the connections concerned; `flush` sends it."""
        for _ in self.delivering(delivery):
            pass

    def delivering(self, delivery: Delivery) -> Iterator[None]:
        """The same in parts of some milliseconds; between them other work may be done, but no other delivery."""
        for segment in delivery.segments:
            yield from self._deliver_segment(segment)

    def flush(self) -> None:
        """Write the frames of this tick, to each connection in one go."""
        self.fan_out.flush()

    def flushing(self, most: int) -> Iterator[None]:
        """The same in parts, to at most so many connections each; between them other work may be done."""
        while self.fan_out.flush(most):
            yield

    def _deliver_segment(self, segment: Segment) -> Iterator[None]:
        channel, partition = segment.channel, segment.partition
        before = self.positions.epoch(channel)
        source = self.positions.accept(channel, partition, segment.generation, segment.stream)
        if source is None:
            self.counts.fenced += len(segment.items)
            return
        if before and segment.stream != before:
            # What the topic before had, and nobody had routed, is gone.
            self._tell_all_lost(channel, {})
        part = self.counts.frames
        for item in segment.items:
            if self.counts.frames - part > FRAMES_A_PART:
                part = self.counts.frames
                yield
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
        self.catching_up.settle(channel, self._enter, now=self._clock())

    def _activate(self, item: Activated | Began | TookOver, channel: str, partition: int, source: Source) -> None:
        now = self._clock()
        match item:
            case Activated(room=room, offset=offset, request=request):
                self.positions.advance(channel, source, offset - 1)
                self.activation.activated(RoomId(room), partition, request)
                self.catching_up.activated(request, partition, offset, now=now)
            case Began(room=room):
                here = self._rooms.get(RoomId(room))
                if self.activation.began(item, partition, now=now) and here is not None:
                    self._tell_lost(here.room, here.members, {partition: item.oldest})
                self.catching_up.began(item, partition, now=now)
            case TookOver(offset=offset, lost=lost):
                source.progress = offset - 1
                if lost:
                    self._tell_all_lost(channel, {partition: offset})
                self.activation.took_over(channel, partition, item, now=now)
                self.catching_up.took_over(channel, partition)

    def _route(self, update: Routed, channel: str, partition: int, source: Source, *, fresh: bool) -> None:
        if fresh:
            self.counts.updates += 1
        else:
            self.counts.repeats += 1
        frame: bytes | None = None
        if not fresh or update.user is not None or source.recovering or self.catching_up.rooms:
            frame = self._frame(update, channel, partition)
            if members := self._chosen(update, partition, source, frame, fresh=fresh):
                self._send_each(members, frame)
        elif rooms := self._found(update.rooms):
            frame = self._frame(update, channel, partition)
            self.counts.frames += self.fan_out.to_rooms(rooms, frame)
        if self._recent.rooms:
            frame = frame or text_frame(update.body)
            self._recent.routed(update.rooms, partition, update.offset, update.user, frame)

    def _found(self, room_ids: Sequence[str]) -> Sequence[HubRoom]:
        if len(room_ids) == 1:
            # A comprehension costs 150 ns: many small rooms are paid by the update, not by the frame.
            here = self._rooms.get(RoomId(room_ids[0]))
            return () if here is None else (here,)
        return [here for room_id in room_ids if (here := self._rooms.get(RoomId(room_id))) is not None]

    def _frame(self, update: Routed, channel: str, partition: int) -> bytes:
        frame = text_frame(update.body)
        if update.key is not None and channel in STATE_CHANNELS:
            self.fan_out.may_be_spared(frame, Entity(channel, partition, update.key, update.offset))
        return frame

    def _chosen(
        self, update: Routed, partition: int, source: Source, frame: bytes, *, fresh: bool
    ) -> Collection[Member]:
        """Who may have it where not everybody may: private updates, repeats, rooms that recover, connections that catch up."""
        found: dict[Member, None] = {}
        for room_id in map(RoomId, update.rooms):
            if source.recovering and self.activation.is_recovering(room_id, partition):
                continue
            if fresh and (here := self._rooms.get(room_id)) is not None:
                found.update(dict.fromkeys(self._permitted(here, update.user)))
            if room_id in self.catching_up.rooms:
                found.update(dict.fromkeys(self.catching_up.live(room_id, partition, update, frame)))
        return found

    def _permitted(self, here: HubRoom, user: str | None) -> Iterable[Member]:
        if user is None or here.room.filter.user_id == user:
            return here.members
        return (member for member in self._users.get(user, ()) if member in here.members)

    def _replay(self, item: Replayed, partition: int) -> None:
        frame = text_frame(item.body)
        found = self.catching_up.replayed(item, partition, frame, now=self._clock())
        for room_id, request in item.answers:
            recovered = self.activation.recovered(RoomId(room_id), partition, request, item.offset)
            if recovered and (here := self._rooms.get(RoomId(room_id))) is not None:
                found.update(dict.fromkeys(self._permitted(here, item.user)))
        if found:
            self._send_each(found, frame)

    def _send_each(self, members: Collection[Member], frame: bytes) -> None:
        self.counts.frames += self.fan_out.to_members(members, frame)

    def _tell_lost(self, room: Room, members: Collection[Member], begins: Mapping[int, int]) -> None:
        """Something was deleted before the members of a room could be sent it: partitions go on from `begins`."""
        self.counts.lost += 1
        goes_on = self.positions.later_cursor(room.channel.value, begins)
        self._send_each(members, text_frame(replies.updates_lost(room, oldest=goes_on)))

    def _tell_all_lost(self, channel: str, begins: Mapping[int, int]) -> None:
        for here in self._in_channel(channel):
            self._tell_lost(here.room, here.members, begins)
        for room, members in self.catching_up.by_room(channel):
            self._tell_lost(room, members, begins)

    def _broadcast(self, message: OperatorMessage) -> None:
        self._send_each(
            self._everyone if message.channel is None else self._subscribers(message.channel), text_frame(message.body)
        )

    def _subscribers(self, channel: str) -> Collection[Member]:
        found = dict.fromkeys(self.catching_up.members(channel))
        for here in self._in_channel(channel):
            found.update(here.members)
        return found

    def _in_channel(self, channel: str) -> list[HubRoom]:
        return [here for here in self._rooms.values() if here.room.channel.value == channel]

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


def _parts(frames: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Of some `PART_BYTES` each."""
    begin, size = 0, 0
    for end, frame in enumerate(frames, 1):
        size += len(frame)
        if size >= PART_BYTES or end == len(frames):
            yield frames[begin:end]
            begin, size = end, 0
