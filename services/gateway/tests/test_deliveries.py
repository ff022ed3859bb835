"""The slot's partition of `deliveries`: read from its end on, older epochs are dropped, a newer one ends the tenancy."""

import asyncio
from dataclasses import dataclass

import pytest

from common.clock import SystemClock
from common.deliveries import VERSION, Delivery, Segment, encode_delivery
from common.identifiers import FencingEpoch, Slot
from common.kafka import Kafka
from gateway import deliveries
from gateway.deliveries import DeliveriesReader
from gateway.positions import Positions
from gateway.settings import GatewaySettings
from gateway.slot import Lease
from services.gateway.tests.roles import STREAM, RecordingInterest, RecordingMember, hub_of, routed, tokens
from services.gateway.tests.servers import settings_for
from tests.support.waiting import eventually

BTC = tokens("btc")
LEASE = Lease(Slot(1), FencingEpoch(5))


def delivery(*offsets: int, epoch: int = 5) -> bytes:
    segment = Segment("prices", 0, 1, STREAM, [routed(offset, BTC) for offset in offsets])
    return encode_delivery(Delivery(VERSION, epoch, 0, [segment]))


@dataclass(frozen=True, slots=True)
class Record:
    value: bytes


class Fetched:
    """A consumer that has these records, all at once, and nothing after them."""

    def __init__(self, *values: bytes) -> None:
        self._records = [Record(value) for value in values]

    async def getmany(self, timeout_ms: int) -> dict[int, list[Record]]:
        if not self._records:
            await asyncio.Event().wait()
        records, self._records = self._records, []
        return {0: records}


class World:
    """A hub with one member of one room, that reads slot 1 under epoch 5."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.kafka, self.topics = Kafka(settings, client="test"), settings.topics()
        interest, positions, clock = RecordingInterest(), Positions(), SystemClock()
        self.hub = hub_of(interest, positions, clock, partitions=1)
        self.member = RecordingMember()
        self.hub.register(self.member)
        self.hub.join(self.member, (BTC,), done=lambda: None, failed=print)
        self.hub.activation.activated(BTC.id, 0, 1)
        self.reader = DeliveriesReader(self.kafka, self.topics, self.hub, clock)

    async def start(self) -> None:
        await self.kafka.ensure_topics(self.topics.specs())
        self.producer = await self.kafka.start_producer()

    async def send(self, *offsets: int, epoch: int = 5, slot: int = 1, value: bytes | None = None) -> None:
        value = value or delivery(*offsets, epoch=epoch)
        await self.producer.send_and_wait(self.topics.deliveries, value, partition=slot)


@pytest.fixture
async def world(isolation):
    world = World(settings_for(isolation))
    await world.start()
    yield world
    await world.producer.stop()


async def got(world: World, *bodies: str) -> None:
    async def holds() -> bool:
        return world.member.got == list(bodies)

    await eventually(holds, f"the member has {bodies}")


async def test_from_its_end_on_the_slot_is_read_and_what_is_not_ours_is_passed_over(world):
    await world.send(0)
    consumer = await world.reader.open(LEASE)
    reading = asyncio.create_task(world.reader.run(consumer, LEASE))
    await world.send(1, slot=2)
    await world.send(2, epoch=4)
    await world.send(value=b"nonsense")
    await world.send(3, 4)
    await got(world, "3", "4")
    assert world.member.writes == [[b"\x81\x013", b"\x81\x014"]]
    reading.cancel()
    await consumer.stop()


async def test_a_delivery_under_a_newer_epoch_ends_the_reading(world):
    consumer = await world.reader.open(LEASE)
    reading = asyncio.create_task(world.reader.run(consumer, LEASE))
    await world.send(0)
    await world.send(1, epoch=6)
    async with asyncio.timeout(10):
        await reading
    assert world.member.got == ["0"]
    await consumer.stop()


@pytest.mark.parametrize(
    ("frames", "size", "writes"),
    [(2, 1, [2, 2, 1]), (1, len(delivery(0)) * 3, [3, 2]), (2, 10**6, [5]), (10**6, 1, [5])],
    ids=["both, frames last", "both, bytes last", "many frames alone", "many bytes alone"],
)
async def test_what_came_at_once_is_one_write_up_to_so_many_frames_of_so_many_bytes(
    world, monkeypatch, frames, size, writes
):
    monkeypatch.setattr(deliveries, "_FLUSH_FRAMES", frames)
    monkeypatch.setattr(deliveries, "_FLUSH_BYTES", size)
    reading = asyncio.create_task(world.reader.run(Fetched(*map(delivery, range(5))), LEASE))
    await got(world, *"01234")
    reading.cancel()
    assert [len(each) for each in world.member.writes] == writes


async def test_deliveries_that_are_not_there_any_more_end_the_reading(world, servers):
    if servers.kind == "embedded":
        pytest.skip("the embedded broker has nothing to say to a fetch beyond the end")
    consumer = await world.reader.open(LEASE)
    (partition,) = consumer.assignment()
    consumer.seek(partition, 1_000_000)
    async with asyncio.timeout(10):
        await world.reader.run(consumer, LEASE)
    await consumer.stop()
