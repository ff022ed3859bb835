"""Polling a consumer that reads assigned partitions, as all readers of topics here do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Self

from aiokafka.errors import OffsetOutOfRangeError

from common.kafka import AIOKafkaConsumer, KafkaError
from common.logs import describe, get_logger

log = get_logger("polling")

_WAIT_MS = 1000
_PAUSE_SECONDS = 0.2
_AHEAD_SECONDS = 0.01
_MOST_AHEAD_BYTES = 4 * 1024 * 1024
"""Of values that wait; a fetch more (1 MiB) may be held."""


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


class ReadingAhead:
    """Polls on while what it has read is worked on, so that what comes meanwhile is there at once, and together.

    A consumer left alone has one fetch under way, which ends with the first record: after long work that is all there is, and the rest a
    round trip away. While nobody waits it polls only every 10 ms: a fetch costs as much as thirty writes.
    """

    def __init__(self, poll: Callable[[], Awaitable[list[Any]]]) -> None:
        self._poll = poll
        self._records: list[Any] = []
        self._bytes = 0
        self._came, self._taken = asyncio.Event(), asyncio.Event()

    async def __aenter__(self) -> Self:
        self._reading = asyncio.create_task(self._read())
        self._reading.add_done_callback(lambda _: self._came.set())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def take(self) -> list[Any]:
        """All that was read since the last call, once a poll has ended. Raises what a poll raised, after all that was read before."""
        self._taken.set()
        await self._came.wait()
        records, self._records, self._bytes = self._records, [], 0
        if not self._reading.done():
            self._came.clear()
        elif not records:
            self._reading.result()
        return records

    async def _read(self) -> None:
        while True:
            records = await self._poll()
            # Not in one statement, which would add to the list that was there before the poll.
            self._records += records
            self._bytes += sum(len(record.value or b"") for record in records)
            self._taken.clear()
            self._came.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_AHEAD_SECONDS if self._bytes < _MOST_AHEAD_BYTES else None):
                    await self._taken.wait()
