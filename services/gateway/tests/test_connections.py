"""Who may come in, how many, and what the registry is told of them."""

from common.events import Decision
from gateway.connections import Connections
from services.gateway.tests.running import KEY, running
from tests.support.client import Client

FORWARDED = "X-Forwarded-For"


async def refusal(client: Client) -> tuple[object, object, int | None]:
    """Code of the error, whether trying again may help, and the close code."""
    told = await client.expect("error")
    return told["code"], told["retryable"], await client.closed()


async def test_an_address_may_open_so_many_connections_a_minute():
    async with running(gateway_connections_per_minute=2) as gateway:
        for _ in range(2):
            await gateway.connect(headers={FORWARDED: "203.0.113.7"})
        refused = await gateway.connect(None, headers={FORWARDED: "203.0.113.7"})
        assert await refusal(refused) == ("rate_limited", True, 4005)
        assert 0 < refused.messages[-1]["retryAfterMs"] <= 60_000
        await gateway.connect(headers={FORWARDED: "203.0.113.8"})


async def test_a_trusted_address_that_speaks_for_itself_is_not_limited():
    async with running(gateway_connections_per_minute=1) as gateway:
        for _ in range(3):
            await gateway.connect()


async def test_a_full_gateway_turns_new_connections_away_and_keeps_the_others():
    async with running(gateway_max_connections=2) as gateway:
        kept = [await gateway.connect() for _ in range(2)]
        assert await refusal(await gateway.connect(None)) == ("unavailable", True, 4004)
        assert all(client.is_open for client in kept)
        await kept[0].close()
        await gateway.until(lambda: len(gateway.connections) == 1, "there is room")
        await gateway.connect()


async def test_a_key_may_be_limited_to_so_many_connections(gateway):
    gateway.decisions["one"] = Decision(allowed=True, limits={"connections": 1})
    first = await gateway.connect("one")
    refused = await gateway.connect(None)
    await refused.send({"type": "authenticate", "apiKey": "one"})
    assert await refusal(refused) == ("rate_limited", False, 4504)
    await first.close()
    await gateway.until(lambda: not gateway.connections, "the first is gone")
    await gateway.connect("one")


async def test_auth_that_is_away_lets_nobody_in_and_closes_nobody():
    async with running(gateway_auth_reply_timeout="200ms") as gateway:
        kept = await gateway.connect()
        gateway.away.add("auth")
        late = await gateway.connect(None, headers={"x-api-key": "another"})
        assert await refusal(late) == ("unavailable", True, 4004)
        assert (await kept.command("ping"))["type"] == "pong"


async def test_a_router_that_is_away_fails_the_subscribe_and_nothing_else():
    async with running(gateway_activation_retry="100ms", gateway_activation_timeout="300ms") as gateway:
        gateway.away.add("router")
        client = await gateway.connect()
        told = await client.refused("subscribe", channel="prices")
        assert (told["code"], told["retryable"]) == ("unavailable", True)
        await gateway.until(lambda: not gateway.wanted(), "the room is given up")
        gateway.away.clear()
        await client.subscribe("prices")


async def test_the_registry_is_told_who_came_what_they_hold_and_that_they_were_heard():
    async with running(gateway_heartbeat_interval="100ms") as gateway:
        client = await gateway.connect(headers={FORWARDED: "203.0.113.7"})
        await client.subscribe("prices", {"tokenIds": ["btc"]})
        await client.subscribe("prices", {"tokenIds": ["btc"]})
        await client.unsubscribe(channel="prices", filters={"tokenIds": ["btc"]})
        await gateway.until(lambda: gateway.events()[-1]["kind"] == "seen", "a heartbeat was answered")
        opened, *others = gateway.events()
        connection = (await client.expect("welcome"))["connectionId"]
        assert (opened["kind"], opened["connection"], opened["user"]) == ("opened", connection, "alice")
        assert opened["address"] == "203.0.113.7"
        assert KEY not in str(gateway.producer.written)
        kinds = [event["kind"] for event in others if event["kind"] != "seen"]
        assert kinds == ["subscribed", "unsubscribed"]
        assert others[-1]["connections"] == [connection]


async def test_a_connection_that_was_never_authenticated_is_no_matter_of_the_registry(gateway):
    client = await gateway.connect(None)
    await client.close()
    await gateway.until_empty()
    assert gateway.events() == []


async def test_connections_are_counted_until_the_last_has_ended(gateway):
    connections: Connections = gateway.app.connections
    assert connections.empty.is_set()
    client = await gateway.connect()
    assert (len(connections), connections.empty.is_set()) == (1, False)
    await client.close()
    await gateway.until(connections.empty.is_set, "none is left")
