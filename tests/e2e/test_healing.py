"""Redis emptied, or records in it lost or left over: they become what is true again, while updates flow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from common import redis_keys
from common.channels import Channel
from common.identifiers import ConnectionId, RoomId, Slot
from tests.support.client import Client
from tests.support.connect import Connect
from tests.support.records import Records
from tests.support.samples import unique, update
from tests.support.system import Service, System
from tests.support.waiting import eventually

WITHIN = 30.0


@dataclass(frozen=True, slots=True)
class Held:
    """A client in one room of its own."""

    client: Client
    token: str
    room: str

    @property
    def id(self) -> str:
        return str(self.client.messages[0]["connectionId"])


@dataclass(slots=True)
class World:
    system: System
    connect: Connect
    records: Records

    async def held(self, gateway: Service | None = None) -> Held:
        client, token = await self.connect(gateway=gateway), unique("token")
        answer = await client.subscribe("prices", {"tokenIds": [token]})
        held = Held(client, token, answer["room"])
        await self.until_recorded(held)
        return held

    async def until_recorded(self, held: Held) -> None:
        async def recorded() -> bool:
            record = await self.records.connection(held.id)
            return (
                record.get("subscriptions") == held.room
                and record.get("user") == "alice"
                and held.id in await self.records.connections()
                and await self.records.members(held.room) == {held.id}
                and held.room in await self.records.rooms("prices")
                and held.room in await self.interest(record["slot"])
                and await self.records.redis.exists(redis_keys.room(RoomId(held.room))) == 1
            )

        await eventually(recorded, f"{held.id} and its room are on record", limit=WITHIN)

    async def interest(self, slot: str) -> set[str]:
        return set(await self.records.redis.hkeys(redis_keys.slot_rooms(Slot(int(slot)))))

    async def is_delivered(self, *all_held: Held) -> None:
        async with self.system.producer() as producer:
            for held in all_held:
                await held.client.expect_updates(await producer.publish(update("prices", tokenId=held.token)))


@pytest.fixture
async def world(own_system: System) -> AsyncIterator[World]:
    own_system.environment = {
        **own_system.environment,
        "GATEWAY_COMPARISON_INTERVAL": "3s",
        "ROUTER_SWEEP_INTERVAL": "2s",
    }
    await own_system.start_all_meanwhile()
    async with Connect(own_system) as connect, own_system.records() as records:
        yield World(own_system, connect, records)


async def test_records_come_back_after_redis_was_emptied_and_go_with_their_connections(world: World):
    all_held = [await world.held() for _ in range(3)]
    await world.records.redis.flushdb()
    await world.is_delivered(*all_held)
    for held in all_held:
        await world.until_recorded(held)
    assert world.system.gateway.count("gateway_records_repaired_total") > 0
    gone, *_others = all_held
    await gone.client.close()
    await world.records.until_gone(gone.id)


async def test_records_become_true_again_after_redis_was_put_back_to_what_it_was(world: World):
    kept, gone, redis = await world.held(), await world.held(), world.records.redis
    # But for leases, which would have ended by then.
    lasting = set(await redis.keys()) - {redis_keys.SWEEP_LEASE, redis_keys.BRIDGE_LEASE}
    saved = {key: f"saved:{key}" for key in lasting}
    for key, copy in saved.items():
        await redis.copy(key, copy)
    later = await world.held()
    await gone.client.close()

    async def left() -> bool:
        return gone.id not in await world.records.connections()

    await eventually(left, "who left is off the record")
    async with redis.pipeline(transaction=True) as pipe:
        pipe.delete(*(key for key in await redis.keys() if key not in saved.values()))
        for key, copy in saved.items():
            pipe.rename(copy, key)
        await pipe.execute()
    assert gone.id in await world.records.connections()

    await world.is_delivered(kept, later)
    await world.records.until_gone(gone.id, limit=WITHIN)
    for held in (kept, later):
        await world.until_recorded(held)


async def test_stalled_gateway_whose_slot_was_taken_serves_again_when_redis_was_emptied_meanwhile(world: World):
    gateway = await world.system.start_meanwhile("gateway", slot_lease="5s")
    held, redis = await world.held(gateway), world.records.redis
    slot = Slot(int((await world.records.connection(held.id))["slot"]))

    async def taken() -> bool:
        return bool(await redis.hget(redis_keys.slot(slot), "gateway") == "")

    gateway.freeze()
    try:
        await eventually(taken, "its slot is free", limit=WITHIN)
        await redis.flushdb()
    finally:
        gateway.thaw()
    assert await held.client.closed(within=15) == 4004
    await asyncio.to_thread(gateway.wait_ready)
    await world.is_delivered(await world.held(gateway))


async def test_single_records_that_were_lost_or_left_over_are_mended(world: World):
    lost, unlisted, kept = [await world.held() for _ in range(3)]
    redis, slot = world.records.redis, (await world.records.connection(lost.id))["slot"]
    left, nowhere = unique("left"), f"prices:{unique('room')}"
    await redis.delete(redis_keys.connection(ConnectionId(lost.id)))
    await redis.srem(redis_keys.room_members(RoomId(unlisted.room)), unlisted.id)
    await redis.hdel(redis_keys.slot_rooms(Slot(int(slot))), kept.room)
    await redis.sadd(redis_keys.slot_connections(Slot(int(slot))), left)
    await redis.sadd(redis_keys.room_members(RoomId(kept.room)), left)
    await redis.sadd(redis_keys.CONNECTIONS, left)
    await redis.sadd(redis_keys.channel_rooms(Channel.PRICES), nowhere)
    for held in (lost, unlisted, kept):
        await world.until_recorded(held)
    await world.records.until_gone(left, limit=WITHIN)

    async def no_empty_room() -> bool:
        return nowhere not in await world.records.rooms("prices")

    await eventually(no_empty_room, "the room without members is gone", limit=WITHIN)
    await world.is_delivered(lost, unlisted, kept)
