"""The registry and a Redis that is emptied in the midst of a write: what was before is read again from the topic."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition

from common import redis_keys
from common.channels import Channel
from common.identifiers import Slot
from common.rooms import Room
from common.topics import interest_key
from router.interest import Change
from router.records import Records
from router.registry import Registry
from router.settings import RouterSettings
from services.router.tests.strategies import interest, room

SETTINGS = RouterSettings()
TOPIC = SETTINGS.topics().rooms_interest
SLOT = Slot(1)
ROOMS = [room(Channel.PRICES, {"minValue": value}) for value in range(6)]


class EmptiedOnce(Records):
    """Redis is emptied right after the offsets were read, the first time that there are any."""

    def __init__(self, redis: Any) -> None:
        super().__init__(redis)
        self._is_emptied = False

    async def interest_offsets(self) -> dict[int, int]:
        found = await super().interest_offsets()
        if found and not self._is_emptied:
            self._is_emptied = True
            await self._redis.flushdb()
        return found


class Consumer:
    """Where the registry goes on."""

    def __init__(self) -> None:
        self.sought: dict[TopicPartition, int] = {}

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.sought[partition] = offset


def record(offset: int, the_room: Room) -> ConsumerRecord[Any, Any]:
    key, value = interest_key(SLOT, the_room.id), interest(the_room, slot=SLOT).encode()
    return ConsumerRecord(TOPIC, 0, offset, 0, 0, key, value, None, len(key), len(value), ())


async def test_rooms_that_went_right_before_a_write_do_not_seem_to_be_there(store: Any):
    consumer = Consumer()
    registry, records = Registry(SETTINGS, EmptiedOnce(store)), Records(store)
    log = [record(offset, the_room) for offset, the_room in enumerate(ROOMS)]

    await registry.handle(log[:4], consumer)
    await registry.handle(log[4:], consumer)

    assert await records.interest_offsets() == {}
    assert consumer.sought == {TopicPartition(TOPIC, 0): 0}

    await registry.handle(log, consumer)
    assert await records.interest_offsets() == {0: 6}
    assert set(await store.hkeys(redis_keys.slot_rooms(SLOT))) == {each.id for each in ROOMS}


class Interrupted(Records):
    """Something happens between the look at the offsets and the write, the first time that a room is written."""

    def __init__(self, redis: Any, happens: Callable[[], Awaitable[Any]]) -> None:
        super().__init__(redis)
        self._happens: Callable[[], Awaitable[Any]] | None = happens

    async def _add_interest(self, pipe: Any, change: Change) -> None:
        happens, self._happens = self._happens, None
        if happens is not None:
            await happens()
        await super()._add_interest(pipe, change)


async def test_nothing_is_written_where_redis_is_emptied_in_the_midst_of_a_write(store: Any):
    records = Records(store)
    await records.write_interest([], {0: 4}, seen={})

    change = interest(ROOMS[4], slot=SLOT)
    assert not await Interrupted(store, store.flushdb).write_interest([change], {0: 5}, seen={0: 4})

    assert await store.keys() == []


async def test_another_registry_that_writes_at_the_same_moment_is_no_loss(store: Any):
    records = Records(store)
    await records.write_interest([], {0: 4, 1: 2}, seen={})

    async def other() -> None:
        await records.write_interest([interest(ROOMS[1], slot=SLOT)], {1: 3}, seen={1: 2})

    assert await Interrupted(store, other).write_interest([interest(ROOMS[0], slot=SLOT)], {0: 5}, seen={0: 4})

    assert await records.interest_offsets() == {0: 5, 1: 3}
    assert set(await store.hkeys(redis_keys.slot_rooms(SLOT))) == {ROOMS[0].id, ROOMS[1].id}
