"""Polling a consumer that reads assigned partitions, as all readers of topics here do."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.errors import OffsetOutOfRangeError

from common.kafka import AIOKafkaConsumer, KafkaError
from common.logs import describe, get_logger

log = get_logger("polling")

_WAIT_MS = 1000
_PAUSE_SECONDS = 0.2


async def fetch(consumer: AIOKafkaConsumer) -> list[Any]:
    """The records that have come, in order within each partition; none after a second without. Raises `KafkaError`."""
    fetched = await consumer.getmany(timeout_ms=_WAIT_MS)
    return [record for records in fetched.values() for record in records]


async def poll(consumer: AIOKafkaConsumer, what: str) -> list[Any]:
    """The same for a loop: a failure is logged and brings none. Raises `OffsetOutOfRangeError` where the consumer resets no offsets."""
    try:
        return await fetch(consumer)
    except OffsetOutOfRangeError:
        raise
    except KafkaError as error:
        log.warning("records_not_read", what=what, **describe(error))
        await asyncio.sleep(_PAUSE_SECONDS)
        return []
