"""Records: who is connected and who is in which room, written to Redis (keys and their meaning: `common.redis_keys`).

Each write is one script, atomic and idempotent, for all events of a kind that follow one another, and several go in one pipeline. Events
of a connection may come in any order between the two topics: a closed connection leaves a mark that makes what comes late void, as does
a newer fencing epoch of its slot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias

import orjson

from common import redis_keys
from common.channels import Channel
from common.events import (
    ConnectionClosed,
    ConnectionOpened,
    ConnectionsSeen,
    Interest,
    SlotTaken,
    StreamCreated,
    Subscribed,
    Unsubscribed,
)
from common.identifiers import ConnectionId, FencingEpoch, GatewayId, RoomId, Slot
from common.redis import AsyncScript, Redis, WatchError, load_script
from router.interest import Change, Holder, Off

BATCH = 200
"""Events or connections that one script is given: 5 ms of Redis' time at most."""

Argument: TypeAlias = str | int | bytes
Event = ConnectionOpened | ConnectionsSeen | ConnectionClosed | Subscribed | Unsubscribed

_CLOSED, CONNECTION = redis_keys.closed(ConnectionId("%s")), redis_keys.connection(ConnectionId("%s"))
_ROOM = (
    redis_keys.room(RoomId("%s")),
    redis_keys.room_members(RoomId("%s")),
    redis_keys.channel_rooms(Channel.PRICES).replace(Channel.PRICES.value, "%s"),
)
"""How keys are named, for scripts that make them from the ids that they are given: the room, its members, the rooms of its channel."""


@dataclass(frozen=True, slots=True)
class RecordedSlot:
    """`offsets`: partition of `rooms.interest` -> next offset that it has not seen. `rooms`: interest records (JSON)."""

    offsets: dict[int, int]
    holder: Holder | None
    rooms: Sequence[bytes]


