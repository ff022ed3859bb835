"""A connection's subscribes between its session and the hub: asked of the hub, waited for, and what came of them told."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from common import metrics
from common.cursor import Cursor
from common.errors import ErrorCode
from common.rooms import Room
from gateway.activation import Waiting
from gateway.catch_ups import CatchUp as CatchingConnection
from gateway.protocol.effects import CatchUp, Effect, Join
from gateway.protocol.session import State

if TYPE_CHECKING:
    from gateway.websocket import WebSocket

Asked = dict[int, Waiting | Room]
"""By ticket, what the hub was asked for and has not answered: a room is one to catch up with."""


def join(connection: WebSocket, effect: Join) -> None:
    """Take the rooms, all or none."""
    done = partial(_joined, connection, effect, connection.owner.now())
    failed = partial(_join_failed, connection, effect.ticket)
    waiting = connection.owner.hub.join(connection, effect.rooms, done=done, failed=failed)
    if effect.ticket in (connection.session.subscriptions.pending or ()):
        connection.asked = {**(connection.asked or {}), effect.ticket: waiting}


def catch_up(connection: WebSocket, effect: CatchUp) -> None:
    """Take the room, and what came before."""
    connection.asked = {**(connection.asked or {}), effect.ticket: effect.room}
    had = dict(effect.since.offsets) if effect.since is not None else {}
    listener = Replaying(connection, effect.ticket, effect.room)
    connection.owner.hub.catch_up(
        CatchingConnection(connection, effect.room, effect.since, effect.snapshot, listener, had)
    )


def cancel(connection: WebSocket, ticket: int) -> None:
    """The subscribe is not wanted any more."""
    waiting = _answered(connection, ticket)
    if waiting is not None:
        _give_up(connection, waiting)


def cancel_all(connection: WebSocket) -> None:
    for waiting in (connection.asked or {}).values():
        _give_up(connection, waiting)
    connection.asked = None


class Replaying:
    """`gateway.catch_ups.Listener` of one subscribe."""

    __slots__ = ("_connection", "_room", "_ticket")

    def __init__(self, connection: WebSocket, ticket: int, room: Room) -> None:
        self._connection = connection
        self._ticket = ticket
        self._room = room

    def begun(self) -> None:
        fresh = _unheld(self._connection, (self._room,))
        self._tell(self._connection.session.subscriptions.begun(self._ticket))
        self._connection.owner.subscribed(self._connection.session, fresh)

    def caught_up(self, frames: int, *, snapshot: bool) -> None:
        subscriptions = self._connection.session.subscriptions
        self._connection.carry_out(subscriptions.caught_up(self._room.id, frames, snapshot=snapshot))

    def expired(self, message: str, oldest: Cursor) -> None:
        self._fail(ErrorCode.CURSOR_EXPIRED, message, oldest=str(oldest))

    def refused(self, message: str) -> None:
        self._fail(ErrorCode.BAD_REQUEST, message)

    def failed(self, message: str) -> None:
        self._fail(ErrorCode.UNAVAILABLE, message)

    def _fail(self, code: ErrorCode, message: str, *, oldest: str | None = None) -> None:
        """The hub has let the room go already."""
        session, room = self._connection.session, self._room
        held = room.id in session.rooms
        self._tell(session.subscriptions.failed(self._ticket, room.id, code, message, oldest=oldest))
        if held:
            self._connection.owner.unsubscribed(session, room)

    def _tell(self, effects: Iterable[Effect]) -> None:
        _answered(self._connection, self._ticket)
        _tell(self._connection, effects)


def _joined(connection: WebSocket, effect: Join, asked_at: float) -> None:
    _answered(connection, effect.ticket)
    metrics.gateway_activation_seconds.observe(connection.owner.now() - asked_at)
    fresh = _unheld(connection, effect.rooms)
    _tell(connection, connection.session.subscriptions.joined(effect.ticket))
    connection.owner.subscribed(connection.session, fresh)


def _join_failed(connection: WebSocket, ticket: int, message: str) -> None:
    _answered(connection, ticket)
    _tell(connection, connection.session.subscriptions.failed(ticket, None, ErrorCode.UNAVAILABLE, message))


def _unheld(connection: WebSocket, rooms: Iterable[Room]) -> list[Room]:
    return [room for room in rooms if room.id not in connection.session.rooms]


def _answered(connection: WebSocket, ticket: int) -> Waiting | Room | None:
    waiting = connection.asked.pop(ticket, None) if connection.asked else None
    if not connection.asked:
        connection.asked = None
    return waiting


def _tell(connection: WebSocket, effects: Iterable[Effect]) -> None:
    """A connection that is being closed is told no more."""
    if connection.session.state is State.READY:
        connection.carry_out(effects)


def _give_up(connection: WebSocket, waiting: Waiting | Room) -> None:
    hub = connection.owner.hub
    if isinstance(waiting, Room):
        hub.leave(connection, waiting)
    else:
        hub.activation.cancel(waiting)
