"""What a subscribe is refused for: permissions and limits. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from common.errors import ErrorCode
from common.events import Decision
from common.identifiers import RoomId
from common.permissions import may_see_user, may_subscribe
from common.rooms import Room
from gateway.protocol.commands import CommandId, Subscribe


@dataclass(frozen=True, slots=True)
class Pending:
    """A subscribe whose rooms are not active everywhere yet."""

    id: CommandId | None
    rooms: tuple[Room, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    code: ErrorCode
    message: str
    field: str


def refuse_subscribe(
    command: Subscribe,
    decision: Decision,
    *,
    held: Mapping[RoomId, Room],
    pending: Collection[Pending],
    most: int | None,
) -> Refused | None:
    """The first reason against it, `None` where there is none. `most` is the limit of subscriptions."""
    for room in command.rooms:
        refused = _refuse_room(room, decision)
        if refused is not None:
            return refused
    if command.id is not None and any(each.id == command.id for each in pending):
        return Refused(ErrorCode.BAD_REQUEST, "a subscribe with this id is still being answered", "id")
    if most is not None and len(_wanted(command, pending).union(held)) > most:
        return Refused(ErrorCode.TOO_MANY_SUBSCRIPTIONS, f"more than {most} subscriptions", "channel")
    return None


def _refuse_room(room: Room, decision: Decision) -> Refused | None:
    user = room.filter.user_id
    if not may_subscribe(decision.permissions, room.channel):
        message = f"the key has no permission channel:{room.channel.value}"
        return Refused(ErrorCode.PERMISSION_DENIED, message, "channel")
    if user is not None and not may_see_user(decision.permissions, decision.user, user):
        message = "the key may filter by its own user only; others need users:*"
        return Refused(ErrorCode.PERMISSION_DENIED, message, "filters.userId")
    return None


def _wanted(command: Subscribe, pending: Iterable[Pending]) -> set[RoomId]:
    wanted = {room.id for each in pending for room in each.rooms}
    wanted.update(room.id for room in command.rooms)
    return wanted
