"""The Python client against the real services: its examples run, and it loses nothing at the death of a gateway."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from defistream import Client, Subscription
from deploy.local.settings import HOST, Address
from tests.support.forwarder import Forwarder
from tests.support.producer import Producer
from tests.support.samples import unique, update
from tests.support.system import System

EXAMPLES = Path(__file__).parents[2] / "clients/python/examples"
LIMIT = 30.0


async def take(subscription: Subscription, count: int) -> list[str]:
    """The ids of the next updates."""
    async with asyncio.timeout(LIMIT):
        return [(await anext(subscription)).id for _ in range(count)]


async def test_overlapping_subscriptions_miss_nothing_when_their_gateway_is_killed(own_system: System):
    gateways = own_system.start_all(gateways=2).gateways
    token = unique("token")
    async with (
        Forwarder(Address(HOST, gateways[0].port)) as front,
        own_system.producer() as producer,
    ):
        await front.open()

        async def publish(values: range) -> list[str]:
            return [(await producer.publish(update("prices", tokenId=token, value=value))).id for value in values]

        async with (
            Client(f"ws://{front.address}/v2/realtime", own_system.key()) as client,
            client.subscribe("prices", token_ids=[token]) as every,
            client.subscribe("prices", min_value=10) as dear,
        ):
            published = await publish(range(20))
            assert await take(every, 20) == published
            assert await take(dear, 10) == published[10:]
            front.target = Address(HOST, gateways[1].port)
            gateways[0].kill()
            missed = await publish(range(20))
            assert await take(every, 20) == missed
            assert await take(dear, 10) == missed[10:]
            live = await publish(range(9, 12))
            assert await take(every, 3) == live
            assert await take(dear, 2) == live[1:]


async def test_a_snapshot_is_taken_apart_from_what_follows(system: System, producer: Producer):
    chain, protocols = unique("chain"), [unique("protocol") for _ in range(5)]
    for value, protocol in enumerate(protocols):
        await producer.publish(update("tvl", protocolId=protocol, chains=[chain], value=value))
    async with (
        Client(system.gateway.realtime, system.key()) as client,
        client.subscribe("tvl", chains=[chain], min_value=2, snapshot=True) as tvl,
    ):
        async with asyncio.timeout(LIMIT):
            last = await tvl.catch_up()
        assert sorted(str(one.protocol_id) for one in last) == sorted(protocols[2:])
        live = await producer.publish(update("tvl", protocolId=protocols[0], chains=[chain], value=7))
        assert await take(tvl, 1) == [live.id]


async def test_an_expired_cursor_of_another_stream_gives_last_values_where_they_were_asked_for_too(
    system: System, producer: Producer
):
    token = unique("token")
    published = await producer.publish(update("prices", tokenId=token, value=5))
    async with Client(system.gateway.realtime, system.key()) as client:
        prices = client.subscribe("prices", token_ids=[token], since="zzzz.0:999999,1:999999,2:999999", snapshot=True)
        async with asyncio.timeout(LIMIT):
            assert [one.id for one in await prices.catch_up()] == [published.id]


@asynccontextmanager
async def example(system: System, name: str, count: int, **environment: str) -> AsyncIterator[Process]:
    """One of the client's examples, running."""
    given = {"DEFISTREAM_URL": system.gateway.realtime, "DEFISTREAM_API_KEY": system.key(), **environment}
    command = (sys.executable, "-u", str(EXAMPLES / name), str(count))
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **given}, stdout=PIPE, stderr=PIPE)
    try:
        async with asyncio.timeout(LIMIT):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


UPDATES = [
    update("prices", tokenId="ethereum", value=0.05),
    update("tvl", protocolId="aave-v3", chains=["base"], value=2e9),
    update("liquidations", protocolId="uniswap", value=5.0),
]


async def publish_until(ended: asyncio.Task[tuple[bytes, bytes]], producer: Producer) -> None:
    while not ended.done():
        for one in UPDATES:
            await producer.publish(one)
        await asyncio.wait([ended], timeout=0.2)


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
async def test_an_example_runs_against_the_services(system: System, producer: Producer, tmp_path: Path, name: str):
    async with example(system, name, 2, CURSOR_FILE=str(tmp_path / "cursor")) as process, asyncio.TaskGroup() as group:
        ended = group.create_task(process.communicate())
        group.create_task(publish_until(ended, producer))
    out, err = ended.result()
    assert (process.returncode, err) == (0, b"")
    assert out.count(b"\n") >= 2


async def test_the_resuming_example_goes_on_after_a_restart(system: System, producer: Producer, tmp_path: Path):
    async def run(count: int) -> list[str]:
        async with example(system, "resume.py", count, CURSOR_FILE=str(saved)) as process:
            out, _ = await process.communicate()
        return [line.split()[0] for line in out.decode().splitlines()]

    saved = tmp_path / "cursor"
    async with Client(system.gateway.realtime, system.key()) as client, client.subscribe("liquidations") as now:
        saved.write_text(now.cursor or "")
    protocol = unique("protocol")
    published = [
        (await producer.publish(update("liquidations", protocolId=protocol, value=value))).id for value in range(6)
    ]
    assert [*await run(2), *await run(4)] == published
