"""What a connection is told while it catches up: hands the hub's words to its session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.cursor import Cursor
from common.errors import ErrorCode
from common.rooms import Room

if TYPE_CHECKING:
    from gateway.websocket import WebSocket


class Replaying:
    """`gateway.catching.Listener` of one subscribe."""

    __slots__ = ("_connection", "_room", "_ticket")

    def __init__(self, connection: WebSocket, ticket: int, room: Room) -> None:
        self._connection = connection
        self._ticket = ticket
        self._room = room

    def begun(self) -> None:
        self._connection.catch_up_begun(self._ticket, self._room)

    def caught_up(self, frames: int, *, snapshot: bool) -> None:
        session = self._connection.session
        if session is not None:
            self._connection.carry_out(session.subscriptions.caught_up(self._room.id, frames, snapshot=snapshot))

    def expired(self, message: str, oldest: Cursor) -> None:
        self._fail(ErrorCode.CURSOR_EXPIRED, message, oldest=str(oldest))

    def refused(self, message: str) -> None:
        self._fail(ErrorCode.BAD_REQUEST, message)

    def failed(self, message: str) -> None:
        self._fail(ErrorCode.UNAVAILABLE, message)

    def _fail(self, code: ErrorCode, message: str, *, oldest: str | None = None) -> None:
        self._connection.catch_up_failed(self._ticket, self._room, code, message, oldest=oldest)
