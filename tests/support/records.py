"""What Redis says about connections and rooms, read as an operator would."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import redis.asyncio as redis

from common import redis_keys
from common.channels import Channel
from common.identifiers import ConnectionId, RoomId
from tests.support.waiting import eventually


class Records:
    """The registry's records in one database."""

    def __init__(self, client: redis.Redis) -> None:
        # Typed for text and bytes both; this one gives text.
        self.redis: Any = client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.redis.aclose()

    async def connection(self, connection_id: str) -> dict[str, str]:
        """A connection's hash; empty where there is none."""
        found: dict[str, str] = await self.redis.hgetall(redis_keys.connection(ConnectionId(connection_id)))
        return found

    async def ttl(self, connection_id: str) -> int:
        """Seconds that a connection's record has left."""
        return int(await self.redis.ttl(redis_keys.connection(ConnectionId(connection_id))))

    async def connections(self) -> set[str]:
        """Ids of all connections on record."""
        return {str(each) for each in await self.redis.smembers(redis_keys.CONNECTIONS)}

    async def members(self, room: str) -> set[str]:
        return {str(each) for each in await self.redis.smembers(redis_keys.room_members(RoomId(room)))}

    async def rooms(self, channel: str) -> set[str]:
        return {str(each) for each in await self.redis.smembers(redis_keys.channel_rooms(Channel(channel)))}

    async def until_recorded(self, connection_id: str) -> dict[str, str]:
        """The record, once it is there."""
        await eventually(lambda: self._exists(connection_id), f"a record of connection {connection_id}")
        return await self.connection(connection_id)

    async def until_member(self, connection_id: str, room: str) -> None:
        async def is_member() -> bool:
            return connection_id in await self.members(room)

        await eventually(is_member, f"{connection_id} is a member of {room}")

    async def until_gone(self, *connection_ids: str, limit: float = 10.0) -> None:
        """Return when nothing in the whole database names these connections any more, but the marks of closed ones."""

        async def gone() -> bool:
            return not any([await self.traces(each) for each in connection_ids])

        await eventually(gone, f"no trace of {connection_ids}", limit=limit)

    async def traces(self, connection_id: str) -> list[str]:
        """Keys that still name the connection."""
        own, closed = redis_keys.connection(ConnectionId(connection_id)), redis_keys.closed(ConnectionId(connection_id))
        found = [key async for key in self.redis.scan_iter(match=f"*{connection_id}*") if key != closed]
        sets = [
            key
            async for key in self.redis.scan_iter(match="ws:*", _type="set")
            if await self.redis.sismember(key, connection_id)
        ]
        return [*found, *sets, *([own] if await self.redis.exists(own) else [])]

    async def all_text(self) -> str:
        """Everything in the database, as text."""
        parts: list[str] = []
        async for key in self.redis.scan_iter():
            parts += [str(key), str(await self._value(key))]
        return "\n".join(parts)

    async def _value(self, key: str) -> object:
        readers = {"hash": self.redis.hgetall, "set": self.redis.smembers, "string": self.redis.get}
        reader = readers.get(await self.redis.type(key))
        return await reader(key) if reader else await self.redis.dump(key)

    async def _exists(self, connection_id: str) -> bool:
        return bool(await self.connection(connection_id))
