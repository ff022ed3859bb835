"""Acceptance criterion "connect": the endpoint, every way of giving a key, and what happens without a good one."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from websockets.exceptions import InvalidStatus

from common.kafka import partitions_of
from tests.support.client import WAYS, Client, Introduction
from tests.support.connect import Connect
from tests.support.records import Records
from tests.support.samples import now_ms, unique
from tests.support.system import GatewayFactory, System

FIRST_MESSAGES = [name for name, way in WAYS.items() if way("k").first is not None]
CONTROL_TOPICS = [
    "connections.events",
    "subscriptions.events",
    "rooms.interest",
    "auth.requests",
    "auth.replies",
    "auth.revocations",
]
AT_HANDSHAKE = [name for name in WAYS if name not in FIRST_MESSAGES]


async def test_endpoint_v2_realtime_welcomes_at_once_with_its_limits(connect: Connect):
    client = await connect.unauthenticated()
    welcome = await client.expect("welcome")
    assert client.messages == [welcome]
    assert welcome["protocol"] == 1
    assert abs(welcome["serverTime"] - now_ms()) < 5_000
    assert welcome["expiresAt"] - welcome["serverTime"] == 24 * 3600 * 1000
    assert (welcome["heartbeatInterval"], welcome["idleTimeout"], welcome["authTimeout"]) == (1_000, 60_000, 10_000)
    assert welcome["limits"] == {
        "messageBytes": 32 * 1024,
        "messagesPerMinute": 1000,
        "subscriptionChangesPerMinute": 60,
        "subscriptions": 100,
        "filterValues": 100,
        "connections": None,
    }


@pytest.mark.parametrize("way", WAYS)
async def test_key_is_taken_from(way: str, connect: Connect, system: System):
    client = await connect.unauthenticated(WAYS[way](system.key("alice", "channel:prices", "broadcast")))
    authenticated = await client.expect("authenticated")
    assert [each["type"] for each in client.messages[:2]] == ["welcome", "authenticated"]
    assert (authenticated["user"], authenticated["permissions"]) == ("alice", ["broadcast", "channel:prices"])
    assert authenticated["limits"]["messagesPerMinute"] is None


async def test_first_found_key_wins(connect: Connect, system: System):
    good, bad = WAYS["authorization_bearer"](system.key()).headers, {"apiKey": "ds_wrong"}
    winner = await connect.unauthenticated(Introduction(headers=good, query=bad))
    await winner.expect("authenticated")
    loser = await connect.unauthenticated(
        Introduction(headers={"x-api-key": "ds_wrong"}, query={"apiKey": system.key()})
    )
    assert await loser.closed() == 4502


async def test_connect_to_authenticated_takes_less_than_two_seconds(connect: Connect):
    begun = time.monotonic()
    await connect()
    assert time.monotonic() - begun < 2.0


@pytest.mark.parametrize("way", WAYS)
async def test_invalid_key_is_refused_with_a_clear_message_and_4502(way: str, connect: Connect):
    client = await connect.unauthenticated(WAYS[way]("ds_nobody-has-this-key"))
    error = await client.expect("error")
    assert (error["code"], error["retryable"]) == ("invalid_api_key", False)
    assert "key" in error["message"].lower()
    assert await client.closed() == 4502


async def test_revoked_key_is_refused_with_4502_or_4503(connect: Connect, system: System):
    key = system.new_key("--user", "alice", "--permission", "*")
    system.revoke(key)
    client = await connect.unauthenticated(WAYS["x_api_key"](key))
    assert (await client.expect("error"))["code"] == "invalid_api_key"
    assert await client.closed() in {4502, 4503}


async def test_no_key_in_time_is_refused_with_4501(gateway_with: GatewayFactory, connect: Connect):
    client = await connect.unauthenticated(gateway=gateway_with(gateway_auth_timeout="300ms"))
    error = await client.expect("error")
    assert error["code"] == "api_key_required"
    assert await client.closed() == 4501


async def test_talking_does_not_put_off_the_authentication_timeout(gateway_with: GatewayFactory, connect: Connect):
    client = await connect.unauthenticated(gateway=gateway_with(gateway_auth_timeout="300ms"))
    for number in range(3):
        await client.send({"type": "ping", "id": number})
        await client.expect("pong", id=number)
    assert await client.closed(within=2) == 4501


async def test_command_sent_with_the_key_in_one_go_is_done_after_authentication(connect: Connect, system: System):
    client = await connect.unauthenticated()
    await client.send({"type": "authenticate", "apiKey": system.key()})
    await client.send({"type": "subscribe", "id": "s", "channel": "prices", "filters": {"tokenIds": [unique("token")]}})
    await client.expect("authenticated")
    await client.expect("subscribed", id="s")


async def test_a_hundred_connections_at_once_are_all_authenticated(system: System, connect: Connect):
    clients = await asyncio.gather(*(connect(gateway=system.gateways[number % 2]) for number in range(100)))
    ids = {client.messages[0]["connectionId"] for client in clients}
    assert len(ids) == 100


async def test_other_paths_have_no_websocket(system: System, http: httpx.AsyncClient):
    assert (await http.get("/v2/other")).status_code == 404
    with pytest.raises(InvalidStatus):
        await Client.open(system.gateway.realtime.replace("/v2/realtime", "/v2/other"))


async def test_plain_http_request_to_the_endpoint_is_told_to_upgrade(http: httpx.AsyncClient):
    answer = await http.get("/v2/realtime")
    assert answer.status_code == 426


async def test_websocket_api_endpoint_moves_the_path(gateway_with: GatewayFactory, system: System):
    gateway = gateway_with(websocket_api_endpoint="/stream/v9")
    client = await Client.open(gateway.realtime.replace("/v2/realtime", "/stream/v9"), WAYS["x_api_key"](system.key()))
    await client.expect("authenticated")
    await client.close()


async def test_key_is_nowhere_in_the_clear(connect: Connect, system: System, records: Records):
    key = system.new_key("--user", "alice", "--permission", "*")
    for way in AT_HANDSHAKE:
        await connect(key, way=way)
    client = await connect(key, way="authenticate_message")
    await records.until_recorded(client.messages[0]["connectionId"])
    secret = key.removeprefix("ds_")
    assert secret not in await records.all_text()
    assert secret not in await _control_records(system)
    assert not [service.name for service in system.services if secret in service.output()]


async def _control_records(system: System) -> str:
    """Keys and values of every record that a gateway or auth has written."""
    prefix = system.environment["TOPIC_PREFIX"]
    bootstrap = system.environment["KAFKA_BOOTSTRAP_SERVERS"]
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, fetch_max_wait_ms=50) as consumer, asyncio.timeout(30):
        names = [f"{prefix}{name}" for name in CONTROL_TOPICS]
        assert set(names) <= await consumer.topics()
        parts = [TopicPartition(name, part) for name in names for part in await partitions_of(consumer, name)]
        consumer.assign(parts)
        ends = await consumer.end_offsets(parts)
        await consumer.seek_to_beginning()
        text: list[str] = []
        while any([await consumer.position(part) < end for part, end in ends.items()]):
            for batch in (await consumer.getmany(timeout_ms=100)).values():
                text += [f"{record.key} {record.value}" for record in batch]
        return "\n".join(text)
