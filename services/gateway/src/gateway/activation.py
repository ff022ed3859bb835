"""Rooms becoming active, partition by partition, and the subscribes that wait for them (docs/adr/0008). Pure.

wanted --- interest record ---> asked --- activated(p) of every partition ---> active
                                 |  no answer within `retry`: asked again (idempotent)
                                 +-- none within `timeout`: the waiting subscribes fail; a room that nobody else holds is given up
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from common.deliveries import Began, TookOver, Verdict
from common.identifiers import RoomId
from common.rooms import Room


class Interest(Protocol):
    """Writes what this slot wants to `rooms.interest`, in the order of the calls."""

    def want(
        self,
        room: Room,
        request: int,
        *,
        since: Mapping[int, int] | None = None,
        stream: str | None = None,
        snapshot: bool = False,
    ) -> None:
        """The slot wants the room; with `since` or `snapshot` also what came before (`common.events.Interest`)."""
        ...

    def unwant(self, room: Room) -> None: ...


@dataclass(slots=True, eq=False)
class Waiting:
    """A subscribe that waits until all its rooms are active."""

    rooms: tuple[Room, ...]
    since: float
    done: Callable[[], None]
    failed: Callable[[str], None]


@dataclass(slots=True)
class RoomState:
    room: Room
    request: int = 0
    """Number of the latest interest record; activations that echo another are not ours. Asking again for want of an answer keeps it."""
    asked_at: float = 0.0
    written: tuple[int, int] | None = None
    """Partition and offset of the interest record, known once the broker acknowledged it."""
    active: set[int] = field(default_factory=set)
    recovering: dict[int, int] = field(default_factory=dict)
    """Partition -> offset up to which the members have everything, while a new owner is asked again."""
    waiting: dict[Waiting, None] = field(default_factory=dict)
    holders: int = 0
    """Connections in the room, and subscribes that wait for it."""


class Activation:
    """`partitions(channel)`: how many partitions the channel's topic has. `recovering(channel, partition, change)` is told of each room
    that begins (1) or ends (-1) to recover. `position(channel, partition)`: highest offset delivered here. `retry` and `timeout`: seconds.
    """

    def __init__(
        self,
        interest: Interest,
        *,
        partitions: Callable[[str], int],
        recovering: Callable[[str, int, int], None],
        position: Callable[[str, int], int],
        stream: Callable[[str], str],
        retry: float,
        timeout: float,
    ) -> None:
        self._interest = interest
        self._recovering = recovering
        self._position = position
        self._stream = stream
        self._partitions = partitions
        self._retry = retry
        self._timeout = timeout
        self._requests = 0
        self._rooms: dict[RoomId, RoomState] = {}
        self._unsettled: dict[RoomId, RoomState] = {}

    def __len__(self) -> int:
        return len(self._rooms)

    def wanted(self) -> set[RoomId]:
        """The rooms that somebody here holds or waits for."""
        return set(self._rooms)

    def restate(self, room_id: RoomId, *, now: float) -> None:
        """Write the interest in a room once more, under the same number: where it is known already, that changes nothing."""
        state = self._rooms.get(room_id)
        if state is not None and room_id not in self._unsettled:
            self._write(state, now)

    def join(self, waiting: Waiting, *, now: float) -> None:
        """Hold the rooms of a subscribe; `done` is called as soon as all are active, at once if they are."""
        for room in waiting.rooms:
            self.hold(room, now=now).waiting[waiting] = None
        self._finish_if_active(waiting)

    def hold(self, room: Room, *, now: float) -> RoomState:
        """One holder more; the first one writes the interest."""
        state = self._rooms.get(room.id)
        if state is None:
            state = self._rooms[room.id] = RoomState(room)
            self._ask(state, now)
        state.holders += 1
        return state

    def next_request(self) -> int:
        """A number for a record that asks for a replay or a snapshot."""
        self._requests += 1
        return self._requests

    def request(self, room_id: RoomId) -> int | None:
        """Number of the room's latest record: the same as long as it is held without a break, and nothing of it had to be recovered."""
        state = self._rooms.get(room_id)
        return state.request if state is not None else None

    def is_live(self, room_id: RoomId, partition: int) -> bool:
        """Whether updates of the partition reach the room, with nothing missing before them."""
        state = self._rooms.get(room_id)
        return state is not None and partition in state.active and partition not in state.recovering

    def recovered(self, room_id: RoomId, partition: int, request: int, offset: int) -> bool:
        """Whether a replayed update is one that the members of a recovering room have missed; they have it now."""
        state = self._rooms.get(room_id)
        if state is None or state.request != request or offset <= state.recovering.get(partition, offset):
            return False
        state.recovering[partition] = offset
        return True

    def began(self, item: Began, partition: int, *, now: float) -> bool:
        """The answer to a recovery begins. True when something of what the room's members missed is held no longer, and so lost.

        What is still held of it is asked for then, under a new number: no members are to miss that as well.
        """
        state = self._rooms.get(RoomId(item.room))
        if state is None or state.request != item.request or partition not in state.recovering:
            return False
        if item.verdict == Verdict.EXPIRED:
            state.recovering[partition] = item.oldest - 1
            self._ask(state, now)
        return item.verdict in (Verdict.EXPIRED, Verdict.FUTURE)

    def is_recovering(self, room_id: RoomId, partition: int) -> bool:
        state = self._rooms.get(room_id)
        return state is not None and partition in state.recovering

    def cancel(self, waiting: Waiting) -> None:
        """The subscribe is not wanted any more; its `done` and `failed` will not be called."""
        for room in waiting.rooms:
            state = self._rooms.get(room.id)
            if state is not None and waiting in state.waiting:
                del state.waiting[waiting]
                self.leave(room)

    def leave(self, room: Room) -> None:
        """One holder less; the last one takes the interest back."""
        state = self._rooms.get(room.id)
        if state is None:
            return
        state.holders -= 1
        if state.holders <= 0:
            del self._rooms[room.id]
            self._unsettled.pop(room.id, None)
            for partition in state.recovering:
                self._recovering(room.channel.value, partition, -1)
            self._interest.unwant(room)

    def written(self, room_id: RoomId, request: int, partition: int, offset: int) -> None:
        """The broker acknowledged an interest record."""
        state = self._rooms.get(room_id)
        if state is not None and state.request == request:
            state.written = (partition, offset)

    def activated(self, room_id: RoomId, partition: int, request: int) -> None:
        """A partition delivers to the room."""
        state = self._rooms.get(room_id)
        if state is None or request != state.request:
            return
        if state.recovering.pop(partition, None) is not None:
            self._recovering(state.room.channel.value, partition, -1)
        state.active.add(partition)
        if self._is_active(state):
            self._unsettled.pop(room_id, None)
            for waiting in list(state.waiting):
                # One that is done may end its connection, and with it what else that waits for.
                if waiting in state.waiting:
                    self._finish_if_active(waiting)

    def took_over(self, channel: str, partition: int, record: TookOver, *, now: float) -> None:
        """A new owner: rooms whose interest it has not read are asked for again."""
        for state in self._rooms.values():
            if state.room.channel.value != channel or partition not in state.active or _has_read(record, state):
                continue
            if partition not in state.recovering:
                # What is before its start was committed, so it had been delivered: also what no room matched, which may be held no longer.
                state.recovering[partition] = max(self._position(channel, partition), record.offset - 1)
                self._recovering(channel, partition, 1)
            self._ask(state, now)

    def tick(self, now: float) -> None:
        """Ask again for what was not answered within `retry`; fail the subscribes that waited for `timeout`."""
        for state in list(self._unsettled.values()):
            for waiting in [each for each in state.waiting if now - each.since >= self._timeout]:
                if waiting not in state.waiting:
                    continue
                self.cancel(waiting)
                waiting.failed("the update stream did not answer in time; try again")
            if state.room.id in self._unsettled and now - state.asked_at >= self._retry:
                self._write(state, now)

    def clear(self) -> Iterable[Room]:
        """Forget everything; returns the rooms that were wanted. For a slot that was lost or given up."""
        rooms = [state.room for state in self._rooms.values()]
        self._rooms.clear()
        self._unsettled.clear()
        return rooms

    def _ask(self, state: RoomState, now: float) -> None:
        state.request = self.next_request()
        self._unsettled[state.room.id] = state
        self._write(state, now)

    def _write(self, state: RoomState, now: float) -> None:
        state.asked_at, state.written = now, None
        room = state.room
        if state.recovering:
            channel = room.channel.value
            # Partitions that are not recovering have nothing to replay: their members stand at the position.
            since = {number: self._position(channel, number) for number in range(self._partitions(channel))}
            self._interest.want(room, state.request, since=since | state.recovering, stream=self._stream(channel))
        else:
            self._interest.want(room, state.request)

    def _is_active(self, state: RoomState) -> bool:
        return len(state.active) >= self._partitions(state.room.channel.value) and not state.recovering

    def _finish_if_active(self, waiting: Waiting) -> None:
        states = [self._rooms[room.id] for room in waiting.rooms]
        if all(map(self._is_active, states)):
            for state in states:
                del state.waiting[waiting]
            waiting.done()


def _has_read(record: TookOver, state: RoomState) -> bool:
    """Whether a new owner knows the room; it cannot be counted on where the broker has not said yet where the record is."""
    if state.written is None:
        return False
    partition, offset = state.written
    return offset < record.interest.get(partition, 0)
