"""Frames of the server, read once: JSON text in, one small frozen value out (docs/protocol.md).

Unknown types, and known ones that lack what they must have, become `Ignored`: a later server may say more than this client knows.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from defistream.cursors import Cursor, parse_cursor
from defistream.errors import InvalidArgument
from defistream.updates import Update

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Welcome:
    connection_id: str
    heartbeat_interval: float
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Authenticated:
    user: str | None
    permissions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Subscribed:
    command: int
    room: str
    cursor: Cursor | None
    """`None` where the server does not know the stream's epoch yet."""


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    command: int | None


@dataclass(frozen=True, slots=True)
class CatchUpEnd:
    """All that a subscription asked for of the past was sent. `snapshot`: last values, not every update."""

    command: int | None
    room: str
    cursor: Cursor
    count: int
    snapshot: bool
    expired: bool
    """A cursor was given too, and could not be served."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    cursors: Mapping[str, Cursor]


@dataclass(frozen=True, slots=True)
class OperatorBroadcast:
    channel: str | None
    data: Any


@dataclass(frozen=True, slots=True)
class ServerNotice:
    kind: str
    message: str
    retry_after: float | None
    """Seconds."""
    raw: Fields = field(compare=False)
    room: str | None = None
    """With `updates_lost`: whose updates were deleted before they could be sent."""
    oldest: Cursor | None = None
    """With `updates_lost`: from where the subscriptions of the room go on."""


@dataclass(frozen=True, slots=True)
class Conflation:
    channel: str
    count: int
    first: str | None
    last: str | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """An `error` frame. `command` is `None` where it is about the connection."""

    command: int | None
    code: str
    message: str
    field: str | None
    retryable: bool
    retry_after: float | None
    """Seconds."""
    oldest: str | None
    """With `cursor_expired`: the oldest cursor that the server could have served."""


@dataclass(frozen=True, slots=True)
class Ignored:
    reason: str


Message = (
    Update
    | Welcome
    | Authenticated
    | Subscribed
    | Unsubscribed
    | CatchUpEnd
    | Heartbeat
    | OperatorBroadcast
    | ServerNotice
    | Conflation
    | Refusal
    | Ignored
)


def parse_message(text: str | bytes) -> Message:
    """Never raises."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return Ignored("not JSON")
    if not isinstance(fields, dict):
        return Ignored("not an object")
    kind = fields.get("type")
    parse = _PARSERS.get(kind) if isinstance(kind, str) else None
    if parse is None:
        return _update(fields)
    try:
        return parse(fields)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        return Ignored(f"{kind} without a proper {error}")


def _update(fields: dict[str, Any]) -> Message:
    """Whatever has a channel and an id, so that update types of later servers come through."""
    channel, update_id = fields.get("channel"), fields.get("id")
    if isinstance(channel, str) and isinstance(update_id, str):
        return Update(channel, update_id, fields)
    return Ignored(f"unknown type {fields.get('type')!r}")


def _welcome(fields: Fields) -> Message:
    interval = float(fields["heartbeatInterval"])
    if not 0 < interval < math.inf:
        raise ValueError("heartbeatInterval")
    return Welcome(str(fields["connectionId"]), interval / 1000)


def _authenticated(fields: Fields) -> Message:
    return Authenticated(_text(fields.get("user")), tuple(map(str, fields.get("permissions") or ())))


def _subscribed(fields: Fields) -> Message:
    return Subscribed(int(fields["id"]), str(fields["room"]), _cursor(fields.get("cursor")))


def _unsubscribed(fields: Fields) -> Message:
    return Unsubscribed(_command(fields))


def _end(fields: Fields) -> Message:
    return CatchUpEnd(
        command=_command(fields),
        room=str(fields["room"]),
        cursor=parse_cursor(fields["cursor"]),
        count=int(fields["count"]),
        snapshot=fields["type"] == "snapshot_end",
        expired=fields.get("expired") is True,
    )


def _heartbeat(fields: Fields) -> Message:
    cursors = {channel: _cursor(text) for channel, text in dict(fields.get("cursors") or {}).items()}
    return Heartbeat({channel: cursor for channel, cursor in cursors.items() if cursor is not None})


def _broadcast(fields: Fields) -> Message:
    return OperatorBroadcast(_text(fields.get("channel")), fields.get("data"))


def _notice(fields: Fields) -> Message:
    kind = str(fields["code"])
    message, retry_after = str(fields.get("message") or kind), _seconds(fields.get("retryAfterMs"))
    return ServerNotice(kind, message, retry_after, fields, _text(fields.get("room")), _cursor(fields.get("oldest")))


def _conflated(fields: Fields) -> Message:
    return Conflation(str(fields["channel"]), int(fields["n"]), _text(fields.get("from")), _text(fields.get("to")))


def _error(fields: Fields) -> Message:
    code = str(fields["code"])
    return Refusal(
        command=_command(fields),
        code=code,
        message=str(fields.get("message") or code),
        field=_text(fields.get("field")),
        retryable=fields.get("retryable") is True,
        retry_after=_seconds(fields.get("retryAfterMs")),
        oldest=_text(fields.get("oldest")) or _text(fields.get("cursor")),
    )


def _pass(fields: Fields) -> Message:
    return Ignored(str(fields["type"]))


_PARSERS: dict[str, Callable[[Fields], Message]] = {
    "welcome": _welcome,
    "authenticated": _authenticated,
    "subscribed": _subscribed,
    "replay_end": _end,
    "snapshot_end": _end,
    "heartbeat": _heartbeat,
    "broadcast": _broadcast,
    "notice": _notice,
    "conflated": _conflated,
    "error": _error,
    "unsubscribed": _unsubscribed,
    "subscriptions": _pass,
    "pong": _pass,
}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _cursor(text: object) -> Cursor | None:
    try:
        return parse_cursor(text)
    except InvalidArgument:
        return None


def _command(fields: Fields) -> int | None:
    number = fields.get("id")
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _seconds(milliseconds: object) -> float | None:
    return milliseconds / 1000 if isinstance(milliseconds, int | float) and not isinstance(milliseconds, bool) else None
