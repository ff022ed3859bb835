"""Kafka or Redis away for a while: sockets stay open, clients are told, and nothing that was acknowledged is missing afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiokafka.errors import KafkaError

from deploy.local.ports import accepts, free_port
from deploy.local.processes import Child, start
from deploy.local.servers import FETCH_MAX_WAIT, tansu
from deploy.local.settings import HOST, Address, LocalError
from tests.support.client import Client
from tests.support.connect import Connect
from tests.support.producer import Producer, Published
from tests.support.samples import unique, update
from tests.support.system import System
from tests.support.waiting import eventually, wait_until

AWAY_SECONDS = float(os.environ.get("OUTAGE_SECONDS", "6"))
"""How long a backend is away at least; longer by hand."""
TOLD_WITHIN = 15.0
BACK_WITHIN = 10.0


@dataclass(frozen=True, slots=True)
class Broker:
    """An embedded broker of the test's own, which can be stopped and continued."""

    child: Child
    address: Address

    def freeze(self) -> None:
        self.child.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.child.process.send_signal(signal.SIGCONT)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    address = Address(HOST, free_port())
    try:
        child = start(tansu(address.port), tmp_path / "kafka.log")
    except LocalError as error:
        pytest.skip(str(error))
    broker = Broker(child, address)
    try:
        wait_until(lambda: accepts(address), "the broker answers", limit=20)
        yield broker
    finally:
        broker.thaw()
        child.stop()


async def _keep_publishing(producer: Producer, token: str, published: list[Published]) -> None:
    """One update after the other, each noted once Kafka has it."""
    for number in range(1_000_000):
        with contextlib.suppress(KafkaError):
            published.append(await producer.publish(update("prices", tokenId=token, value=number)))
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def _publishing(producer: Producer, token: str) -> AsyncIterator[list[Published]]:
    published: list[Published] = []
    task = asyncio.create_task(_keep_publishing(producer, token, published))
    try:
        yield published
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _more_come(client: Client, published: list[Published], *, within: float) -> None:
    """Return when an update that is published from now on has come."""
    before = len(published)
    await eventually(_longer(published, before), "Kafka takes updates again", limit=within)
    await client.expect_updates(published[before], within=within)


def _longer(published: list[Published], than: int) -> Callable[[], Awaitable[bool]]:
    async def longer() -> bool:
        return len(published) > than

    return longer


def _is_past(moment: float) -> Callable[[], Awaitable[bool]]:
    async def is_past() -> bool:
        return time.monotonic() >= moment

    return is_past


async def test_a_kafka_that_stalls_costs_no_socket_and_no_update(own_system: System, broker: Broker):
    own_system.environment = {
        **own_system.environment,
        "KAFKA_BOOTSTRAP_SERVERS": str(broker.address),
        "KAFKA_FETCH_MAX_WAIT": FETCH_MAX_WAIT,
        "GATEWAY_ACTIVATION_TIMEOUT": "2s",
        "GATEWAY_AUTH_REPLY_TIMEOUT": "2s",
    }
    await own_system.start_all_meanwhile()
    async with own_system.producer() as producer, Connect(own_system) as connect:
        client, token = await connect(), unique("token")
        await client.subscribe("prices", {"tokenIds": [token]})
        async with _publishing(producer, token) as published:
            await _more_come(client, published, within=10)
            broker.freeze()
            back_at = time.monotonic() + AWAY_SECONDS
            await client.expect("notice", code="degraded", within=TOLD_WITHIN)
            assert (await client.refused("subscribe", channel="tvl"))["code"] == "unavailable"
            refused = await connect.unauthenticated()
            await refused.send({"type": "auth", "apiKey": own_system.key()})
            assert await refused.closed() == 4004
            await eventually(_is_past(back_at), "the outage has lasted", limit=2 * AWAY_SECONDS)
            broker.thaw()
            await _more_come(client, published, within=BACK_WITHIN)
            await client.expect("notice", code="recovered", within=BACK_WITHIN)
            await client.subscribe("tvl")
            await connect()
        await client.expect_updates(*published)
        assert [name for name, times in Counter(client.update_ids).items() if times > 1] == []
        assert client.is_open
    await asyncio.to_thread(own_system.close)
