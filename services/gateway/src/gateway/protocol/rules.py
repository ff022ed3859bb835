"""What a subscribe is refused for: permissions and limits. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from common.errors import ErrorCode
from common.events import Decision
from common.permissions import may_see_user, may_subscribe
from common.rooms import Room
from gateway.protocol.commands import Subscribe
from gateway.protocol.subscriptions import Subscriptions


@dataclass(frozen=True, slots=True)
class Refused:
    code: ErrorCode
    message: str
    field: str


def refuse_subscribe(
    command: Subscribe, decision: Decision, held: Subscriptions, *, most: int | None
) -> Refused | None:
    """The first reason against it, `None` where there is none. `most` is the limit of subscriptions."""
    for room in command.rooms:
        refused = _refuse_room(room, decision)
        if refused is not None:
            return refused
    if command.id is not None and held.is_answering(command.id):
        return Refused(ErrorCode.BAD_REQUEST, "a subscribe with this id is still being answered", "id")
    if most is not None and len(held.wanted().union(room.id for room in command.rooms)) > most:
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