class Records:
    """Raises `RedisError` where Redis is away; the write is to be repeated then."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._opened = self._script("connections_opened")
        self._subscribed = self._script("connections_subscribed")
        self._unsubscribed = self._script("connections_unsubscribed")
        self._seen = self._script("connections_seen")
        self._removed = self._script("connections_removed")
        self._changed = self._script("room_changed")
        self._taken = self._script("slot_taken")

    async def write(self, events: Sequence[Event]) -> None:
        """Write events in their order."""
        if not events:
            return
        async with self._redis.pipeline(transaction=False) as pipe:
            for run in _runs(events):
                await self._add(pipe, run)
            await pipe.execute()

    async def remove(
        self, slot: Slot, connections: Sequence[ConnectionId], *, below: FencingEpoch | None = None
    ) -> int:
        """Remove connections with their memberships; `below`: only those of an older epoch. Returns how many had a record."""
        removed = 0
        for start in range(0, len(connections), BATCH):
            removed += int(await self._remove(slot, connections[start : start + BATCH], self._redis, below))
        return removed

    async def connections_of(self, slot: Slot) -> Sequence[ConnectionId]:
        found: Any = await self._redis.smembers(redis_keys.slot_connections(slot))
        return [ConnectionId(each) for each in found]

    # Interest -------------------------------------------------------------------------------------------------------------

    async def interest_offsets(self) -> dict[int, int]:
        """Partition of `rooms.interest` -> next offset that the records have not seen."""
        found: Any = await self._redis.hgetall(redis_keys.INTEREST_OFFSETS)
        return _offsets(found)

    async def streams(self) -> dict[str, str]:
        found: Any = await self._redis.hgetall(redis_keys.STREAMS)
        return dict(found)

    async def slot(self, slot: Slot) -> RecordedSlot:
        """Who has a slot by what was read of `rooms.interest`, and its rooms; with the offsets of the same moment."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(redis_keys.INTEREST_OFFSETS)
            pipe.hmget(redis_keys.slot_holder(slot), "epoch", "gateway")
            pipe.hgetall(redis_keys.slot_rooms(slot))
            offsets, (epoch, gateway), rooms = await pipe.execute()
        holder = Holder(FencingEpoch(int(epoch)), GatewayId(gateway) if gateway else None) if epoch else None
        return RecordedSlot(_offsets(offsets), holder, [record.encode() for record in rooms.values()])

    async def rooms_of(self, slot: Slot) -> dict[RoomId, bytes]:
        found: Any = await self._redis.hgetall(redis_keys.slot_rooms(slot))
        return {RoomId(room): record.encode() for room, record in found.items()}

    async def write_interest(
        self, changes: Sequence[Change], offsets: Mapping[int, int], *, seen: Mapping[int, int]
    ) -> bool:
        """Write changes in their order together with the offsets up to which they were read: both or neither.

        False, and nothing is written, where a partition's records have not seen as much as `seen` any more: Redis was emptied, or put back.
        """
        while True:
            async with self._redis.pipeline(transaction=True) as pipe:
                await pipe.watch(redis_keys.INTEREST_OFFSETS)
                found: Any = await pipe.hgetall(redis_keys.INTEREST_OFFSETS)
                now = _offsets(found)
                if any(now.get(each, 0) < seen.get(each, 0) for each in offsets):
                    return False
                pipe.multi()  # type: ignore[no-untyped-call]
                for change in changes:
                    await self._add_interest(pipe, change)
                pipe.hset(redis_keys.INTEREST_OFFSETS, mapping={str(key): value for key, value in offsets.items()})
                # Else it has changed since we looked: another registry has written, or it has gone.
                with suppress(WatchError):
                    await pipe.execute()
                    return True

    async def _add_interest(self, pipe: Any, change: Change) -> None:
        if isinstance(change, StreamCreated):
            pipe.hset(redis_keys.STREAMS, change.channel, change.epoch)
            return
        keys = [redis_keys.slot_holder(change.slot), redis_keys.slot_rooms(change.slot)]
        match change:
            case Interest(room=room, epoch=epoch, gateway=gateway):
                await self._changed(keys=keys, args=[room, epoch, gateway, change.encode()], client=pipe)
            case Off(room=room, epoch=epoch):
                await self._changed(keys=keys, args=[room, "" if epoch is None else epoch, "", b""], client=pipe)
            case SlotTaken(epoch=epoch, gateway=gateway):
                await self._taken(keys=keys, args=[epoch, gateway or ""], client=pipe)

    # Connections ----------------------------------------------------------------------------------------------------------

    async def _add(self, pipe: Any, run: Sequence[Any]) -> None:
        """Write events that are all of one kind, slot and epoch."""
        match run[0]:
            case ConnectionOpened():
                await self._add_opened(pipe, run)
            case ConnectionsSeen():
                await self._add_seen(pipe, run)
            case ConnectionClosed(slot=slot):
                await self._remove(slot, [event.connection for event in run], pipe, None)
            case Subscribed():
                await self._add_subscribed(pipe, run)
            case Unsubscribed():
                await self._add_unsubscribed(pipe, run)

    async def _add_opened(self, pipe: Any, run: Sequence[ConnectionOpened]) -> None:
        slot, epoch = run[0].slot, run[0].epoch
        keys = [redis_keys.slot(slot), redis_keys.CONNECTIONS, redis_keys.slot_connections(slot)]
        args: list[Argument] = [epoch, redis_keys.CONNECTION_TTL_SECONDS, _CLOSED, CONNECTION]
        await self._opened(keys=keys, args=[*args, *map(_record, run)], client=pipe)

    async def _add_seen(self, pipe: Any, run: Sequence[ConnectionsSeen]) -> None:
        for event in run:
            keys = [redis_keys.slot(event.slot), *map(redis_keys.connection, event.connections)]
            args = [event.epoch, event.at, redis_keys.CONNECTION_TTL_SECONDS]
            await self._seen(keys=keys, args=args, client=pipe)

    async def _add_subscribed(self, pipe: Any, run: Sequence[Subscribed]) -> None:
        slot, epoch = run[0].slot, run[0].epoch
        keys = [redis_keys.slot(slot), redis_keys.slot_connections(slot)]
        args: list[Argument] = [epoch, redis_keys.CONNECTION_TTL_SECONDS, _CLOSED, CONNECTION, *_ROOM]
        for event in run:
            args += [event.connection, event.room, orjson.dumps(event.filter, option=orjson.OPT_SORT_KEYS)]
        await self._subscribed(keys=keys, args=args, client=pipe)

    async def _add_unsubscribed(self, pipe: Any, run: Sequence[Unsubscribed]) -> None:
        args: list[Argument] = [CONNECTION, *_ROOM]
        for event in run:
            args += [event.connection, event.room]
        await self._unsubscribed(keys=[], args=args, client=pipe)

    async def _remove(self, slot: Slot, ids: Sequence[ConnectionId], client: Any, below: FencingEpoch | None) -> Any:
        keys = [redis_keys.CONNECTIONS, redis_keys.slot_connections(slot)]
        limit: str | int = "" if below is None else below
        args: list[Argument] = [redis_keys.CLOSED_TTL_SECONDS, _CLOSED, CONNECTION, *_ROOM, limit, *ids]
        return await self._removed(keys=keys, args=args, client=client)

    def _script(self, name: str) -> AsyncScript:
        return load_script(self._redis, "router", name)


def _offsets(found: Mapping[str, str]) -> dict[int, int]:
    return {int(partition): int(offset) for partition, offset in found.items()}


def _runs(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    """Events that follow one another and can be written by one script, `BATCH` at most."""
    for _, same in groupby(events, key=lambda event: (event.kind, event.slot, event.epoch)):
        run = list(same)
        for start in range(0, len(run), BATCH):
            yield run[start : start + BATCH]


def _record(event: ConnectionOpened) -> bytes:
    return orjson.dumps(
        {
            "id": event.connection,
            "keyHash": event.key_hash,
            "user": event.user or "",
            "gateway": event.gateway,
            "slot": str(event.slot),
            "address": event.address,
            "connectedAt": str(event.connected_at),
            "lastSeen": str(event.at),
        }
    )


def room_keys(room: RoomId) -> list[str]:
    """The room, its members, the rooms of its channel."""
    channel = room.partition(":")[0]
    return [redis_keys.room(room), redis_keys.room_members(room), _ROOM[-1].replace("%s", channel)]
