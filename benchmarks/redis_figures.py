"""Criterion "Redis": what a state operation, a membership query and a connection cost while the connections are open."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable

from benchmarks.figures import Figure, Percentiles, percentiles
from common import redis_keys
from common.channels import Channel
from common.identifiers import ConnectionId, RoomId
from tests.support.records import Records
from tests.support.waiting import eventually

OPERATIONS = 3000
STATE_TARGET_MS = 10.0
MEMBERSHIP_TARGET_MS = 5.0
BYTES_TARGET = 2048
SETTLE_SECONDS = 120.0


async def used_bytes(records: Records) -> int:
    memory = await records.redis.info("memory")
    return int(memory["used_memory"])


async def until_empty(records: Records) -> None:
    """Return when the registry has no connection any more."""

    async def empty() -> bool:
        return int(await records.redis.scard(redis_keys.CONNECTIONS)) == 0

    await eventually(empty, "no connection is in Redis", limit=SETTLE_SECONDS)


async def until_registered(records: Records, connections: int) -> None:
    """Return when the registry has recorded these connections and their subscriptions, and no others."""
    rooms: set[str] = set()

    async def complete() -> bool:
        rooms.update(await records.rooms("prices"))
        members = [await records.redis.scard(redis_keys.room_members(RoomId(room))) for room in rooms]
        known = int(await records.redis.scard(redis_keys.CONNECTIONS))
        return known == connections and sum(map(int, members)) >= connections

    await eventually(complete, f"{connections} connections are in Redis", limit=SETTLE_SECONDS)


async def measure(records: Records, *, connections: int, bytes_before: int) -> list[Figure]:
    """The three figures of the criterion; MEMORY USAGE of a sample beside the difference in used memory."""
    ids = sorted(await records.connections())
    rooms = sorted(await records.redis.smembers(redis_keys.channel_rooms(Channel.PRICES)))
    used = (await used_bytes(records) - bytes_before) / connections
    sampled = await _bytes_of_keys(records, random.sample(ids, min(200, len(ids))))
    state = await _timed(lambda: _touch(records, random.choice(ids)))
    one = await _timed(
        lambda: records.redis.sismember(redis_keys.room_members(RoomId(random.choice(rooms))), random.choice(ids))
    )
    whole = await _timed(lambda: records.redis.smembers(redis_keys.room_members(RoomId(random.choice(rooms)))))
    return [
        _duration("state operation (HGETALL + HSET lastSeen)", state, STATE_TARGET_MS),
        _duration("membership query (SISMEMBER)", one, MEMBERSHIP_TARGET_MS),
        _duration("membership query (SMEMBERS of a room)", whole, MEMBERSHIP_TARGET_MS),
        Figure(
            "Redis",
            f"bytes a connection, used_memory over {connections:,}",
            f"{used:.0f} bytes",
            f"at most {BYTES_TARGET} bytes",
            used <= BYTES_TARGET,
        ),
        Figure("Redis", "of which its own record (MEMORY USAGE)", f"{sampled:.0f} bytes"),
    ]


async def _touch(records: Records, connection_id: str) -> None:
    """What a heartbeat does, with the value that is there already."""
    key = redis_keys.connection(ConnectionId(connection_id))
    record = await records.redis.hgetall(key)
    await records.redis.hset(key, "lastSeen", record["lastSeen"])


async def _timed(operation: Callable[[], Awaitable[object]]) -> Percentiles:
    """Durations of an operation, one after another, as a caller sees them."""
    results = []
    for _ in range(OPERATIONS):
        begun = time.perf_counter()
        await operation()
        results.append((time.perf_counter() - begun) * 1000)
    return percentiles(results)


async def _bytes_of_keys(records: Records, ids: list[str]) -> float:
    sizes = [await records.redis.memory_usage(redis_keys.connection(ConnectionId(each))) for each in ids]
    return float(sum(sizes)) / len(sizes)


def _duration(what: str, measured: Percentiles, target: float) -> Figure:
    return Figure("Redis", what, str(measured), f"p99 under {target:.0f} ms", measured.p99 < target)
