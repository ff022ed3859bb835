"""What waits for the application, and where it stands."""

import asyncio

from clients.python.tests.client_talk import take
from clients.python.tests.protocol_server import KEY, LIMIT
from defistream import Client


async def test_ids_already_seen_are_dropped(server):
    async with Client(server.url, KEY) as client, client.subscribe("prices") as prices:
        update = await server.publish()
        await server.notify(**update)
        await server.publish()
        assert await take(prices, 2) == ["0:101", "0:102"]


async def test_the_past_is_taken_apart_from_what_follows(server):
    async with Client(server.url, KEY) as client, client.subscribe("prices", snapshot=True) as prices:
        before = prices.caught_up
        for offset in (7, 9):
            await server.notify(type="price_update", channel="prices", id=f"0:{offset}")
        await server.end_past("snapshot_end")
        await server.publish()
        async with asyncio.timeout(LIMIT):
            assert [update.id for update in await prices.catch_up()] == ["0:7", "0:9"]
        assert (before, prices.caught_up) == (False, True)
        assert prices.cursor == "k3f9.0:100,1:200"
        assert await take(prices, 1) == ["0:101"]


async def test_an_empty_past_is_taken_at_once(server):
    async with Client(server.url, KEY) as client:
        prices = client.subscribe("prices", snapshot=True)
        taking = asyncio.ensure_future(prices.catch_up())
        await server.until_subscribed()
        await server.end_past("snapshot_end")
        async with asyncio.timeout(LIMIT):
            assert await taking == []
            assert await client.subscribe("tvl").catch_up() == []


async def test_a_cancelled_taking_of_the_past_loses_nothing(server):
    async with Client(server.url, KEY) as client, client.subscribe("prices", snapshot=True) as prices:
        await server.notify(type="price_update", channel="prices", id="0:7")
        async with client.subscribe("tvl"):
            pass  # Frames come in order: with this confirmation the update is in.
        taking = asyncio.ensure_future(prices.catch_up())
        await asyncio.sleep(0)
        taking.cancel()
        await asyncio.wait([taking])
        await server.end_past("snapshot_end")
        async with asyncio.timeout(LIMIT):
            assert [update.id for update in await prices.catch_up()] == ["0:7"]


async def test_drop_oldest_drops_nothing_of_the_past(server):
    async with (
        Client(server.url, KEY, buffer=2, overflow="drop_oldest") as client,
        client.subscribe("prices", snapshot=True) as prices,
    ):
        for offset in range(20):
            await server.notify(type="price_update", channel="prices", id=f"0:{offset}")
        await server.end_past("snapshot_end")
        async with asyncio.timeout(LIMIT):
            assert len(await prices.catch_up()) == 20
        assert prices.dropped == 0


async def test_the_cursor_follows_what_the_application_took(server):
    async with Client(server.url, KEY) as client, client.subscribe("prices") as prices:
        assert prices.cursor == "k3f9.0:100,1:200"
        await server.publish()
        await server.publish(partition=1)
        await server.heartbeat(prices="k3f9.0:150,1:250")
        await server.publish(partition=1, id="1:251")
        await take(prices, 1)
        assert prices.cursor == "k3f9.0:101,1:200"
        await take(prices, 2)
        assert prices.cursor == "k3f9.0:150,1:251"


async def test_a_full_buffer_stops_reading_and_loses_nothing(server):
    async with Client(server.url, KEY, buffer=2) as client, client.subscribe("prices") as prices:
        for _ in range(200):
            await server.publish()
        assert await take(prices, 200) == [f"0:{offset}" for offset in range(101, 301)]
        assert prices.dropped == 0


async def test_a_subscription_can_start_while_another_ones_buffer_is_full(server):
    async with Client(server.url, KEY, buffer=1) as client, client.subscribe("prices", min_value=0) as prices:
        for value in range(3):
            await server.publish(value=value)
        async with client.subscribe("tvl"):
            assert await take(prices, 3) == ["0:101", "0:102", "0:103"]


async def test_drop_oldest_keeps_the_newest_and_counts(server):
    async with (
        Client(server.url, KEY, buffer=2, overflow="drop_oldest") as client,
        client.subscribe("prices") as prices,
    ):
        for _ in range(5):
            await server.publish()
        async with client.subscribe("tvl"):
            pass  # Frames come in order: with this confirmation the five are in.
        assert await take(prices, 2) == ["0:104", "0:105"]
        assert prices.dropped == 3
