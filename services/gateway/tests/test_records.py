"""Control records reach Kafka in their order, whatever becomes of the broker meanwhile, and are known to be there."""

import asyncio

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaError

from common.kafka import Kafka, TopicPartition
from common.topics import TopicSpec
from gateway.records import MAX_WAITING, Records
from services.gateway.tests.roles import MemoryProducer
from services.gateway.tests.sending import sending
from services.gateway.tests.servers import settings_for


class Refusing(MemoryProducer):
    """A broker that is away for the first sends."""

    def __init__(self, refusals: int) -> None:
        super().__init__()
        self.refusals = refusals

    async def send(self, topic, value, *, key=None, headers=None):
        if self.refusals:
            self.refusals -= 1
            raise KafkaConnectionError
        return await super().send(topic, value, key=key)


class Failing(MemoryProducer):
    """A broker that takes records and never has them."""

    async def send(self, topic, value, *, key=None, headers=None):
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        failed.set_exception(KafkaError("lost"))
        return failed


async def test_records_wait_until_there_is_a_producer_and_keep_their_order():
    records, producer = Records(), MemoryProducer()
    for number in range(100):
        records.put("t", b"key", str(number).encode())
    async with sending(records, producer):
        await records.flushed()
    assert [record.value for record in producer.written] == [str(number).encode() for number in range(100)]


async def test_a_broker_that_is_away_loses_and_reorders_nothing():
    records, producer = Records(), Refusing(1)
    async with sending(records, producer):
        for number in range(3):
            records.put("t", b"key", str(number).encode())
        await records.flushed()
    assert [record.value for record in producer.written] == [b"0", b"1", b"2"]


async def test_who_put_a_record_is_told_where_it_is():
    records, told = Records(), []
    async with sending(records, MemoryProducer()):
        for _ in range(2):
            records.put("t", None, b"", acknowledged=lambda partition, offset: told.append((partition, offset)))
        await records.flushed()
    assert told == [(0, 0), (0, 1)]


async def test_a_record_that_failed_is_told_to_nobody_and_held_up_nothing():
    records, told = Records(), []
    async with sending(records, Failing()):
        records.put("t", None, b"", acknowledged=lambda partition, offset: told.append((partition, offset)))
        await records.flushed()
    assert told == []


async def test_nothing_to_send_is_flushed():
    async with asyncio.timeout(5):
        await Records().flushed()


async def test_new_work_is_turned_away_at_the_bound():
    records = Records()
    for _ in range(MAX_WAITING - 1):
        records.put("t", None, None)
    assert not records.is_full
    records.put("t", None, None)
    assert records.is_full


@pytest.fixture
async def kafka(isolation):
    settings = settings_for(isolation)
    kafka = Kafka(settings, client="test")
    await kafka.ensure_topics([TopicSpec(settings.topics().rooms_interest, 1)])
    return kafka, settings.topics().rooms_interest


async def test_in_kafka_they_stand_in_the_order_of_the_calls_with_their_offsets(kafka):
    kafka, topic = kafka
    records, told = Records(), []
    producer = await kafka.start_producer()
    async with sending(records, producer):
        for number in range(200):
            value = None if number % 3 == 0 else str(number).encode()
            records.put(
                topic, b"7:room", value, acknowledged=lambda partition, offset: told.append((partition, offset))
            )
        await records.flushed()
    await producer.stop()
    assert told == [(0, offset) for offset in range(200)]
    async with asyncio.timeout(20), kafka.consumer(auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.seek_to_beginning()
        found = [(await consumer.getone()).value for _ in range(200)]
    assert found == [None if number % 3 == 0 else str(number).encode() for number in range(200)]
