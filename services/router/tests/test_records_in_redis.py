"""The registry, the reaper and the bridge of a router process, against a real Redis."""

from __future__ import annotations

import json
import time

import pytest

from common import redis_keys
from common.channels import Channel
from common.deliveries import decode_delivery
from common.events import (
    ConnectionClosed,
    ConnectionOpened,
    ConnectionsSeen,
    Subscribed,
    Unsubscribed,
)
from common.identifiers import KeyHash, RoomId, Slot, new_connection_id
from common.rooms import Room
from common.topics import interest_key
from services.router.tests.outside import FakeGateway, Outside
from services.router.tests.strategies import room
from tests.support.records import Records
from tests.support.system import System
from tests.support.waiting import eventually

ROOM = room(Channel.PRICES, {"tokenIds": ["coingecko:bitcoin"]})


@pytest.fixture(autouse=True, scope="module")
def router(system: System):
    return system.start("router")


@pytest.fixture
async def records(system: System):
    async with system.records() as records:
        yield records


class Connection:
    """One connection of a gateway, as its events tell of it."""

    def __init__(self, outside: Outside, gateway: FakeGateway) -> None:
        self.outside, self.id = outside, new_connection_id()
        self.head = {"slot": gateway.slot, "epoch": gateway.epoch, "at": 1_000}
        self.gateway = gateway

    async def opened(self, **given) -> None:
        event = ConnectionOpened(
            **{**self.head, **given},
            connection=self.id,
            gateway=self.gateway.name,
            key_hash=KeyHash("ab" * 32),
            user="alice",
            address="10.0.0.1",
            connected_at=1_000,
        )
        await self.outside.emit(self.outside.topics.connections_events, event, self.id)

    async def closed(self) -> None:
        event = ConnectionClosed(**self.head, connection=self.id, code=1000)
        await self.outside.emit(self.outside.topics.connections_events, event, self.id)

    async def seen(self, at: int) -> None:
        event = ConnectionsSeen(**{**self.head, "at": at}, connections=[self.id])
        await self.outside.emit(self.outside.topics.connections_events, event, str(self.gateway.slot))

    async def subscribed(self, the_room: Room = ROOM) -> None:
        event = Subscribed(
            **self.head,
            connection=self.id,
            room=the_room.id,
            channel=the_room.channel,
            filter=the_room.filter.to_json(),
        )
        await self.outside.emit(self.outside.topics.subscriptions_events, event, self.id)

    async def unsubscribed(self, the_room: Room = ROOM) -> None:
        event = Unsubscribed(**self.head, connection=self.id, room=the_room.id)
        await self.outside.emit(self.outside.topics.subscriptions_events, event, self.id)


