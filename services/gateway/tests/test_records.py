"""Control records reach Kafka in their order, whatever becomes of the broker meanwhile, and are known to be there."""

import asyncio

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaError
from hypothesis import given
from hypothesis import strategies as st

from common.kafka import Kafka, TopicPartition
from common.topics import TopicSpec
from gateway.records import MAX_WAITING, Records
from services.gateway.tests.roles import MemoryProducer, examples
from services.gateway.tests.sending import sending
from services.gateway.tests.servers import settings_for


class Refusing(MemoryProducer):
    """A broker that is away for the first sends."""

    def __init__(self, refusals: int) -> None:
        super().__init__()
        self.refusals = refusals

    async def send(self, topic, value, key=None, *, headers=None):
        if self.refusals:
            self.refusals -= 1
            raise KafkaConnectionError
        return await super().send(topic, value, key)


class Failing(MemoryProducer):
    """A broker that takes records and has lost some of them when it is to acknowledge: the sends of these numbers."""

    def __init__(self, *lost: int) -> None:
        super().__init__()
        self.lost = set(lost)
        self.sends = 0

    async def send(self, topic, value, key=None, *, headers=None):
        self.sends += 1
        if self.sends - 1 not in self.lost:
            return await super().send(topic, value, key)
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


async def test_a_record_that_was_lost_is_sent_again_and_what_follows_it_as_well():
    records, producer, told = Records(), Failing(1, 3), []
    for number in range(4):
        records.put("t", b"key", str(number).encode(), acknowledged=lambda _partition, offset: told.append(offset))
    async with sending(records, producer):
        await records.flushed()
        assert records.is_idle
    # 0 and 2 of the first four arrived, then all from 1 on.
    assert [record.value for record in producer.written] == [b"0", b"2", b"1", b"2", b"3"]
    assert told == [0, 1, 2, 3, 4]


@examples
@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.sets(st.integers(0, 60), max_size=20))
async def test_the_last_record_of_each_key_is_the_last_that_was_put_whatever_is_lost(keys, lost):
    records, producer = Records(patience=0.0), Failing(*lost)
    for number, key in enumerate(keys):
        records.put("t", str(key).encode(), str(number).encode())
    async with sending(records, producer):
        await records.flushed()
    last = {record.key: record.value for record in producer.written}
    assert last == {str(key).encode(): str(number).encode() for number, key in enumerate(keys)}


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
