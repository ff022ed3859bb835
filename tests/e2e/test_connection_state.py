"""Acceptance criterion "connection state": Redis knows who is connected, and forgets who is not."""

from __future__ import annotations

import json

from common.identifiers import hash_api_key
from tests.support.client import Client
from tests.support.connect import Connect
from tests.support.raw_socket import RawSocket
from tests.support.records import Records
from tests.support.samples import now_ms, unique
from tests.support.system import GatewayFactory, System
from tests.support.waiting import eventually

LEASE_SECONDS = 15.0


def _id(client: Client) -> str:
    connection_id: str = client.messages[0]["connectionId"]
    return connection_id


async def test_connection_is_recorded_with_key_hash_user_and_times(connect: Connect, system: System, records: Records):
    client = await connect(system.key("bob"))
    record = await records.until_recorded(_id(client))
    assert record["keyHash"] == hash_api_key(system.key("bob"), system.environment["API_KEY_PEPPER"])
    assert (record["user"], record["address"]) == ("bob", "127.0.0.1")
    assert abs(int(record["connectedAt"]) - now_ms()) < 10_000
    assert int(record["lastSeen"]) >= int(record["connectedAt"])
    assert _id(client) in await records.connections()


async def test_record_has_a_time_to_live_of_a_day(connect: Connect, records: Records):
    client = await connect()
    await records.until_recorded(_id(client))
    assert 23 * 3600 < await records.ttl(_id(client)) <= 24 * 3600


async def test_subscriptions_are_recorded_and_taken_off(connect: Connect, records: Records):
    client = await connect()
    first = await client.subscribe("prices", {"tokenIds": [unique("token")]})
    second = await client.subscribe("alerts", {"minValue": 12.5, "protocolIds": [unique("protocol")]})
    for subscribed in (first, second):
        await records.until_member(_id(client), subscribed["room"])
    record = await records.connection(_id(client))
    assert set(record["subscriptions"].split()) == {first["room"], second["room"]}
    room = await records.redis.hgetall(f"ws:room:{second['room']}")
    assert (room["channel"], json.loads(room["filter"])) == ("alerts", second["filters"])
    assert second["room"] in await records.rooms("alerts")
    await client.unsubscribe(room=first["room"])

    async def taken_off() -> bool:
        return (await records.connection(_id(client)))["subscriptions"].split() == [second["room"]]

    await eventually(taken_off, "only the second subscription is left")
    assert await records.members(first["room"]) == set()


async def test_room_without_members_is_forgotten(connect: Connect, records: Records):
    client = await connect()
    subscribed = await client.subscribe("tvl", {"protocolIds": [unique("protocol")]})
    await records.until_member(_id(client), subscribed["room"])
    await client.unsubscribe(room=subscribed["room"])

    async def forgotten() -> bool:
        return subscribed["room"] not in await records.rooms("tvl") and not await records.redis.exists(
            f"ws:room:{subscribed['room']}"
        )

    await eventually(forgotten, "the empty room is gone")


async def test_heartbeats_move_last_seen(connect: Connect, records: Records):
    client = await connect()
    first = int((await records.until_recorded(_id(client)))["lastSeen"])

    async def moved() -> bool:
        return int((await records.connection(_id(client)))["lastSeen"]) > first

    await eventually(moved, "a later lastSeen")


async def test_closed_connection_is_cleaned_up(connect: Connect, records: Records):
    client = await connect()
    subscribed = await client.subscribe("prices", {"tokenIds": [unique("token")]})
    await records.until_member(_id(client), subscribed["room"])
    await client.close()
    await records.until_gone(_id(client))


async def test_reset_connection_is_cleaned_up(connect: Connect, records: Records):
    client = await connect()
    subscribed = await client.subscribe("prices", {"tokenIds": [unique("token")]})
    await records.until_member(_id(client), subscribed["room"])
    client.vanish()
    await records.until_gone(_id(client))


async def test_dead_connection_is_closed_as_idle_and_cleaned_up(
    gateway_with: GatewayFactory, system: System, records: Records
):
    gateway = gateway_with(gateway_heartbeat_interval="300ms", gateway_idle_timeout="1s")
    dead = await RawSocket.open(f"{gateway.realtime}?apiKey={system.key()}")
    connection_id = json.loads(await dead.frame_with(b'"welcome"'))["connectionId"]
    await records.until_recorded(connection_id)
    assert await dead.close_code() == 4002
    await records.until_gone(connection_id)
    dead.close()


async def test_connections_of_a_killed_gateway_are_cleaned_up_within_the_lease(
    system: System, connect: Connect, records: Records
):
    doomed = system.start_apart("gateway")
    clients = [await connect(gateway=doomed) for _ in range(3)]
    rooms = {(await client.subscribe("prices", {"tokenIds": [unique("token")]}))["room"] for client in clients}
    for client, room in zip(clients, rooms, strict=True):
        await records.until_recorded(_id(client))
        assert room
    survivor = await connect()
    await records.until_recorded(_id(survivor))
    doomed.kill()
    await records.until_gone(*map(_id, clients), limit=LEASE_SECONDS)
    assert not rooms & await records.rooms("prices")
    assert _id(survivor) in await records.connections()
