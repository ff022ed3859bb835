"""A connection, as fan-out needs it, and what may be sent to it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

from common.rooms import Room
from gateway.outbox import Entity

if TYPE_CHECKING:
    from gateway.fan_out import HubRoom

Frames = list[bytes]
NONE_WAIT: Final[Frames] = []
"""Stands for no frames, and must stay empty: a list of its own for each that waits for nothing would be 56 bytes."""


class Member(Protocol):
    frames: Frames
    """Update frames of this tick, for `flush` to write; the hub puts them there."""
    home: HubRoom | None
    """The room that it is in, where it is in no other and was in none before; the hub's."""
    rooms: int
    """How many it is in; the hub's."""
    catching_up: int
    """Rooms in which the connection still gets what it missed, at its own speed."""

    @property
    def user(self) -> str | None: ...

    def flush(self, entities: Mapping[int, Entity]) -> None:
        """Write `frames` and clear them; `entities` has what may be conflated, by the `id()` of its frame. Raises nothing."""
        ...

    def send(self, joined: bytes, frames: Frames, entities: Mapping[int, Entity]) -> None:
        """Write these frames, `joined` already, as all that this tick brings. Raises nothing."""
        ...


def may_have(member: Member, user: str | None, room: Room) -> bool:
    """Whether an update that is private to `user` may go to a member of the room.

    Who asked for a user by name was permitted to when it subscribed.
    """
    return user is None or user in (member.user, room.filter.user_id)
