"""Reads what Redis has on record of this gateway's slot, for the comparison."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from common import redis_keys
from common.identifiers import ConnectionId, RoomId, Slot
from common.redis import Redis
from gateway.comparison import Held, Recorded


class RecordedSlot:
    """Raises `RedisError` where Redis is away. What is read together is of one moment, or nearly so."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def connections(self, slot: Slot) -> set[ConnectionId]:
        """All that are listed under the slot."""
        found: Any = await self._redis.smembers(redis_keys.slot_connections(slot))
        return {ConnectionId(each) for each in found}

    async def rooms(self, slot: Slot) -> set[RoomId]:
        """The slot's interest, as the registry has read it."""
        found: Any = await self._redis.hkeys(redis_keys.slot_rooms(slot))
        return {RoomId(each) for each in found}

    async def of(self, slot: Slot, held: Held) -> dict[ConnectionId, Recorded]:
        """What is on record of these connections, and of their being in these rooms."""
        connections = list(held)
        if not connections:
            return {}
        members: dict[RoomId, list[ConnectionId]] = defaultdict(list)
        for connection, rooms in held.items():
            for room in rooms:
                members[room].append(connection)
        async with self._redis.pipeline(transaction=False) as pipe:
            for connection in connections:
                pipe.hmget(redis_keys.connection(connection), "id", "subscriptions")
            for key in (redis_keys.CONNECTIONS, redis_keys.slot_connections(slot)):
                pipe.smismember(key, connections)
            for room, asked in members.items():
                pipe.smismember(redis_keys.room_members(room), asked)
            found: list[Any] = await pipe.execute()
        records, listed, of_slot = found[: len(connections)], *found[len(connections) : len(connections) + 2]
        joined: dict[ConnectionId, set[RoomId]] = defaultdict(set)
        for (room, asked), answers in zip(members.items(), found[len(connections) + 2 :], strict=True):
            for connection, answer in zip(asked, answers, strict=True):
                if answer:
                    joined[connection].add(room)
        return {
            connection: Recorded(
                known=bool(record[0] and every and here),
                named=frozenset(map(RoomId, (record[1] or "").split())),
                joined=frozenset(joined[connection]),
            )
            for connection, record, every, here in zip(connections, records, listed, of_slot, strict=True)
        }
