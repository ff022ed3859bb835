"""Acceptance criterion "broadcast": by Kafka, HTTP and Redis pub/sub, to everyone and to a channel; a bad socket hurts no other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx
import pytest

from tests.support.client import Client
from tests.support.connect import Connect, settle
from tests.support.producer import Producer
from tests.support.raw_socket import RawSocket
from tests.support.records import Records
from tests.support.samples import unique, update
from tests.support.system import GatewayFactory, System

Broadcast = Callable[[str, Mapping[str, Any]], Awaitable[None]]
"""Hands a message for a channel (or `system`) to the product."""

WAYS_IN = ["kafka", "http", "redis"]


@pytest.fixture
def way_in(
    request: pytest.FixtureRequest, producer: Producer, http: httpx.AsyncClient, records: Records, system: System
) -> Broadcast:
    async def by_kafka(channel: str, message: Mapping[str, Any]) -> None:
        await producer.write(channel, json.dumps(message).encode(), key=unique("key"))

    async def by_http(_channel: str, message: Mapping[str, Any]) -> None:
        answer = await http.post("/v2/broadcast", json=message, headers={"x-api-key": system.key("desk", "broadcast")})
        assert answer.status_code == 202, answer.text

    async def by_redis(channel: str, message: Mapping[str, Any]) -> None:
        assert await records.redis.publish(f"events:{channel}", json.dumps(message)) == 1

    ways: dict[str, Broadcast] = {"kafka": by_kafka, "http": by_http, "redis": by_redis}
    return ways[request.param]


@pytest.mark.parametrize("way_in", WAYS_IN, indirect=True)
async def test_update_comes_in_and_goes_once_to_each_that_matches(
    way_in: Broadcast, connect: Connect, producer: Producer, system: System
):
    token = unique("token")
    clients = [await connect(gateway=gateway) for gateway in system.gateways]
    for client in clients:
        await client.subscribe("prices", {"tokenIds": [token]})
    await way_in("prices", update("prices", tokenId=token, value=7, data={"x": 1}))
    for client in clients:
        await client.expect_number_of_updates(1)
    await settle(producer, "prices", *clients)
    for client in clients:
        (heard,) = [each for each in client.updates if each["tokenId"] == token]
        assert (heard["value"], heard["data"]) == (7, {"x": 1})


@pytest.mark.parametrize("way_in", WAYS_IN, indirect=True)
async def test_operator_message_to_everyone_reaches_every_connection_with_or_without_subscriptions(
    way_in: Broadcast, connect: Connect, system: System
):
    keys = (system.key("alice"), system.key("bob", "channel:tvl"))
    clients = [await connect(key, gateway=gateway) for gateway in system.gateways for key in keys]
    await clients[0].subscribe("prices")
    data = {"text": unique("maintenance"), "deep": [1, {"a": None}]}
    await way_in("system", {"type": "broadcast", "data": data})
    for client in clients:
        heard = await _operator_message(client, data)
        assert "channel" not in heard


@pytest.mark.parametrize("way_in", WAYS_IN, indirect=True)
async def test_operator_message_to_a_channel_reaches_its_subscribers_only(
    way_in: Broadcast, connect: Connect, system: System
):
    inside = [await connect(gateway=gateway) for gateway in system.gateways]
    for client in inside:
        await client.subscribe("governance", {"protocolIds": [unique("protocol")]})
        await client.subscribe("governance", {"protocolIds": [unique("protocol")]})
    outside = await connect()
    await outside.subscribe("prices")
    data = {"text": unique("vote")}
    await way_in("system", {"type": "broadcast", "channel": "governance", "data": data})
    for client in inside:
        assert (await _operator_message(client, data))["channel"] == "governance"
    after = {"text": unique("after")}
    await way_in("system", {"type": "broadcast", "data": after})
    for client in (*inside, outside):
        await _operator_message(client, after)
    assert [_count(client, data) for client in (*inside, outside)] == [1, 1, 0]


async def test_unauthenticated_connections_get_no_broadcast(connect: Connect, http: httpx.AsyncClient, system: System):
    stranger, known, data = await connect.unauthenticated(), await connect(), unique("maintenance")
    headers = {"x-api-key": system.key("desk", "broadcast")}
    await http.post("/v2/broadcast", json={"type": "broadcast", "data": data}, headers=headers)
    await _operator_message(known, data)
    await stranger.command("ping")
    assert _count(stranger, data) == 0


async def test_two_routers_bridge_a_redis_message_only_once(
    connect: Connect, producer: Producer, records: Records, system: System
):
    second = system.start("router")
    try:
        client, token = await connect(), unique("token")
        await client.subscribe("prices", {"tokenIds": [token]})
        assert await records.redis.publish("events:prices", json.dumps(update("prices", tokenId=token))) == 1
        await client.expect_number_of_updates(1)
        await settle(producer, "prices", client)
        assert len([each for each in client.updates if each["tokenId"] == token]) == 1
    finally:
        assert await asyncio.to_thread(second.stop) == 0


async def test_failed_delivery_to_one_socket_hurts_no_other_and_is_counted(
    gateway_with: GatewayFactory, connect: Connect, producer: Producer, system: System
):
    gateway, protocol = gateway_with(gateway_outbox_bytes="65536"), unique("protocol")
    bad = [await RawSocket.open(f"{gateway.realtime}?apiKey={system.key()}") for _ in range(3)]
    for socket in bad:
        await socket.say({"type": "subscribe", "channel": "alerts", "filters": {"protocolIds": [protocol]}})
        await socket.frame_with(b'"subscribed"')
    good = [await connect(gateway=gateway) for _ in range(3)]
    for client in good:
        await client.subscribe("alerts", {"protocolIds": [protocol]})
    failed = _failed(gateway.metrics())
    body = update("alerts", protocolId=protocol, data="x" * 60_000)
    async with asyncio.timeout(30):
        while _failed(await asyncio.to_thread(gateway.metrics)) < failed + len(bad):
            published = await asyncio.gather(*(producer.publish(body) for _ in range(10)))
            for client in good:
                await client.expect_updates(*published)
    for socket in bad:
        socket.close()
    await settle(producer, "alerts", *good)
    heard = [[each["id"] for each in client.updates if each.get("protocolId") == protocol] for client in good]
    assert all(len(ids) == len(set(ids)) for ids in heard)
    assert set(heard[0]) == set(heard[1]) == set(heard[2])


def _failed(metrics: Mapping[str, float]) -> float:
    """Sockets that could not be given what they should have got."""
    return metrics["gateway_slow_consumers_total"] + metrics["gateway_sends_failed_total"]


async def _operator_message(client: Client, data: object) -> dict[str, Any]:
    """The broadcast that carries this data."""
    await client.until(lambda: _count(client, data) > 0, f"the broadcast {data}")
    return next(each for each in client.messages if each["type"] == "broadcast" and each["data"] == data)


def _count(client: Client, data: object) -> int:
    return sum(1 for each in client.messages if each["type"] == "broadcast" and each["data"] == data)
