"""The interest log on a real broker: caught up means everything that was there."""

from __future__ import annotations

import asyncio

from common.channels import Channel
from common.identifiers import Slot
from common.kafka import Kafka
from common.topics import interest_key
from router.interest import InterestFold
from router.interest_log import InterestLog
from services.router.tests.outside import settings_for
from services.router.tests.strategies import interest, room
from tests.support.fixtures import Isolation

ROOMS = [room(Channel.PRICES, {"tokenIds": [f"token-{number}"]}) for number in range(50)]


async def test_catching_up_reads_the_whole_of_a_last_batch_of_many(isolation: Isolation):
    settings = settings_for(isolation)
    kafka, topics = Kafka(settings, client="test"), settings.topics()
    await kafka.ensure_topics(topics.specs())
    producer = await kafka.start_producer()
    # Sent before any is awaited, so as few batches as there are partitions.
    sent = [await producer.send(topics.rooms_interest, _record(number), _key(number)) for number in range(len(ROOMS))]
    await asyncio.gather(*sent)
    fold = InterestFold()
    log = InterestLog(kafka, topics, fold)
    await log.start()
    reading = asyncio.create_task(log.run(lambda _found: None))
    async with asyncio.timeout(20):
        await log.catch_up()
    assert len(fold.index) == len(ROOMS)
    reading.cancel()
    await log.stop()
    await producer.stop()


def _key(number: int) -> bytes:
    return interest_key(Slot(0), ROOMS[number].id)


def _record(number: int) -> bytes:
    return interest(ROOMS[number], request=number).encode()
