"""The servers that tests are given are what the product needs."""

from __future__ import annotations

import redis.asyncio as redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.support.fixtures import Isolation
from tests.support.servers import Servers


async def test_a_record_written_to_the_broker_is_read_back(
    servers: Servers, isolation: Isolation, admin: AIOKafkaAdminClient
) -> None:
    topic = f"{isolation.topic_prefix}probe"
    await admin.create_topics([NewTopic(topic, 1, 1)])
    async with AIOKafkaProducer(bootstrap_servers=servers.kafka) as producer:
        await producer.send_and_wait(topic, b"value", key=b"key")
    async with AIOKafkaConsumer(topic, bootstrap_servers=servers.kafka, auto_offset_reset="earliest") as consumer:
        record = await consumer.getone()
    assert (record.key, record.value) == (b"key", b"value")


async def test_a_module_begins_with_an_empty_database_that_is_not_the_default_one(isolation: Isolation) -> None:
    address = isolation.servers.redis
    async with redis.Redis(host=address.host, port=address.port, db=isolation.redis_db) as client:
        assert await client.dbsize() == 0
    assert isolation.redis_db > 0
