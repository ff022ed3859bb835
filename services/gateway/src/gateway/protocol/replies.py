"""What the server says, as JSON bytes. Update frames are not here: they come ready from the router."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from common.errors import ErrorCode
from common.limits import Limits
from common.rooms import Room
from gateway.protocol.commands import CommandId

PROTOCOL_VERSION = 1


class Notice(StrEnum):
    DRAINING = "draining"
    EXPIRING = "expiring"
    SLOW_CONSUMER = "slow_consumer"
    DEGRADED = "degraded"
    RECOVERED = "recovered"
    UPDATES_LOST = "updates_lost"


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds."""

    heartbeat_interval: float = 15.0
    idle_timeout: float = 60.0
    auth_timeout: float = 10.0
    lifetime: float = 24 * 3600.0
    expiring_notice: float = 60.0
    """How long before the end of a lifetime the client is warned; at most a tenth of the lifetime."""


def _encode(message: Mapping[str, Any]) -> bytes:
    return orjson.dumps(message)


def _answer(kind: str, command_id: CommandId | None, **fields: Any) -> bytes:
    head: dict[str, Any] = {"type": kind} if command_id is None else {"type": kind, "id": command_id}
    return _encode(head | fields)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def welcome(connection_id: str, *, now_ms: int, timing: Timing, limits: Limits) -> bytes:
    """Durations in milliseconds, moments in milliseconds since 1970."""
    return _answer(
        "welcome",
        None,
        connectionId=connection_id,
        protocol=PROTOCOL_VERSION,
        serverTime=now_ms,
        heartbeatInterval=_ms(timing.heartbeat_interval),
        idleTimeout=_ms(timing.idle_timeout),
        authTimeout=_ms(timing.auth_timeout),
        expiresAt=now_ms + _ms(timing.lifetime),
        limits=limits.to_json(),
    )


def authenticated(
    command_id: CommandId | None, *, user: str | None, permissions: Iterable[str], limits: Limits
) -> bytes:
    return _answer("authenticated", command_id, user=user, permissions=sorted(permissions), limits=limits.to_json())


def subscribed(command_id: CommandId | None, room: Room, *, cursor: str) -> bytes:
    return _answer("subscribed", command_id, **_subscription(room, cursor))


def unsubscribed(command_id: CommandId | None, room: Room) -> bytes:
    return _answer("unsubscribed", command_id, **_room(room))


def unsubscribed_all(command_id: CommandId | None, rooms: Sequence[Room]) -> bytes:
    return _answer("unsubscribed", command_id, subscriptions=[_room(room) for room in rooms], count=len(rooms))


def subscriptions(command_id: CommandId | None, rooms: Iterable[tuple[Room, str]]) -> bytes:
    return _answer("subscriptions", command_id, subscriptions=[_subscription(room, cursor) for room, cursor in rooms])


def replay_end(command_id: CommandId | None, room: Room, *, count: int, cursor: str, expired: bool = False) -> bytes:
    """Everything after the cursor that was asked with has been sent: `count` updates, up to `cursor`."""
    return _end("replay_end", command_id, room, count, cursor, expired)


def snapshot_end(command_id: CommandId | None, room: Room, *, count: int, cursor: str, expired: bool = False) -> bytes:
    """`expired`: a cursor was given as well, and could not be served, so these are the last values."""
    return _end("snapshot_end", command_id, room, count, cursor, expired)


def _end(kind: str, command_id: CommandId | None, room: Room, count: int, cursor: str, expired: bool) -> bytes:  # noqa: PLR0917
    extra = {"expired": True} if expired else {}
    return _answer(kind, command_id, channel=room.channel.value, room=room.id, count=count, cursor=cursor, **extra)


def conflated(channel: str, count: int, first: str, last: str) -> bytes:
    """This slow connection was spared `count` superseded updates of the channel; ids of the first and the last of them."""
    return _encode({"type": "conflated", "channel": channel, "n": count, "from": first, "to": last})


def pong(command_id: CommandId | None, *, now_ms: int) -> bytes:
    return _answer("pong", command_id, timestamp=now_ms)


def heartbeat(*, now_ms: int, sent: int, cursors: Mapping[str, str]) -> bytes:
    return _answer("heartbeat", None, timestamp=now_ms, sent=sent, cursors=cursors)


def notice(kind: Notice, message: str, *, retry_after: float | None = None) -> bytes:
    """`retry_after`: seconds that a client had best wait before it connects again."""
    fields = {} if retry_after is None else {"retryAfterMs": _ms(retry_after)}
    return _answer("notice", None, code=kind.value, message=message, **fields)


def updates_lost(room: Room, *, oldest: str) -> bytes:
    """Updates were deleted before they could be sent to this subscription, which goes on from `oldest`, a cursor."""
    text = "updates were deleted before they could be sent; the subscription goes on without them"
    code = Notice.UPDATES_LOST.value
    return _answer("notice", None, code=code, message=text, channel=room.channel.value, room=room.id, oldest=oldest)


def error(
    code: ErrorCode,
    message: str,
    *,
    command_id: CommandId | None = None,
    field: str | None = None,
    retryable: bool = False,
    retry_after: float | None = None,
    oldest: str | None = None,
) -> bytes:
    """`oldest`: with `cursor_expired`, the earliest cursor that could be served."""
    fields: dict[str, Any] = {"code": code.value, "message": message}
    if field is not None:
        fields["field"] = field
    fields["retryable"] = retryable
    if retry_after is not None:
        fields["retryAfterMs"] = max(1, _ms(retry_after))
    if oldest is not None:
        fields["oldest"] = oldest
    return _answer("error", command_id, **fields)


def _room(room: Room) -> dict[str, Any]:
    return {"channel": room.channel.value, "filters": room.filter.to_json(), "room": room.id}


def _subscription(room: Room, cursor: str) -> dict[str, Any]:
    return _room(room) | {"cursor": cursor}
