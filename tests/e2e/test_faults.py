"""Processes that die, stall, leave and join; servers that go away: nothing acknowledged is missing, and the system heals by itself."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from deploy.local.settings import Address
from tests.support.client import Client
from tests.support.connect import Connect
from tests.support.forwarder import Forwarder
from tests.support.producer import Producer, Published
from tests.support.records import Records
from tests.support.routers import two_routers
from tests.support.samples import unique, update
from tests.support.system import Service, System
from tests.support.waiting import eventually

CHANNELS = ["prices", "alerts"]
FLOW_AGAIN_SECONDS = 15.0
AWAY_SECONDS = float(os.environ.get("OUTAGE_SECONDS", "0"))
"""How long Redis is away at least; longer by hand."""


@dataclass(slots=True)
class Stream:
    """Updates of one token over all partitions of two channels, each noted once Kafka has it."""

    token: str
    published: list[Published] = field(default_factory=list)

    def places(self) -> set[tuple[str, int]]:
        return {(each.channel, each.partition) for each in self.published}

    def last(self) -> dict[tuple[str, int], int]:
        """The highest acknowledged offset of each partition."""
        return {(each.channel, each.partition): each.offset for each in self.published}


@contextlib.asynccontextmanager
async def _stream(producer: Producer) -> AsyncIterator[Stream]:
    """Publishes until the context ends."""
    stream = Stream(unique("token"))
    places = [(channel, partition) for channel in CHANNELS for partition in await producer.partitions(channel)]

    async def publish() -> None:
        for number, (channel, partition) in enumerate(itertools.cycle(places)):
            published = await producer.publish(update(channel, tokenId=stream.token, value=number), partition=partition)
            stream.published.append(published)

    task = asyncio.create_task(publish())
    try:
        yield stream
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _listeners(system: System, connect: Connect, token: str) -> list[Client]:
    """One client at each gateway that hears the whole stream."""
    clients = [await connect(gateway=gateway) for gateway in system.gateways]
    for client in clients:
        for channel in CHANNELS:
            await client.subscribe(channel, {"tokenIds": [token]})
    return clients


async def _flows(client: Client, stream: Stream, *, within: float = 10.0) -> None:
    """Return when every partition has delivered an update that was published from now on."""
    before = dict.fromkeys(stream.places(), -1) | stream.last()

    def delivered() -> bool:
        heard = {
            (channel, int(part)): int(offset)
            for channel, (part, offset) in ((c, i.split(":")) for c, i in client.update_ids)
        }
        return bool(before) and all(heard.get(place, -1) > offset for place, offset in before.items())

    await client.until(delivered, "every partition flows", within=within)


async def _all_came_once(clients: list[Client], published: list[Published]) -> None:
    """Each update since the client's first of its partition came, and none twice."""
    for client in clients:
        first: dict[tuple[str, int], int] = {}
        for channel, update_id in client.update_ids:
            partition, offset = map(int, update_id.split(":"))
            first.setdefault((channel, partition), offset)
        due = [each for each in published if each.offset >= first[each.channel, each.partition]]
        await client.expect_updates(*due, within=FLOW_AGAIN_SECONDS)
        assert [name for name, times in Counter(client.update_ids).items() if times > 1] == []


async def test_router_that_joins_loses_and_repeats_nothing(system: System, connect: Connect, producer: Producer):
    async with _stream(producer) as stream:
        clients = await _listeners(system, connect, stream.token)
        await _flows(clients[0], stream)
        await two_routers(system)
        await _flows(clients[0], stream, within=FLOW_AGAIN_SECONDS)
    await _all_came_once(clients, stream.published)


async def test_router_that_leaves_loses_and_repeats_nothing(system: System, connect: Connect, producer: Producer):
    first, _second = await two_routers(system)
    async with _stream(producer) as stream:
        clients = await _listeners(system, connect, stream.token)
        await _flows(clients[0], stream)
        assert await asyncio.to_thread(first.stop) == 0
        await _flows(clients[0], stream, within=FLOW_AGAIN_SECONDS)
    await _all_came_once(clients, stream.published)


