"""Sweep: removes from Redis what no record accounts for, now and then, by one router at a time.

Writes never leave such things, but an emptied or restored Redis, records that ran out, and events that came too late do. What is missing is
not the sweep's: gateways compare what is on record of them, and tell the registry again (`gateway.restating`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

from common import metrics, redis_keys
from common.channels import Channel
from common.identifiers import ConnectionId, FencingEpoch, RoomId, Slot
from common.logs import describe, get_logger
from common.redis import Redis, RedisError, load_script
from router.records import CONNECTION, Records, room_keys

log = get_logger("sweep")

_PART = 200
_PAUSE_SECONDS = 0.02
"""Between two parts: each is about a millisecond of Redis' time."""
_SLOT = redis_keys.slot(Slot(0)).replace("0", "%s")
_jitter = random.Random()  # noqa: S311 - jitter, no secret


class Sweep:
    """`interval`: seconds between two sweeps of all routers together."""

    def __init__(self, redis: Redis, records: Records, *, interval: float) -> None:
        self._redis = redis
        self._records = records
        self._interval = interval
        self._connections_swept = load_script(redis, "router", "connections_swept")
        self._members_swept = load_script(redis, "router", "members_swept")

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._interval * _jitter.uniform(0.5, 1.0))
            try:
                if await self._is_mine():
                    await self.sweep()
            except RedisError as error:
                log.info("sweep_ended_early", **describe(error))

    async def sweep(self) -> None:
        """Go over everything once. Idempotent, and harmless beside another. Raises `RedisError`."""
        found = {"connection": 0, "membership": 0, "room": 0}
        async for part in self._parts(redis_keys.CONNECTIONS):
            found["connection"] += await self._sweep_connections(part)
        for channel in Channel:
            async for rooms in self._parts(redis_keys.channel_rooms(channel)):
                for room in rooms:
                    members, gone = await self._sweep_room(RoomId(room))
                    found["membership"] += members
                    found["room"] += gone
        for kind, count in found.items():
            metrics.router_records_repaired_total.labels(kind).inc(count)
        if any(found.values()):
            log.warning("records_repaired", **found)

    async def _is_mine(self) -> bool:
        """Whether no other router has swept lately."""
        held = round(self._interval * 500)
        return bool(await self._redis.set(redis_keys.SWEEP_LEASE, "1", px=held, nx=True))

    async def _sweep_connections(self, connections: Sequence[str]) -> int:
        found: list[Any] = await self._connections_swept(
            keys=[redis_keys.CONNECTIONS], args=[CONNECTION, _SLOT, *connections]
        )
        count = int(found[0])
        for slot, epoch, connection in zip(found[1::3], found[2::3], found[3::3], strict=True):
            below = FencingEpoch(int(epoch))
            count += await self._records.remove(Slot(int(slot)), [ConnectionId(connection)], below=below)
        return count

    async def _sweep_room(self, room: RoomId) -> tuple[int, int]:
        keys, members, gone = room_keys(room), 0, 0
        async for part in self._parts(redis_keys.room_members(room), least=1):
            removed, went = await self._members_swept(keys=keys, args=[CONNECTION, room, *part])
            members += int(removed)
            gone += int(went)
        return members, gone

    async def _parts(self, key: str, *, least: int = 0) -> AsyncIterator[Sequence[str]]:
        """The members of a set, some at a time; at least so many parts, be they empty."""
        cursor, number = 0, 0
        while True:
            answer: Any = await self._redis.sscan(key, cursor, count=_PART)
            cursor, part = int(answer[0]), list(answer[1])
            if part or number < least:
                number += 1
                yield part
            if cursor == 0:
                return
            await asyncio.sleep(_PAUSE_SECONDS)
