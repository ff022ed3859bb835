"""Acceptance criterion "rooms": the seven channels, the six filters alone and together, and their coming and going."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.connect import Connect, settle
from tests.support.matcher import CHANNELS, matches
from tests.support.producer import Producer, Published
from tests.support.samples import unique, update
from tests.support.system import System
from tests.support.waiting import eventually

ADDRESS = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"

# filter, an update that it selects, updates that it does not.
ALONE: dict[str, tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]] = {
    "protocolIds": (
        {"protocolIds": [" Aave-V3 ", "lido"]},
        [{"protocolId": "aave-v3"}, {"protocolId": "AAVE-v3 "}, {"protocolId": "Lido"}],
        [{"protocolId": "aave-v2"}, {"protocolId": "aave"}, {}, {"tokenId": "aave-v3"}],
    ),
    "tokenIds": (
        {"tokenIds": ["coingecko:Bitcoin", f" ethereum:{ADDRESS}"]},
        [{"tokenId": "coingecko:Bitcoin"}, {"tokenId": f"ethereum:{ADDRESS.lower()} "}],
        [{"tokenId": "coingecko:bitcoin"}, {"tokenId": f"Ethereum:{ADDRESS}"}, {}],
    ),
    "chains": (
        {"chains": ["Ethereum", "base"]},
        [
            {"chain": "ethereum"},
            {"chain": " BASE"},
            {"chains": ["solana", "Base"]},
            {"chain": "solana", "chains": ["base"]},
        ],
        [{"chain": "solana"}, {"chains": ["solana", "tron"]}, {"chains": []}, {}],
    ),
    "userId": ({"userId": "alice "}, [{"userId": "alice"}, {"userId": " alice"}], [{}, {"protocolId": "alice"}]),
    "minValue": (
        {"minValue": 10},
        [{"value": 10}, {"value": 10.0001}, {"value": 1e300}],
        [{"value": 9.9999}, {"value": -1e9}, {}],
    ),
    "maxValue": (
        {"maxValue": 10.5},
        [{"value": 10.5}, {"value": 0}, {"value": -1e300}],
        [{"value": 10.51}, {"value": 1e9}, {}],
    ),
}

TOGETHER = {
    "protocolIds": ["aave-v3"],
    "tokenIds": ["usdc"],
    "chains": ["base"],
    "userId": "alice",
    "minValue": 10,
    "maxValue": 20,
}
SELECTED = {"protocolId": "aave-v3", "tokenId": "usdc", "chain": "base", "userId": "alice", "value": 15}
ONE_OFF = {"protocolId": "lido", "tokenId": "usdt", "chain": "solana", "userId": "bob", "value": 21}


def _marked(client: Client, mark: str) -> list[dict[str, Any]]:
    """What was heard of the updates that carry this mark, without what the product adds."""
    return [
        each["data"]["case"]
        for each in client.updates
        if isinstance(each.get("data"), dict) and each["data"].get("mark") == mark
    ]


@pytest.mark.parametrize("channel", CHANNELS.values())
async def test_channel_without_filters_gets_all_its_updates(channel: str, connect: Connect, producer: Producer):
    client = await connect()
    subscribed = await client.subscribe(channel)
    assert (subscribed["channel"], subscribed["filters"]) == (channel, {})
    published = [await producer.publish(update(channel, protocolId=unique("protocol"))) for _ in range(5)]
    await client.expect_updates(*published)


@pytest.mark.parametrize("name", ALONE)
async def test_filter_alone_selects_what_it_names(name: str, connect: Connect, producer: Producer):
    filters, selected, others = ALONE[name]
    client, mark = await connect(), unique("case")
    await client.subscribe("governance", filters)
    for case in (*others, *selected):
        await producer.publish(update("governance", **case, data={"mark": mark, "case": case}))
    await settle(producer, "governance", client)
    assert sorted(map(str, _marked(client, mark))) == sorted(map(str, selected))


async def test_all_six_filters_together_select_only_what_meets_every_one(connect: Connect, producer: Producer):
    client, mark = await connect(), unique("case")
    await client.subscribe("liquidations", TOGETHER)
    cases = [SELECTED | {name: ONE_OFF[name]} for name in ONE_OFF]
    cases += [{name: value for name, value in SELECTED.items() if name != missing} for missing in SELECTED]
    for case in (*cases, SELECTED):
        await producer.publish(update("liquidations", **case, data={"mark": mark, "case": case}))
    await settle(producer, "liquidations", client)
    assert _marked(client, mark) == [SELECTED]


async def test_each_pair_of_filters_selects_what_meets_both(connect: Connect, producer: Producer):
    pairs = [{name: TOGETHER[name] for name in pair} for pair in itertools.combinations(TOGETHER, 2)]
    client, mark = await connect(), unique("case")
    other = await connect()
    for pair in pairs:
        await client.subscribe("alerts", pair)
    cases = [
        SELECTED,
        ONE_OFF | {"userId": "alice"},
        *({name: SELECTED[name]} for name in SELECTED),
        {"value": 15, "chain": "base"},
    ]
    for case in cases:
        await producer.publish(update("alerts", **case, data={"mark": mark, "case": case}))
    await settle(producer, "alerts", client, other)
    wanted = [case for case in cases if any(matches(case, pair) for pair in pairs)]
    assert sorted(map(str, _marked(client, mark))) == sorted(map(str, wanted))
    assert _marked(other, mark) == []


async def test_equal_filters_are_one_room_however_they_are_written(connect: Connect, system: System):
    first, second = await connect(), await connect(gateway=system.gateways[1])
    one = await first.subscribe("tvl", {"minValue": 1.0, "chains": ["Base", "ethereum "], "protocolIds": ["B", "a"]})
    other = await second.subscribe(
        "tvl", {"protocolIds": ["A", "b", "B"], "chains": ["ethereum", "base"], "minValue": 1}
    )
    assert one["room"] == other["room"]
    assert (
        one["filters"] == other["filters"] == {"chains": ["base", "ethereum"], "minValue": 1, "protocolIds": ["a", "b"]}
    )


async def test_protocol_channel_means_protocols_with_that_id(connect: Connect, producer: Producer):
    client, protocol = await connect(), unique("protocol")
    subscribed = await client.subscribe(f"protocol:{protocol.upper()}")
    assert (subscribed["channel"], subscribed["filters"]) == ("protocols", {"protocolIds": [protocol]})
    await producer.publish(update("protocols", protocolId=unique("other")))
    published = await producer.publish(update("protocols", protocolId=protocol))
    await settle(producer, "protocols", client)
    assert [each["id"] for each in client.updates if "protocolId" in each] == [published.id]
    await client.unsubscribe(channel=f"protocol:{protocol}")


async def test_channels_subscribes_to_all_with_the_same_filters(connect: Connect, producer: Producer):
    client, protocol, channels = await connect(), unique("protocol"), ["tvl", "alerts", "emissions"]
    await client.send({"type": "subscribe", "id": 7, "channels": channels, "filters": {"protocolIds": [protocol]}})
    answers = [await client.expect("subscribed", id=7) for _ in range(3)]
    assert [each["channel"] for each in answers] == channels
    await client.expect_updates(*[await producer.publish(update(channel, protocolId=protocol)) for channel in channels])


@pytest.mark.parametrize("bad", ["weather", "prices", 5])
async def test_channels_subscribes_to_none_when_one_is_refused(bad: object, connect: Connect, system: System):
    client = await connect(system.key("alice", "channel:tvl", "channel:alerts"))
    error = await client.refused("subscribe", channels=["tvl", "alerts", bad])
    assert error["code"] == ("permission_denied" if bad == "prices" else "unknown_channel")
    assert await client.subscriptions() == []


async def test_list_names_each_subscription_with_its_cursor(connect: Connect):
    client = await connect()
    wanted = [await client.subscribe("prices", {"tokenIds": [unique("token")]}), await client.subscribe("alerts")]
    listed = await client.subscriptions()
    assert [(each["channel"], each["filters"], each["room"]) for each in listed] == [
        (each["channel"], each["filters"], each["room"]) for each in wanted
    ]
    assert all(each["cursor"] for each in listed)


async def test_subscribing_twice_is_one_subscription(connect: Connect, producer: Producer):
    client, token = await connect(), unique("token")
    first, second = [await client.subscribe("prices", {"tokenIds": [token]}) for _ in range(2)]
    assert first["room"] == second["room"]
    assert len(await client.subscriptions()) == 1
    published = await producer.publish(update("prices", tokenId=token))
    await settle(producer, "prices", client)
    assert [each["id"] for each in client.updates if each["tokenId"] == token] == [published.id]


async def test_unsubscribe_all_leaves_nothing(connect: Connect, producer: Producer):
    client, token = await connect(), unique("token")
    rooms = {
        (await client.subscribe(channel, {"tokenIds": [token]}))["room"] for channel in ("prices", "tvl", "alerts")
    }
    answer = await client.command("unsubscribe_all")
    assert answer["type"] == "unsubscribed"
    assert {each["room"] for each in answer["subscriptions"]} == rooms
    assert await client.subscriptions() == []
    await producer.publish(update("prices", tokenId=token))
    await settle(producer, "prices", client)
    assert not [each for each in client.updates if each["tokenId"] == token]


async def test_unsubscribing_from_one_room_leaves_the_others(connect: Connect, producer: Producer):
    client, token = await connect(), unique("token")
    await client.subscribe("prices", {"tokenIds": [token]})
    await client.subscribe("prices", {"tokenIds": [token], "minValue": 100})
    await client.unsubscribe(channel="prices", filters={"tokenIds": [token]})
    await producer.publish(update("prices", tokenId=token, value=1))
    published = await producer.publish(update("prices", tokenId=token, value=100))
    await client.expect_updates(published)
    assert [each["value"] for each in client.updates] == [100]


async def test_nothing_is_missed_between_subscribed_and_unsubscribed_while_updates_flow(
    connect: Connect, producer: Producer, system: System
):
    key, token = system.key(), unique("token")
    async with _flow(producer, token) as published:
        for gateway in (*system.gateways, system.gateway):
            client = await connect(key, gateway=gateway)
            subscribed = await client.subscribe("prices", {"tokenIds": [token]})
            await client.expect_number_of_updates(20)
            await client.unsubscribe(room=subscribed["room"])
            heard = [int(each["id"].split(":")[1]) for each in client.updates]
            since = _offset(subscribed["cursor"], published[0].partition)
            assert heard[0] <= since + 1
            assert heard == list(range(heard[0], heard[-1] + 1))
            await _goes_on(published)
            await settle(producer, "prices", client)
            assert [each for each in client.updates if each["tokenId"] == token][-1]["id"].endswith(f":{heard[-1]}")


async def test_second_subscriber_of_a_room_misses_nothing_from_its_cursor_on(connect: Connect, producer: Producer):
    token = unique("token")
    first = await connect()
    await first.subscribe("prices", {"tokenIds": [token]})
    async with _flow(producer, token) as published:
        await first.expect_number_of_updates(5)
        second = await connect()
        subscribed = await second.subscribe("prices", {"tokenIds": [token]})
        await second.expect_number_of_updates(20)
    heard = [int(each["id"].split(":")[1]) for each in second.updates]
    assert heard[0] <= _offset(subscribed["cursor"], published[0].partition) + 1
    assert heard == list(range(heard[0], heard[0] + len(heard)))


async def test_heartbeat_tells_cursors_that_move_though_nothing_matches(connect: Connect, producer: Producer):
    client = await connect()
    await client.subscribe("emissions", {"protocolIds": [unique("nothing")]})
    published = await producer.publish(update("emissions", protocolId=unique("other")))

    def told() -> bool:
        cursors = [each["cursors"].get("emissions") for each in client.messages if each["type"] == "heartbeat"]
        return any(cursor and _offset(cursor, published.partition) >= published.offset for cursor in cursors)

    await client.until(told, "a heartbeat whose cursor is past the update")
    heartbeat = next(each for each in client.messages if each["type"] == "heartbeat")
    assert heartbeat["sent"] == 0
    assert heartbeat["timestamp"] > 0


def _offset(cursor: str, partition: int) -> int:
    """The offset that a cursor (`epoch.0:12,1:7`) gives for a partition; -1 where it names none."""
    pairs = dict(pair.split(":") for pair in cursor.split(".")[1].split(",") if pair)
    return int(pairs.get(str(partition), -1))


@contextlib.asynccontextmanager
async def _flow(producer: Producer, token: str) -> AsyncIterator[list[Published]]:
    """Updates of a token, one after another in one partition that is otherwise still, until the context ends."""
    published: list[Published] = []

    async def publish() -> None:
        while True:
            published.append(await producer.publish(update("prices", tokenId=token, value=len(published)), partition=0))

    task = asyncio.create_task(publish())
    try:
        await _goes_on(published)
        yield published
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _goes_on(published: list[Published]) -> None:
    """Return when more updates were published."""
    least = len(published) + 3

    async def more() -> bool:
        return len(published) >= least

    await eventually(more, "more updates are published")