async def test_updates_flow_again_within_15_s_of_a_killed_router_and_none_acknowledged_is_missing(
    system: System, connect: Connect, producer: Producer
):
    _first, second = await two_routers(system)
    async with _stream(producer) as stream:
        clients = await _listeners(system, connect, stream.token)
        await _flows(clients[0], stream)
        second.kill()
        for client in clients:
            await _flows(client, stream, within=FLOW_AGAIN_SECONDS)
    await _all_came_once(clients, stream.published)


async def test_subscribing_works_again_after_a_killed_router(system: System, connect: Connect, producer: Producer):
    _first, second = await two_routers(system)
    second.kill()
    client, token = await connect(), unique("token")
    until = time.monotonic() + FLOW_AGAIN_SECONDS
    answer = await client.command("subscribe", channel="alerts", filters={"tokenIds": [token]})
    while answer["type"] == "error":
        assert (answer["code"], answer["retryable"]) == ("unavailable", True)
        assert time.monotonic() < until
        answer = await client.command("subscribe", channel="alerts", filters={"tokenIds": [token]})
    published = [await producer.publish(update("alerts", tokenId=token), partition=partition) for partition in range(4)]
    await client.expect_updates(*published)


async def test_killed_gateway_leaves_the_others_clients_undisturbed(
    system: System, connect: Connect, producer: Producer
):
    doomed = await system.start_meanwhile("gateway")
    async with _stream(producer) as stream:
        clients = await _listeners(system, connect, stream.token)
        lost = clients.pop()
        await _flows(clients[0], stream)
        doomed.kill()
        await lost.closed()
        assert lost.close_code == 1006
        await _flows(clients[0], stream)
    await _all_came_once(clients, stream.published)


async def test_stalled_gateway_whose_slot_was_taken_closes_its_connections_and_serves_again(
    system: System, connect: Connect, producer: Producer, records: Records
):
    gateway = await system.start_meanwhile("gateway", slot_lease="5s")
    client = await connect(gateway=gateway)
    connection_id = client.messages[0]["connectionId"]
    await records.until_recorded(connection_id)
    gateway.freeze()
    try:
        await records.until_gone(connection_id, limit=20)
    finally:
        gateway.thaw()
    assert await client.closed(within=15) == 4004
    await asyncio.to_thread(gateway.wait_ready)
    again, token = await connect(gateway=gateway), unique("token")
    await again.subscribe("prices", {"tokenIds": [token]})
    await again.expect_updates(await producer.publish(update("prices", tokenId=token)))
    assert await asyncio.to_thread(gateway.stop) == 0


async def test_updates_flow_while_redis_is_away_and_all_are_ready_when_it_is_back(own_system: System):
    given, key = own_system.environment, own_system.key()
    async with Forwarder(Address(given["REDIS_HOST"], int(given["REDIS_PORT"]))) as forwarder:
        await forwarder.open()
        own_system.environment = {
            **given,
            "REDIS_HOST": forwarder.address.host,
            "REDIS_PORT": str(forwarder.address.port),
        }
        await own_system.start_all_meanwhile()
        async with own_system.producer() as producer, Connect(own_system) as connect:
            client, token = await connect(key), unique("token")
            await client.subscribe("prices", {"tokenIds": [token]})
            await forwarder.close()
            await eventually(lambda: _lacks(own_system.gateway, "redis"), "the gateway misses Redis", limit=20)
            await client.expect("notice", code="degraded")
            back_at, partitions, published = time.monotonic() + AWAY_SECONDS, await producer.partitions("prices"), 0
            while published < len(partitions) or time.monotonic() < back_at:
                which = partitions[published % len(partitions)]
                await client.expect_updates(await producer.publish(update("prices", tokenId=token), partition=which))
                published += 1
            other = unique("token")
            await client.subscribe("prices", {"tokenIds": [other]})
            await client.expect_updates(await producer.publish(update("prices", tokenId=other)))
            await forwarder.open()
            for service in own_system.services:
                await asyncio.to_thread(service.wait_ready)
            await client.expect("notice", code="recovered")
            await connect(key)
            assert client.is_open
            assert len(client.update_ids) == len(set(client.update_ids)) == published + 1
        await asyncio.to_thread(own_system.close)


async def _lacks(service: Service, dependency: str) -> bool:
    readiness = await asyncio.to_thread(service.readiness)
    return readiness is not None and readiness["dependencies"].get(dependency) != "ok"
