"""Every revocation is known before the first connection is served, and new ones as they come."""

import asyncio

import pytest

from common.events import Revocation
from common.identifiers import KeyHash
from common.kafka import Kafka
from gateway.revocations import RevocationsReader
from gateway.settings import GatewaySettings
from services.gateway.tests.servers import settings_for
from tests.support.waiting import eventually


class World:
    def __init__(self, settings: GatewaySettings) -> None:
        self.kafka, self.topics = Kafka(settings, client="test"), settings.topics()
        self.revoked: list[str] = []
        self.reader = RevocationsReader(self.kafka, self.topics, revoked=self.revoked.append)

    async def start(self) -> None:
        await self.kafka.ensure_topics(self.topics.specs())
        self.producer = await self.kafka.start_producer()

    async def write(self, name: str, value: bytes | None = None) -> None:
        value = value or Revocation(key_hash=KeyHash(name), at=1).encode()
        await self.producer.send_and_wait(self.topics.auth_revocations, value, key=name.encode())


@pytest.fixture
async def world(isolation):
    world = World(settings_for(isolation))
    await world.start()
    yield world
    await world.producer.stop()


async def test_those_made_before_are_known_once_it_is_open_and_the_unreadable_pass(world):
    await world.write("a")
    await world.write("b", b"{")
    await world.write("c")
    consumer = await world.reader.open()
    assert world.revoked == ["a", "c"]
    await consumer.stop()


async def test_of_an_empty_topic_it_is_open_at_once_and_new_ones_are_told_as_they_come(world):
    consumer = await world.reader.open()
    assert world.revoked == []
    reading = asyncio.create_task(world.reader.run(consumer))
    await world.write("a")
    await world.write("b", b"nonsense")
    await world.write("c")

    async def told():
        return world.revoked == ["a", "c"]

    await eventually(told, "both revocations")
    reading.cancel()
    await consumer.stop()
