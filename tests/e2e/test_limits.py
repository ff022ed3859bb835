"""Limits of messages, subscription changes, subscriptions, connections; and the close codes that end a connection."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.support.client import WAYS, Client, Introduction
from tests.support.connect import Connect, settle
from tests.support.producer import Producer
from tests.support.raw_socket import RawSocket
from tests.support.records import Records
from tests.support.samples import unique, update
from tests.support.system import GatewayFactory, System

RATE_LIMITED = ()
"""Options of a key that keeps the default limits."""


async def test_message_1001_within_a_minute_is_rate_limited_and_the_connection_stays(connect: Connect, system: System):
    client = await connect(system.key("limited", options=RATE_LIMITED))
    for number in range(1001):
        await client.send({"type": "ping", "id": number})
    error = await client.expect("error")
    assert (error["code"], error["retryable"]) == ("rate_limited", True)
    assert 0 < error["retryAfterMs"] <= 60_000
    assert "1000" in error["message"]
    assert sum(1 for each in client.messages if each["type"] == "pong") == 1000
    assert client.is_open


async def test_twice_the_messages_of_the_limit_are_closed_with_4005(
    gateway_with: GatewayFactory, connect: Connect, system: System
):
    gateway = gateway_with(
        gateway_messages_per_minute="20", gateway_subscription_changes_per_minute="5", gateway_max_subscriptions="3"
    )
    client = await connect(system.key("limited", options=RATE_LIMITED), gateway=gateway)
    for number in range(41):
        await client.send({"type": "ping", "id": number})
    assert await client.closed() == 4005
    assert client.messages[-1]["code"] == "rate_limited"


async def test_subscription_changes_above_the_limit_are_rate_limited(
    gateway_with: GatewayFactory, connect: Connect, system: System
):
    gateway = gateway_with(
        gateway_messages_per_minute="20", gateway_subscription_changes_per_minute="5", gateway_max_subscriptions="3"
    )
    client = await connect(system.key("limited", options=RATE_LIMITED), gateway=gateway)
    room = (await client.subscribe("prices", {"tokenIds": [unique("token")]}))["room"]
    for _ in range(2):
        await client.unsubscribe(room=room)
        await client.subscribe("prices", {"tokenIds": [unique("token")]})
        room = (await client.subscriptions())[-1]["room"]
    error = await client.refused("subscribe", channel="tvl")
    assert (error["code"], error["retryable"]) == ("rate_limited", True)
    assert 0 < error["retryAfterMs"] <= 60_000
    assert [each["room"] for each in await client.subscriptions()] == [room]


async def test_subscriptions_above_the_limit_are_refused(
    gateway_with: GatewayFactory, connect: Connect, system: System
):
    gateway = gateway_with(
        gateway_messages_per_minute="20", gateway_subscription_changes_per_minute="5", gateway_max_subscriptions="3"
    )
    client = await connect(system.key("limited", options=RATE_LIMITED), gateway=gateway)
    for _ in range(3):
        await client.subscribe("prices", {"tokenIds": [unique("token")]})
    error = await client.refused("subscribe", channel="tvl")
    assert error["code"] == "too_many_subscriptions"
    assert len(await client.subscriptions()) == 3


async def test_welcome_tells_the_limits_that_are_set(gateway_with: GatewayFactory, connect: Connect):
    gateway = gateway_with(
        gateway_messages_per_minute="20", gateway_subscription_changes_per_minute="5", gateway_max_subscriptions="3"
    )
    limits = (await (await connect.unauthenticated(gateway=gateway)).expect("welcome"))["limits"]
    assert (limits["messagesPerMinute"], limits["subscriptionChangesPerMinute"], limits["subscriptions"]) == (20, 5, 3)


async def test_own_limits_of_a_key_are_told_when_authenticated_and_hold(connect: Connect, system: System):
    key = system.key("limited", options=("--limit", "subscriptions=1"))
    client = await connect.unauthenticated(WAYS["x_api_key"](key))
    assert (await client.expect("authenticated"))["limits"]["subscriptions"] == 1
    await client.subscribe("prices", {"tokenIds": [unique("token")]})
    assert (await client.refused("subscribe", channel="tvl"))["code"] == "too_many_subscriptions"


async def test_more_connections_than_a_key_may_have_are_closed_with_4504(connect: Connect, system: System):
    key = system.key("limited", options=("--limit", "connections=2"))
    first, _second = await connect(key), await connect(key)
    third = await connect.unauthenticated(WAYS["x_api_key"](key))
    assert await third.closed() == 4504
    await first.close()
    await connect(key)


async def test_full_gateway_sends_new_connections_elsewhere_with_4004(gateway_with: GatewayFactory, connect: Connect):
    gateway = gateway_with(gateway_max_connections="2")
    first, _second = await connect(gateway=gateway), await connect(gateway=gateway)
    third = await connect.unauthenticated(gateway=gateway)
    assert (await third.expect("error"))["code"] == "unavailable"
    assert await third.closed() == 4004
    assert first.is_open


async def test_more_new_connections_of_an_address_than_its_limit_are_closed_with_4005(
    gateway_with: GatewayFactory, connect: Connect
):
    gateway = gateway_with(gateway_connections_per_minute="5", trusted_addresses="192.0.2.1")
    for _ in range(5):
        await connect(gateway=gateway)
    sixth = await connect.unauthenticated(gateway=gateway)
    error = await sixth.expect("error")
    assert (error["code"], error["retryable"]) == ("rate_limited", True)
    assert 0 < error["retryAfterMs"] <= 60_000
    assert await sixth.closed() == 4005


async def test_trusted_address_may_say_whom_it_speaks_for(
    gateway_with: GatewayFactory, connect: Connect, system: System, records: Records
):
    gateway = gateway_with(gateway_connections_per_minute="3")

    def by(address: str) -> Introduction:
        return Introduction(headers={"X-Forwarded-For": address, "x-api-key": system.key()})

    admitted = [await connect.unauthenticated(by("198.51.100.7"), gateway=gateway) for _ in range(3)]
    await admitted[0].expect("authenticated")
    record = await records.until_recorded(admitted[0].messages[0]["connectionId"])
    assert record["address"] == "198.51.100.7"
    refused = await connect.unauthenticated(by("198.51.100.7"), gateway=gateway)
    assert await refused.closed() == 4005
    other = await connect.unauthenticated(by("198.51.100.8"), gateway=gateway)
    await other.expect("authenticated")


async def test_untrusted_address_cannot_say_that_it_is_another(
    gateway_with: GatewayFactory, connect: Connect, system: System, records: Records
):
    gateway = gateway_with(trusted_addresses="192.0.2.1")
    headers = {"X-Forwarded-For": "198.51.100.9", "x-api-key": system.key()}
    client = await connect.unauthenticated(Introduction(headers=headers), gateway=gateway)
    await client.expect("authenticated")
    assert (await records.until_recorded(client.messages[0]["connectionId"]))["address"] == "127.0.0.1"


# Time ----------------------------------------------------------------------------------------------------------------


async def test_connection_at_the_end_of_its_lifetime_is_warned_and_closed_with_4001(
    gateway_with: GatewayFactory, connect: Connect
):
    client = await connect(gateway=gateway_with(gateway_connection_lifetime="2s"))
    await client.expect("notice", code="expiring")
    assert await client.closed() == 4001


async def test_silent_connection_is_closed_with_4002(gateway_with: GatewayFactory, system: System):
    gateway = gateway_with(gateway_heartbeat_interval="300ms", gateway_idle_timeout="1s")
    silent = await RawSocket.open(f"{gateway.realtime}?apiKey={system.key()}")
    begun = time.monotonic()
    assert await silent.close_code() == 4002
    assert 0.7 < time.monotonic() - begun < 4
    silent.close()


async def test_pongs_alone_keep_a_connection_open(gateway_with: GatewayFactory, connect: Connect):
    client = await connect(gateway=gateway_with(gateway_heartbeat_interval="300ms", gateway_idle_timeout="1s"))
    begun = time.monotonic()
    await client.until(lambda: time.monotonic() - begun > 2, "heartbeats for twice the idle timeout")
    assert client.is_open


# Slow consumers ------------------------------------------------------------------------------------------------------


async def test_slow_consumer_is_closed_with_4003_and_others_get_everything(
    gateway_with: GatewayFactory, connect: Connect, producer: Producer, system: System
):
    gateway = gateway_with(gateway_outbox_bytes="65536")
    before = gateway.count("gateway_slow_consumers_total")
    slow = await RawSocket.open(f"{gateway.realtime}?apiKey={system.key()}")
    protocol = unique("protocol")
    await slow.say({"type": "subscribe", "channel": "alerts", "filters": {"protocolIds": [protocol]}})
    await slow.frame_with(b'"subscribed"')
    quick = await connect(gateway=gateway)
    await quick.subscribe("alerts", {"protocolIds": [protocol]})
    published = []
    async with asyncio.timeout(30):
        while gateway.count("gateway_slow_consumers_total") == before:
            body = update("alerts", protocolId=protocol, data="x" * 50_000)
            published += await asyncio.gather(*(producer.publish(body) for _ in range(20)))
            await quick.expect_updates(*published)
    await settle(producer, "alerts", quick)
    payloads = await slow.frames_to_close()
    slow.close()
    assert int.from_bytes(payloads[-1][:2], "big") == 4003
    assert b'"slow_consumer"' in payloads[-2]
    assert quick.is_open


# Keys ----------------------------------------------------------------------------------------------------------------


async def test_revoked_key_is_closed_with_4503_on_every_gateway_and_others_stay(connect: Connect, system: System):
    key = system.new_key("--user", "mallory", "--permission", "*", "--unlimited")
    doomed = [await connect(key, gateway=gateway) for gateway in (*system.gateways, *system.gateways)]
    other = await connect(system.key("mallory"))
    system.revoke(key)
    for client in doomed:
        assert (await client.expect("error"))["code"] == "invalid_api_key"
        assert await client.closed() == 4503
    assert other.is_open
    late = await connect.unauthenticated(WAYS["x_api_key"](key))
    assert await late.closed() in {4502, 4503}


async def test_key_at_its_end_closes_its_connections(connect: Connect, system: System):
    key = system.new_key("--user", "guest", "--permission", "*", "--expires", "15s")
    client = await connect(key)
    assert await client.closed(within=30) in {4001, 4502}


async def test_auth_being_away_leaves_open_connections_and_closes_new_ones_with_4004(
    connect: Connect, system: System, producer: Producer
):
    fresh = system.new_key("--user", "alice", "--permission", "*")
    (auth,) = system.running("auth")
    open_one, token = await connect(), unique("token")
    await open_one.subscribe("prices", {"tokenIds": [token]})
    assert auth.stop() == 0
    try:
        new_one = await connect.unauthenticated(WAYS["x_api_key"](fresh))
        error = await new_one.expect("error", within=15)
        assert (error["code"], error["retryable"]) == ("unavailable", True)
        assert await new_one.closed() == 4004
        await open_one.expect_updates(await producer.publish(update("prices", tokenId=token)))
        await open_one.subscribe("tvl", {"tokenIds": [token]})
    finally:
        system.start("auth")
    await connect(fresh)


# Draining ------------------------------------------------------------------------------------------------------------


async def test_drained_gateway_says_so_closes_with_4000_and_ends_with_status_0(
    connect: Connect, system: System, records: Records
):
    leaving = system.start_apart("gateway")
    clients = [await connect(gateway=leaving) for _ in range(20)]
    await records.until_recorded(clients[-1].messages[0]["connectionId"])
    leaving.terminate()
    for client in clients:
        notice = await client.expect("notice", code="draining")
        assert notice["retryAfterMs"] >= 0
        assert await client.closed(within=15) == 4000
    assert await asyncio.to_thread(leaving.wait) == 0
    await records.until_gone(*(client.messages[0]["connectionId"] for client in clients), limit=5)


async def test_draining_gateway_is_not_ready_and_refuses_new_connections(connect: Connect, system: System):
    leaving = system.start_apart("gateway", gateway_drain_timeout="3s")
    clients = [await connect(gateway=leaving) for _ in range(50)]
    leaving.terminate()
    await clients[0].expect("notice", code="draining")
    readiness = await asyncio.to_thread(leaving.readiness)
    assert readiness is None or readiness["status"] != "ready"
    with pytest.raises((AssertionError, OSError, Exception)):
        await _authenticates(leaving.realtime, system.key())
    assert await asyncio.to_thread(leaving.wait) == 0


async def _authenticates(url: str, key: str) -> None:
    client = await Client.open(url, WAYS["x_api_key"](key))
    try:
        await client.expect("authenticated", within=3)
    finally:
        await client.close()