@pytest.fixture
async def connection(outside: Outside) -> Connection:
    return Connection(outside, FakeGateway(outside, 5, time.time_ns() // 1_000_000))


async def field(records: Records, connection: Connection, name: str, value: str) -> None:
    async def equal() -> bool:
        return (await records.connection(connection.id)).get(name) == value

    await eventually(equal, f"{name} is {value}")


async def test_a_connection_is_recorded_with_a_time_to_live(records: Records, connection: Connection):
    await connection.opened()
    found = await records.until_recorded(connection.id)
    assert found == {
        "id": connection.id,
        "keyHash": "ab" * 32,
        "user": "alice",
        "gateway": connection.gateway.name,
        "slot": "5",
        "epoch": str(connection.gateway.epoch),
        "address": "10.0.0.1",
        "connectedAt": "1000",
        "lastSeen": "1000",
    }
    assert 24 * 3600 - 60 < await records.ttl(connection.id) <= 24 * 3600
    assert connection.id in await records.connections()


async def test_being_seen_moves_the_time_of_a_connection_on_record_and_makes_none(
    outside: Outside, records: Records, connection: Connection
):
    unknown = Connection(outside, connection.gateway)
    await connection.opened()
    # Seen has another key, so another partition: only what is on record is sure to come before it.
    await records.until_recorded(connection.id)
    await unknown.seen(2_000)
    await connection.seen(2_000)
    await field(records, connection, "lastSeen", "2000")
    assert await records.connection(unknown.id) == {}


async def test_rooms_have_their_members_and_go_with_the_last_one(
    outside: Outside, records: Records, connection: Connection
):
    the_room = room(Channel.TVL, {"protocolIds": ["aave"], "minValue": 5})
    other = Connection(outside, connection.gateway)
    for each in (connection, other):
        await each.opened()
        await each.subscribed(the_room)
        await records.until_member(each.id, the_room.id)
    assert await records.redis.hgetall(redis_keys.room(the_room.id)) == {
        "channel": "tvl",
        "filter": '{"minValue":5,"protocolIds":["aave"]}',
    }
    assert the_room.id in await records.rooms("tvl")

    await connection.unsubscribed(the_room)
    await other.closed()
    await records.until_gone(other.id)

    async def gone() -> bool:
        keys = [redis_keys.room(the_room.id), redis_keys.room_members(the_room.id)]
        return not await records.redis.exists(*keys) and the_room.id not in await records.rooms("tvl")

    await eventually(gone, "the room is gone")
    assert (await records.connection(connection.id))["subscriptions"] == ""


async def test_subscriptions_are_listed_in_the_connections_record(records: Records, connection: Connection):
    second = room(Channel.PRICES, {})
    await connection.subscribed()
    await connection.subscribed()
    await connection.subscribed(second)
    await connection.opened()
    await field(records, connection, "subscriptions", f"{ROOM.id} {second.id}")
    await field(records, connection, "user", "alice")


async def test_what_comes_after_the_close_brings_nothing_back(
    outside: Outside, records: Records, connection: Connection
):
    await connection.opened()
    await connection.subscribed()
    await records.until_member(connection.id, ROOM.id)
    await connection.closed()
    await records.until_gone(connection.id)
    await connection.subscribed()
    await connection.opened()
    later = Connection(outside, connection.gateway)
    for event in (later.opened, later.subscribed):
        await event()

    # Same topics, other partitions: wait for a marker on each, then look.
    await records.until_member(later.id, ROOM.id)
    for _ in range(20):
        await connection.seen(3_000)
    await later.seen(3_000)
    await field(records, later, "lastSeen", "3000")
    await records.until_gone(connection.id)


async def test_events_of_an_older_lease_of_the_slot_are_void(
    outside: Outside, records: Records, connection: Connection
):
    await records.redis.hset(
        redis_keys.slot(Slot(4)), mapping={"gateway": "gw-new", "epoch": 2_000, "expiresAt": 2**52}
    )
    late = Connection(outside, FakeGateway(outside, 4, 1_999))
    good = Connection(outside, FakeGateway(outside, 4, 2_000))
    await late.opened()
    await late.subscribed()
    await good.opened()
    await records.until_recorded(good.id)
    await late.opened()
    await good.seen(7)
    await field(records, good, "lastSeen", "7")
    assert await records.connection(late.id) == {}
    assert await records.traces(late.id) == []


async def test_records_that_cannot_be_read_are_passed_over(outside: Outside, records: Records, connection: Connection):
    for topic in (
        outside.topics.connections_events,
        outside.topics.subscriptions_events,
        outside.topics.rooms_interest,
    ):
        for value in (b"nonsense", b"{}", b'{"kind":"opened"}', b"\xff"):
            await outside.send(topic, value, connection.id.encode())
    await connection.opened()
    await records.until_recorded(connection.id)


async def test_interest_is_recorded_with_the_offsets_read(outside: Outside, records: Records):
    gateway = await outside.gateway(3)
    the_room, request = await gateway.want("prices", {"tokenIds": ["recorded"]})

    async def held() -> dict[str, str]:
        found: dict[str, str] = await records.redis.hgetall(redis_keys.slot_rooms(Slot(3)))
        return found

    async def recorded() -> bool:
        return the_room.id in await held()

    await eventually(recorded, "the room is on record")
    assert json.loads((await held())[the_room.id])["request"] == request
    await gateway.leave(the_room.id)

    async def gone() -> bool:
        return the_room.id not in await held()

    await eventually(gone, "the room is off the record")

    async def all_read() -> bool:
        offsets = await records.redis.hgetall(redis_keys.INTEREST_OFFSETS)
        last = await outside.send(outside.topics.rooms_interest, None, interest_key(Slot(3), RoomId("prices:0")))
        return int(offsets.get(str(last.partition), 0)) >= int(last.offset)

    await eventually(all_read, "the offsets follow")


async def test_a_router_that_starts_knows_rooms_from_redis(outside: Outside, records: Records, system: System):
    gateway = await outside.gateway(2)
    await gateway.activated("governance", {"protocolIds": ["lido"]})

    async def recorded() -> bool:
        return bool(await records.redis.hlen(redis_keys.slot_rooms(Slot(2))))

    await eventually(recorded, "the room is on record")
    second = system.start("router")
    assert "index_from_redis" in [line["event"] for line in second.log()]
    for number in range(8):
        await outside.publish("governance", {"type": "governance", "protocolId": "lido"}, key=f"k{number}")
    await gateway.until(lambda g: len({body["id"] for body in g.bodies()}) == 8, "both routers deliver", limit=30)
    assert second.stop() == 0


async def holder(records: Records, slot: Slot) -> str | None:
    """The gateway that a slot's lease names."""
    name: str | None = await records.redis.hget(redis_keys.slot(slot), "gateway")
    return name


async def test_a_dead_gateways_slot_is_emptied(outside: Outside, records: Records, connection: Connection):
    slot, epoch = Slot(7), time.time_ns() // 1_000_000
    dead = await outside.gateway(7, epoch=epoch)
    left, kept = Connection(outside, dead), connection
    the_room, _ = await dead.want("prices", {"tokenIds": ["of-the-dead"]})
    for each in (left, kept):
        await each.opened()
        await each.subscribed(the_room)
        await records.until_member(each.id, the_room.id)

    await records.redis.hset(redis_keys.slot(slot), "expiresAt", epoch)
    await records.until_gone(left.id, limit=10)

    async def free() -> bool:
        return await holder(records, slot) == ""

    await eventually(free, "the slot is free")
    found = await records.redis.hgetall(redis_keys.slot(slot))
    assert int(found["epoch"]) > epoch
    assert not await records.redis.exists(redis_keys.slot_rooms(slot), redis_keys.slot_connections(slot))
    assert await records.members(the_room.id) == {kept.id}
    interest = await outside.everything_in(outside.topics.rooms_interest)
    assert [record.value for record in interest if record.key == interest_key(slot, the_room.id)][-1] is None


async def test_a_gateway_that_lives_hears_in_its_slot_that_it_was_taken(outside: Outside, records: Records):
    slot, epoch = Slot(5), time.time_ns() // 1_000_000
    late = await outside.gateway(5, epoch=epoch)
    await records.redis.hset(redis_keys.slot(slot), "expiresAt", epoch)

    async def free() -> bool:
        return await holder(records, slot) == ""

    await eventually(free, "the slot is free")
    told = await outside.everything_in(outside.topics.deliveries)
    epochs = [decode_delivery(record.value).slot_epoch for record in told if record.partition == slot]
    assert epochs[-1] == int(await records.redis.hget(redis_keys.slot(slot), "epoch")) > late.epoch


async def test_a_lease_that_is_renewed_in_time_is_left_alone(records: Records, outside: Outside):
    slot = Slot(6)
    seconds, micros = await records.redis.time()
    now = seconds * 1000 + micros // 1000
    lease = {"gateway": "gw-late", "epoch": 5, "expiresAt": now - 1}
    await records.redis.hset(redis_keys.slot(slot), mapping=lease)
    await records.redis.hset(redis_keys.slot(slot), "expiresAt", now + 60_000)
    # Another slot goes meanwhile, so the reaper has looked.
    await records.redis.hset(redis_keys.slot(Slot(0)), mapping={"gateway": "gw-dead", "epoch": 5, "expiresAt": 1})

    async def reaped() -> bool:
        return await holder(records, Slot(0)) == ""

    await eventually(reaped, "the other slot is taken")
    assert (await records.redis.hgetall(redis_keys.slot(slot)))["epoch"] == "5"


async def test_published_messages_are_bridged_to_their_topics_once(outside: Outside, records: Records, system: System):
    second = system.start("router")
    gateway = await outside.gateway(1)
    await gateway.activated("prices", {"tokenIds": ["bridged"]})
    update = {"type": "price_update", "tokenId": "bridged", "value": 1}

    async def subscribers() -> bool:
        return int(await records.redis.publish("events:prices", json.dumps(update))) >= 1

    await eventually(subscribers, "a router listens")
    await gateway.until(lambda g: len(g.bodies()) == 1, "the update is delivered")
    await records.redis.publish("events:prices", json.dumps({**update, "value": 2}))
    await gateway.until(lambda g: len(g.bodies()) == 2, "the next one is delivered")
    assert [body["value"] for body in gateway.bodies()] == [1, 2]
    assert second.stop() == 0


@pytest.mark.parametrize(
    ("channel", "text", "reason"),
    [
        ("events:prices", "nonsense", "not JSON"),
        ("events:nowhere", '{"type":"price_update"}', "unknown channel"),
        ("events:tvl", '{"type":"price_update"}', "channel"),
        ("events:system", '{"type":"price_update"}', "broadcast"),
        ("events:prices", b"\xff", "UTF-8"),
    ],
)
async def test_published_messages_that_are_no_updates_are_set_aside(
    outside: Outside, records: Records, channel: str, text: str | bytes, reason: str
):
    async def subscribers() -> bool:
        return int(await records.redis.publish(channel, text)) >= 1

    await eventually(subscribers, "a router listens")

    async def set_aside() -> bool:
        letters = await outside.everything_in(outside.topics.dead_letter)
        found = [{name: value.decode() for name, value in letter.headers} for letter in letters]
        return any(each["topic"] == f"redis:{channel}" and reason in each["reason"] for each in found)

    await eventually(set_aside, "the message is set aside")


async def test_a_published_broadcast_is_an_operators_message(outside: Outside, records: Records):
    for channel, data in (("events:broadcast", 1), ("events:prices", 2), ("events:system", 3)):

        async def subscribers(channel: str = channel, data: int = data) -> bool:
            return int(await records.redis.publish(channel, json.dumps({"type": "broadcast", "data": data}))) >= 1

        await eventually(subscribers, "a router listens")

    async def all_there() -> bool:
        found = [json.loads(record.value)["data"] for record in await outside.everything_in(outside.topics.system)]
        return {1, 2, 3} <= set(found)

    await eventually(all_there, "all are in the system topic")
