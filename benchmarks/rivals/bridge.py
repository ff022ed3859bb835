"""From a Kafka topic to nchan, as an integrator would: consume, and `POST` each record to the room that its key names."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiokafka import AIOKafkaConsumer

from benchmarks.rivals.nchan import Publisher


@contextlib.asynccontextmanager
async def bridged(broker: str, topic: str, port: int) -> AsyncIterator[None]:
    """Records are posted while the context lasts, from the topic's end on."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=broker, auto_offset_reset="latest")
    await consumer.start()
    publisher = await Publisher.connect(port)
    posting = asyncio.create_task(_post(consumer, publisher))
    try:
        yield
    finally:
        posting.cancel()
        await asyncio.gather(posting, return_exceptions=True)
        publisher.close()
        await consumer.stop()


async def _post(consumer: AIOKafkaConsumer, publisher: Publisher) -> None:
    while True:
        for records in (await consumer.getmany(timeout_ms=1000)).values():
            for record in records:
                publisher.put(record.key.decode(), record.value)
            await publisher.answered()
