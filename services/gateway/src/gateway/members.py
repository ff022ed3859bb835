"""A connection, as fan-out needs it, and what may be sent to it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from common.rooms import Room
from gateway.outbox import Entity


class Member(Protocol):
    frames: list[bytes]
    """Update frames of this tick, for `flush` to write; the hub appends."""
    catching_up: int
    """Rooms in which the connection still gets what it missed, at its own speed."""

    @property
    def user(self) -> str | None: ...

    def flush(self, entities: Mapping[int, Entity]) -> None:
        """Write `frames` and clear them; `entities` has what may be conflated, by the `id()` of its frame. Raises nothing."""
        ...


def may_have(member: Member, user: str | None, room: Room) -> bool:
    """Whether an update that is private to `user` may go to a member of the room.

    Who asked for a user by name was permitted to when it subscribed.
    """
    return user is None or user in (member.user, room.filter.user_id)
