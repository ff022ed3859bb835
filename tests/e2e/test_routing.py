"""Acceptance criterion "routing": all seven types, only to whom they match, once, private ones only to their user."""

from __future__ import annotations

import pytest

from tests.support.connect import Connect, settle
from tests.support.matcher import CHANNELS
from tests.support.producer import Producer
from tests.support.samples import unique, update
from tests.support.system import System


@pytest.mark.parametrize("kind", CHANNELS)
async def test_type_reaches_its_channel_unchanged_with_channel_and_id_added(
    kind: str, connect: Connect, producer: Producer
):
    client, protocol = await connect(), unique("protocol")
    await client.subscribe(CHANNELS[kind], {"protocolIds": [protocol]})
    written = {
        "type": kind,
        "protocolId": protocol,
        "chains": ["Base"],
        "value": 1.25,
        "data": {"text": "Grüße \u2603", "deep": [1, {"none": None}]},
        "custom": {"kept": True},
        "timestamp": 1765220950000,
    }
    published = await producer.publish(written)
    assert await client.expect_update(published) == written | {"channel": CHANNELS[kind], "id": published.id}


async def test_update_without_time_gets_that_of_its_record_and_its_own_id_is_kept_as_source_id(
    connect: Connect, producer: Producer
):
    client, token = await connect(), unique("token")
    await client.subscribe("prices", {"tokenIds": [token]})
    published = await producer.publish({"type": "price_update", "tokenId": token, "id": "mine-1"})
    heard = await client.expect_update(published)
    assert heard["sourceId"] == "mine-1"
    assert heard["timestamp"] > 1_700_000_000_000


async def test_only_matching_connections_get_an_update(connect: Connect, producer: Producer, system: System):
    tokens = [unique("token") for _ in range(4)]
    clients = [await connect(gateway=system.gateways[number % 2]) for number in range(4)]
    for client, token in zip(clients, tokens, strict=True):
        await client.subscribe("prices", {"tokenIds": [token]})
    for token in tokens:
        await producer.publish(update("prices", tokenId=token))
    await settle(producer, "prices", *clients)
    heard = [[each["tokenId"] for each in client.updates if each["tokenId"] in tokens] for client in clients]
    assert heard == [[token] for token in tokens]


async def test_update_is_sent_once_however_many_rooms_match(connect: Connect, producer: Producer):
    client, token = await connect(), unique("token")
    for filters in (
        {"tokenIds": [token]},
        {"tokenIds": [token, "other"]},
        {"tokenIds": [token], "minValue": 1},
        {"chains": [token]},
        {},
    ):
        await client.subscribe("prices", filters)
    published = [await producer.publish(update("prices", tokenId=token, chain=token, value=5)) for _ in range(10)]
    await settle(producer, "prices", client)
    wanted = {each.id for each in published}
    assert sorted(each["id"] for each in client.updates if each["id"] in wanted) == sorted(wanted)


async def test_updates_of_an_entity_come_in_order(connect: Connect, producer: Producer):
    client, tokens = await connect(), [unique("token") for _ in range(5)]
    await client.subscribe("prices", {"tokenIds": tokens})
    published = [
        await producer.publish(update("prices", tokenId=tokens[number % 5], value=number)) for number in range(100)
    ]
    await client.expect_updates(*published)
    for token in tokens:
        values = [each["value"] for each in client.updates if each["tokenId"] == token]
        assert values == sorted(values)
        assert len(values) == 20


async def test_private_update_reaches_only_its_user_with_or_without_filter(
    connect: Connect, producer: Producer, system: System
):
    alice, bob, protocol = await connect(system.key("alice")), await connect(system.key("bob")), unique("protocol")
    narrow = await connect(system.key("alice"), gateway=system.gateways[1])
    await alice.subscribe("alerts")
    await bob.subscribe("alerts")
    await narrow.subscribe("alerts", {"protocolIds": [protocol]})
    private = await producer.publish(update("alerts", protocolId=protocol, userId="alice"))
    public = await producer.publish(update("alerts", protocolId=protocol))
    await settle(producer, "alerts", alice, bob, narrow)
    for client, wanted in ((alice, [private.id, public.id]), (narrow, [private.id, public.id]), (bob, [public.id])):
        assert [each["id"] for each in client.updates if each.get("protocolId") == protocol] == wanted


async def test_filter_by_another_user_is_denied_without_users_permission(connect: Connect, system: System):
    client = await connect(system.key("alice", "channel:*"))
    error = await client.refused("subscribe", channel="alerts", filters={"userId": "bob"})
    assert (error["code"], error["field"]) == ("permission_denied", "filters.userId")
    await client.subscribe("alerts", {"userId": "alice"})


async def test_users_permission_sees_the_private_updates_of_the_user_it_names_only(
    connect: Connect, producer: Producer, system: System
):
    support, protocol = await connect(system.key("support", "channel:*", "users:*")), unique("protocol")
    await support.subscribe("alerts", {"userId": "bob"})
    await support.subscribe("alerts", {"protocolIds": [protocol]})
    await producer.publish(update("alerts", protocolId=protocol, userId="carol"))
    wanted = await producer.publish(update("alerts", protocolId=protocol, userId="bob"))
    await settle(producer, "alerts", support)
    assert [each["id"] for each in support.updates if each.get("protocolId") == protocol] == [wanted.id]


async def test_private_update_of_one_user_comes_to_all_its_connections(
    connect: Connect, producer: Producer, system: System
):
    clients = [await connect(system.key("carol"), gateway=gateway) for gateway in (*system.gateways, *system.gateways)]
    protocol = unique("protocol")
    for client in clients:
        await client.subscribe("liquidations", {"protocolIds": [protocol]})
    published = await producer.publish(update("liquidations", protocolId=protocol, userId="carol"))
    for client in clients:
        await client.expect_updates(published)


@pytest.mark.parametrize("permission", ["channel:prices", "broadcast"])
async def test_channel_needs_its_permission(permission: str, connect: Connect, system: System):
    client = await connect(system.key("alice", permission))
    error = await client.refused("subscribe", channel="tvl")
    assert (error["code"], error["field"], error["retryable"]) == ("permission_denied", "channel", False)
    assert client.is_open
