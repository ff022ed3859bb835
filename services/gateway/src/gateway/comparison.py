"""What Redis has on record of this gateway, against what is so here (docs/adr/0014). Pure.

A difference counts when it is there twice, some seconds apart: what is still on its way to the registry is none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from common.identifiers import ConnectionId, RoomId

Held = Mapping[ConnectionId, Collection[RoomId]]
"""Connections that are open here, and the rooms of each."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A connection on record. `named`: the rooms that its record names; `joined`: those of its rooms that have it as a member."""

    known: bool
    """Whether its own record is there, and it is listed."""
    named: frozenset[RoomId] = frozenset()
    joined: frozenset[RoomId] = frozenset()


class Difference(NamedTuple):
    """A connection, or its being in a room, that is so here and not on record; or, where `here` is false, the other way round."""

    connection: ConnectionId
    room: RoomId | None
    here: bool


def differences(held: Held, recorded: Mapping[ConnectionId, Recorded]) -> set[Difference]:
    """Of the connections in `recorded`; one that is not held any more has none, as its end is told anyway."""
    found: set[Difference] = set()
    for connection, record in recorded.items():
        rooms = held.get(connection)
        if rooms is None:
            continue
        if not record.known:
            found.add(Difference(connection, None, here=True))
        found.update(
            Difference(connection, room, here=True) for room in rooms if room not in record.named & record.joined
        )
        found.update(Difference(connection, room, here=False) for room in record.named.difference(rooms))
    return found


def strangers(held: Collection[ConnectionId], listed: Collection[ConnectionId]) -> set[Difference]:
    """Connections that are listed under our slot and are none of ours."""
    return {Difference(connection, None, here=False) for connection in listed if connection not in held}


def rooms_missing(wanted: Collection[RoomId], recorded: Collection[RoomId]) -> set[tuple[RoomId, bool]]:
    """Rooms of the slot's interest that differ; true for those that are wanted here and not on record."""
    missing = {(room, True) for room in wanted if room not in recorded}
    return missing | {(room, False) for room in recorded if room not in wanted}
