"""The subscriptions of one connection, and the subscribes that are not answered yet. Pure.

subscribe ----> pending --- active everywhere ----------------------------> subscribed
                   |  with since or snapshot:
                   +--- first answer --> subscribed, catching up --- end --> subscribed
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from common.cursor import Cursor
from common.errors import ErrorCode
from common.identifiers import RoomId
from common.rooms import Room
from gateway.protocol import replies
from gateway.protocol.commands import CommandId, Subscribe, Unsubscribe, UnsubscribeAll
from gateway.protocol.effects import CancelJoin, CatchUp, Effect, Join, Leave, Send
from gateway.protocol.replies import error


@dataclass(frozen=True, slots=True)
class Pending:
    """A subscribe that was not answered yet."""

    id: CommandId | None
    rooms: tuple[Room, ...]
    since: Cursor | None = None
    past: bool = False
    """Whether it asks for what came before as well."""


class Subscriptions:
    """`cursor(channel)`: how far the gateway has delivered the channel. `joining_cursor(channel)`: where one stands who joins now."""

    __slots__ = ("_catching_up", "_cursor", "_joining_cursor", "_tickets", "pending", "rooms")

    def __init__(self, cursor: Callable[[str], str], joining_cursor: Callable[[str], str]) -> None:
        self.rooms: dict[RoomId, Room] = {}
        self.pending: dict[int, Pending] | None = None
        self._catching_up: dict[RoomId, Pending] | None = None
        self._cursor = cursor
        self._joining_cursor = joining_cursor
        self._tickets = 0

    def wanted(self) -> set[RoomId]:
        """Rooms held or asked for."""
        wanted = {room.id for pending in (self.pending or {}).values() for room in pending.rooms}
        return wanted.union(self.rooms)

    def is_answering(self, command_id: CommandId) -> bool:
        return any(pending.id == command_id for pending in (self.pending or {}).values())

    def cursors(self) -> dict[str, str]:
        """By channel, for heartbeats: none of a channel in which something is still to be replayed."""
        asked = (pending for pending in (self.pending or {}).values() if pending.past)
        behind = {pending.rooms[0].channel for pending in (*asked, *(self._catching_up or {}).values())}
        channels = dict.fromkeys(room.channel for room in self.rooms.values())
        return {channel.value: self._cursor(channel.value) for channel in channels if channel not in behind}

    # Subscribing ----------------------------------------------------------------------------------------------------

    def subscribe(self, command: Subscribe) -> tuple[Effect, ...]:
        if command.since is None and not command.snapshot:
            ticket = self._pend(Pending(command.id, command.rooms))
            return (Join(ticket, command.rooms),)
        wanted = {room.id for room in command.rooms}
        superseded = self._cancel(
            lambda pending: pending.past and pending.rooms[0].id in wanted, "another subscribe took its place"
        )
        return (*superseded, *(self._catch_up(command, room) for room in command.rooms))

    def joined(self, ticket: int) -> tuple[Effect, ...]:
        """Every partition delivers to all rooms of the subscribe: from the cursors told here on, nothing is missed."""
        pending = self._settle(ticket)
        if pending is None:
            return ()
        self.rooms.update((room.id, room) for room in pending.rooms)
        return tuple(
            self._subscribed(pending, room, self._joining_cursor(room.channel.value)) for room in pending.rooms
        )

    def begun(self, ticket: int) -> tuple[Effect, ...]:
        """What was asked for follows; until its end the subscription stands at the cursor that it asked with."""
        pending = self._settle(ticket)
        if pending is None:
            return ()
        room = pending.rooms[0]
        self.rooms[room.id] = room
        self._catching_up = {**(self._catching_up or {}), room.id: pending}
        epoch = self._cursor(room.channel.value).partition(".")[0]
        since = pending.since
        # A cursor of another stream, where last values come instead: it stands nowhere in this one yet.
        stands = since if since is not None and since.epoch == epoch else Cursor(epoch)
        return (self._subscribed(pending, room, str(stands)),)

    def caught_up(self, room_id: RoomId, frames: int, *, snapshot: bool) -> tuple[Effect, ...]:
        pending = self._done_catching_up(room_id)
        if pending is None:
            return ()
        room = pending.rooms[0]
        cursor = self._cursor(room.channel.value)
        expired = snapshot and pending.since is not None
        end = replies.snapshot_end if snapshot or pending.since is None else replies.replay_end
        return (Send(end(pending.id, room, count=frames, cursor=cursor, expired=expired)),)

    def failed(
        self, ticket: int, room_id: RoomId | None, code: ErrorCode, message: str, *, oldest: str | None = None
    ) -> tuple[Effect, ...]:
        """Nothing of the subscribe is in effect, or, while catching up, not any more."""
        pending = self._settle(ticket)
        if pending is None and room_id is not None:
            pending = self._done_catching_up(room_id)
        if room_id is not None:
            # Also where it was held before: it left its room to catch up.
            self._done_catching_up(room_id)
            self.rooms.pop(room_id, None)
        if pending is None:
            return ()
        field = "since" if code in (ErrorCode.CURSOR_EXPIRED, ErrorCode.BAD_REQUEST) else None
        retry_after = 1.0 if code is ErrorCode.UNAVAILABLE else None
        retryable = code is ErrorCode.UNAVAILABLE
        answer = error(
            code,
            message,
            command_id=pending.id,
            field=field,
            retryable=retryable,
            retry_after=retry_after,
            oldest=oldest,
        )
        return (Send(answer, error=code),)

    # Unsubscribing --------------------------------------------------------------------------------------------------

    def unsubscribe(self, command: Unsubscribe) -> tuple[Effect, ...]:
        cancelled = self._cancel(lambda pending: any(room.id == command.room for room in pending.rooms))
        room = self.rooms.pop(RoomId(command.room), None)
        if room is None:
            message = "there is no such subscription"
            refusal = error(ErrorCode.NOT_SUBSCRIBED, message, command_id=command.id, field="room")
            return (*cancelled, Send(refusal, error=ErrorCode.NOT_SUBSCRIBED))
        self._done_catching_up(room.id)
        return (*cancelled, Leave(room), Send(replies.unsubscribed(command.id, room)))

    def unsubscribe_all(self, command: UnsubscribeAll) -> tuple[Effect, ...]:
        cancelled = self._cancel(lambda _pending: True)
        rooms = tuple(self.rooms.values())
        self.rooms.clear()
        self._catching_up = None
        leaves = (Leave(room) for room in rooms)
        return (*cancelled, *leaves, Send(replies.unsubscribed_all(command.id, rooms)))

    def listed(self) -> Iterator[tuple[Room, str]]:
        """Each room with where its subscription stands."""
        for room in self.rooms.values():
            pending = (self._catching_up or {}).get(room.id)
            since = pending.since if pending is not None else None
            yield room, str(since) if since is not None else self._cursor(room.channel.value)

    # Inside ---------------------------------------------------------------------------------------------------------

    def _pend(self, pending: Pending) -> int:
        self._tickets += 1
        self.pending = {**(self.pending or {}), self._tickets: pending}
        return self._tickets

    def _settle(self, ticket: int) -> Pending | None:
        pending = self.pending.pop(ticket, None) if self.pending else None
        if not self.pending:
            self.pending = None
        return pending

    def _done_catching_up(self, room_id: RoomId) -> Pending | None:
        pending = self._catching_up.pop(room_id, None) if self._catching_up else None
        if not self._catching_up:
            self._catching_up = None
        return pending

    def _catch_up(self, command: Subscribe, room: Room) -> CatchUp:
        pending = Pending(command.id, (room,), command.since, past=True)
        return CatchUp(self._pend(pending), room, command.since, command.snapshot)

    def _cancel(
        self, concerns: Callable[[Pending], bool], text: str = "unsubscribed before it took effect"
    ) -> tuple[Effect, ...]:
        """End pending subscribes: they are answered before what ended them."""
        effects: list[Effect] = []
        for ticket, pending in list((self.pending or {}).items()):
            if concerns(pending):
                self._settle(ticket)
                code = ErrorCode.NOT_SUBSCRIBED
                effects += (CancelJoin(ticket), Send(error(code, text, command_id=pending.id), error=code))
        return tuple(effects)

    def _subscribed(self, pending: Pending, room: Room, cursor: str) -> Send:
        return Send(replies.subscribed(pending.id, room, cursor=cursor))
