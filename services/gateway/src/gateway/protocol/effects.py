"""What a session wants done. The driver carries effects out in their order."""

from __future__ import annotations

from dataclasses import dataclass

from common.cursor import Cursor
from common.errors import ErrorCode
from common.identifiers import KeyHash
from common.rooms import Room


@dataclass(frozen=True, slots=True)
class Send:
    """A reply or push, JSON; goes out after the update frames that are already waiting."""

    payload: bytes
    error: ErrorCode | None = None
    """The code, where it is an error: for the count."""


@dataclass(frozen=True, slots=True)
class SendPing:
    """A WebSocket ping; its pong counts as being heard from."""


@dataclass(frozen=True, slots=True)
class Close:
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Abort:
    """End the transport: the peer did not answer a close."""


@dataclass(frozen=True, slots=True)
class ValidateKey:
    """Ask auth; the answer comes back by `Session.decided`."""

    key_hash: KeyHash


@dataclass(frozen=True, slots=True)
class Register:
    """The connection was authenticated: tell the registry, count it for its key and user."""


@dataclass(frozen=True, slots=True)
class Join:
    """Take these rooms; the answer comes back by `Session.joined` or `Session.join_failed`, with the same `ticket`."""

    ticket: int
    rooms: tuple[Room, ...]


@dataclass(frozen=True, slots=True)
class CatchUp:
    """Take this room, and first what came after `since`, or the last values; answered by `Session.begun` and `caught_up`."""

    ticket: int
    room: Room
    since: Cursor | None
    snapshot: bool


@dataclass(frozen=True, slots=True)
class CancelJoin:
    ticket: int


@dataclass(frozen=True, slots=True)
class Leave:
    """After this no frame of the room reaches the connection."""

    room: Room


@dataclass(frozen=True, slots=True)
class Seen:
    """The connection was heard from since the last heartbeat."""


Effect = Send | SendPing | Close | Abort | ValidateKey | Register | Join | CatchUp | CancelJoin | Leave | Seen
