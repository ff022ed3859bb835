"""The client against a real WebSocket server: subscribing, and what comes."""

import asyncio
from typing import Any

import pytest

from clients.python.tests.client_talk import next_event, publish_when_subscribed, take
from clients.python.tests.protocol_server import KEY, LIMIT
from defistream import (
    AuthenticationFailed,
    Client,
    InvalidArgument,
    SubscriptionRefused,
    SubscriptionTimeout,
    Update,
    events,
)


async def test_updates_arrive_as_documented(server):
    async with Client(server.url, KEY) as client, client.subscribe("prices", token_ids=["bitcoin"]) as prices:
        await server.publish(tokenId="ethereum", value=1.0)
        await server.publish(tokenId="bitcoin", value=2.5, data={"symbol": "BTC"}, timestamp=17)
        update = await anext(prices)
    assert update == Update("prices", "0:102", {})
    assert (update.token_id, update.value, update.data, update.timestamp) == ("bitcoin", 2.5, {"symbol": "BTC"}, 17)


async def test_a_subscription_starts_with_its_iteration(server):
    async with Client(server.url, KEY) as client, asyncio.TaskGroup() as group:
        group.create_task(publish_when_subscribed(server, tokenId="bitcoin"))
        async for update in client.subscribe("prices"):
            assert update.token_id == "bitcoin"
            break


async def test_a_wrong_key_is_refused_with_the_servers_words(server):
    with pytest.raises(AuthenticationFailed, match="the API key is not valid") as caught:
        async with Client(server.url, "wrong"):
            pass
    assert (caught.value.code, caught.value.error) == (4502, "invalid_api_key")
    assert server.accepted == 1


async def test_a_refused_subscription_names_the_field(server):
    server.refusals.append({"code": "invalid_filter", "message": "no such token", "field": "filters.tokenIds"})
    async with Client(server.url, KEY) as client:
        with pytest.raises(SubscriptionRefused, match="no such token") as caught:
            async with client.subscribe("prices", token_ids=["x"]):
                pass
        assert (caught.value.code, caught.value.field) == ("invalid_filter", "filters.tokenIds")
        async with client.subscribe("prices") as prices:
            await server.publish()
            await take(prices, 1)


async def test_a_subscription_refused_for_now_is_asked_for_again(server, heard):
    server.refusals.append({"code": "unavailable", "message": "not now", "retryable": True, "retryAfterMs": 1})
    async with Client(server.url, KEY, on_event=heard.put_nowait) as client, client.subscribe("prices") as prices:
        assert (await next_event(heard, events.Resubscribing)).code == "unavailable"
        await server.publish()
        await take(prices, 1)


async def test_a_subscription_without_an_answer_fails_in_time_and_is_left(server):
    server.confirms = False
    async with Client(server.url, KEY, subscribe_timeout=0.05) as client:
        with pytest.raises(SubscriptionTimeout, match=r"0\.05 s"):
            await anext(client.subscribe("prices"))
        server.confirms = True
        async with client.subscribe("prices", min_value=1):
            assert [command["filters"] for command in server.commands("subscribe")[1:]] == [{"minValue": 1}]


async def test_each_subscription_gets_its_own_updates_of_a_shared_channel(server):
    async with (
        Client(server.url, KEY) as client,
        client.subscribe("prices", token_ids=["a"]) as a,
        client.subscribe("prices", min_value=10) as dear,
    ):
        await server.publish(tokenId="a", value=1)
        await server.publish(tokenId="b", value=11)
        await server.publish(tokenId="a", value=12)
        assert await take(a, 2) == ["0:101", "0:103"]
        assert await take(dear, 2) == ["0:102", "0:103"]


async def test_news_of_the_server_is_told(server, heard):
    async with Client(server.url, KEY, on_event=heard.put_nowait):
        await server.notify(type="notice", code="degraded", message="Kafka is away")
        await server.notify(type="broadcast", data={"text": "hello"})
        await server.notify(type="conflated", channel="prices", n=3, **{"from": "0:1", "to": "0:9"})
        assert (await next_event(heard, events.Notice)).kind == "degraded"
        assert (await next_event(heard, events.Broadcast)) == events.Broadcast(None, {"text": "hello"})
        assert (await next_event(heard, events.Conflated)).count == 3


async def test_an_error_in_on_event_harms_nothing(server):
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    def fail(_: events.Event) -> None:
        raise ZeroDivisionError

    async with Client(server.url, KEY, on_event=fail) as client, client.subscribe("prices") as prices:
        await server.publish()
        await take(prices, 1)
    assert isinstance(reported[0]["exception"], ZeroDivisionError)


async def test_frames_that_it_does_not_know_are_ignored(server):
    async with Client(server.url, KEY) as client, client.subscribe("prices") as prices:
        await server.notify(type="from_the_future", payload=1)
        await server.notify(type="subscribed")
        for peer in server.peers:
            await peer.websocket.send("[1")
            await peer.websocket.send(b"\xff")
        await server.publish()
        await take(prices, 1)


async def test_pings_of_the_server_are_answered(server):
    async with Client(server.url, KEY), asyncio.timeout(LIMIT):
        await (await server.peers[0].websocket.ping())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"channel": "weather"}, "unknown channel"),
        ({"channel": "protocol: "}, "unknown channel"),
        ({"channel": "protocol:x", "protocol_ids": ["y"]}, "either"),
        ({"channel": "prices", "token_ids": []}, "token_ids"),
        ({"channel": "prices", "token_ids": "bitcoin"}, "token_ids"),
        ({"channel": "prices", "chains": [" "]}, "chains"),
        ({"channel": "prices", "min_value": 2, "max_value": 1}, "min_value"),
        ({"channel": "prices", "min_value": float("nan")}, "min_value"),
        ({"channel": "prices", "since": "k3f9.0:1"}, "resume"),
    ],
)
async def test_wrong_arguments_are_refused_before_anything_is_sent(server, arguments, complaint):
    async with Client(server.url, KEY, resume=False) as client:
        with pytest.raises(InvalidArgument, match=complaint):
            client.subscribe(**arguments)
    assert server.commands("subscribe") == []


@pytest.mark.parametrize("options", [{"url": "http://x"}, {"api_key": ""}, {"buffer": 0}, {"overflow": "explode"}])
def test_wrong_options_are_refused(options):
    with pytest.raises(InvalidArgument):
        Client(**({"url": "ws://x", "api_key": KEY} | options))
