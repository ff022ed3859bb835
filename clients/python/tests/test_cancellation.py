"""What is left behind: nothing."""

import asyncio

import pytest

from clients.python.tests.client_talk import publish_when_subscribed, take
from clients.python.tests.protocol_server import KEY
from defistream import Client, ConnectionClosed


async def test_leaving_a_subscription_unsubscribes(server):
    async with Client(server.url, KEY) as client:
        async with client.subscribe("prices"):
            pass
        await server.until(lambda: server.commands("unsubscribe") != [])


async def test_breaking_out_of_the_loop_unsubscribes(server):
    async with Client(server.url, KEY) as client, asyncio.TaskGroup() as group:
        group.create_task(publish_when_subscribed(server))
        async for _ in client.subscribe("prices"):
            break
        await server.until(lambda: server.commands("unsubscribe") != [])


async def test_a_room_that_another_subscription_is_in_stays(server):
    async with Client(server.url, KEY) as client, client.subscribe("prices") as first:
        async with client.subscribe("prices"):
            pass
        await server.publish()
        await take(first, 1)
        assert server.commands("unsubscribe") == []


async def test_a_cancelled_step_loses_no_update(server):
    async with Client(server.url, KEY) as client, client.subscribe("prices") as prices:
        step = asyncio.ensure_future(anext(prices))
        await asyncio.sleep(0)
        step.cancel()
        await asyncio.wait([step])
        await server.publish()
        assert await take(prices, 1) == ["0:101"]


async def test_a_cancelled_start_leaves_no_subscription(server):
    server.confirms = False
    async with Client(server.url, KEY) as client:
        start = asyncio.ensure_future(anext(client.subscribe("prices")))
        await server.until(lambda: server.commands("subscribe") != [])
        start.cancel()
        await asyncio.wait([start])
        server.confirms = True
        async with client.subscribe("prices", min_value=3):
            assert len(server.commands("subscribe")) == 2


async def test_no_task_is_left_behind(server):
    before = asyncio.all_tasks()
    async with Client(server.url, KEY) as client, client.subscribe("prices"):
        await client.aclose()
        await client.aclose()
    await server.until(lambda: server.peers == [])
    ours = {task for task in asyncio.all_tasks() - before if "websockets/asyncio/server" not in repr(task.get_coro())}
    assert not ours


async def test_a_cancelled_entering_leaves_no_connection(server):
    server.authenticates = False
    client = Client(server.url, KEY)
    entering = asyncio.ensure_future(client.__aenter__())
    await server.until(lambda: server.commands("authenticate") != [])
    entering.cancel()
    await asyncio.wait([entering])
    await server.until(lambda: server.peers == [])


async def test_an_error_of_the_application_comes_through(server):
    with pytest.raises(ZeroDivisionError):
        async with Client(server.url, KEY) as client, client.subscribe("prices"):
            raise ZeroDivisionError
    await server.until(lambda: server.peers == [])


async def test_iteration_ends_quietly_when_the_client_is_closed_elsewhere(server):
    async with Client(server.url, KEY) as client, client.subscribe("prices") as prices:
        step = asyncio.ensure_future(anext(prices, None))
        await asyncio.sleep(0)
        await client.aclose()
        assert await step is None
        with pytest.raises(ConnectionClosed, match="the client is closed"):
            await anext(client.subscribe("prices"))
