"""History: reads what source partitions hold, beside the group that routes them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Protocol

from aiokafka.errors import KafkaTimeoutError

from common.channels import Channel
from common.endings import Endings
from common.errors import InvalidUpdate
from common.kafka import AIOKafkaConsumer, Kafka, KafkaError, TopicPartition
from common.updates import decode_update
from router.latest import Change, Removal
from router.recent import Entry
from router.replay import Bounds
from router.routing import SourceRecord
from router.sources import Source, Sources

_POLL_MS = 200
_SILENCE_SECONDS = 10.0
_ASK_SECONDS = 5.0


class NoLongerHeld(KafkaError):  # type: ignore[misc]  # aiokafka has no types
    """The partition begins beyond what was to be read: it was deleted as too old, perhaps while it was being read."""


class SourceLog(Protocol):
    """What source partitions hold. Raises `KafkaError` where the broker is away."""

    async def bounds(self, source: Source, *, named: int = -1) -> Bounds:
        """Where the partition begins and ends now. Looked at closely where `named`, an offset that somebody names, seems to be beyond."""
        ...

    def read(self, source: Source, offset: int) -> AsyncGenerator[tuple[Sequence[Change], int]]:
        """Updates and removals from an offset on, with the offset that follows. Goes on for ever: to be left by the caller.

        Raises `NoLongerHeld` rather than leave out what was deleted; what was compacted away is left out.
        """
        ...


class History:
    """`SourceLog` on Kafka."""

    def __init__(self, kafka: Kafka, sources: Sources) -> None:
        self._kafka = kafka
        self._sources = sources
        self._asking = asyncio.Lock()
        self._consumer: AIOKafkaConsumer | None = None
        self._endings = Endings()

    async def stop(self) -> None:
        consumer, self._consumer = self._consumer, None
        await self._endings.stop()
        if consumer is not None:
            await consumer.stop()

    async def bounds(self, source: Source, *, named: int = -1) -> Bounds:
        partition = self._sources.partition(source)
        async with self._answered(partition) as consumer:
            oldest, end = await asyncio.gather(
                consumer.beginning_offsets([partition]), consumer.end_offsets([partition])
            )
            least = end[partition]
            return Bounds(oldest[partition], least if named < least else await self.end(partition, least))

    async def end(self, partition: TopicPartition, least: int) -> int:
        """The offset that the next record will get, which is `least` or more: read, not asked.

        Tansu counts the last batch as one record when asked, so that what it says may be too low.
        """
        consumer = self._kafka.consumer(auto_offset_reset="earliest")
        try:
            await consumer.start()
            consumer.assign([partition])
            consumer.seek(partition, max(least - 1, 0))
            await consumer.getmany(partition, timeout_ms=_POLL_MS * 5)
            return max(least, consumer.highwater(partition) or 0)
        finally:
            with contextlib.suppress(KafkaError):
                await consumer.stop()

    async def read(self, source: Source, offset: int) -> AsyncGenerator[tuple[Sequence[Change], int]]:
        partition = self._sources.partition(source)
        consumer = self._kafka.consumer(auto_offset_reset="earliest", max_poll_records=1000)
        try:
            await consumer.start()
            consumer.assign([partition])
            consumer.seek(partition, offset)
            heard = asyncio.get_running_loop().time()
            while True:
                batch = await consumer.getmany(partition, timeout_ms=_POLL_MS)
                now = asyncio.get_running_loop().time()
                position = await consumer.position(partition)
                if position > offset:
                    records = batch.get(partition, ())
                    if (records[0].offset if records else position) > offset:
                        await self._check_held(partition, offset)
                    yield _changes(source, records), position
                    offset, heard = position, now
                elif now - heard > _SILENCE_SECONDS:
                    raise KafkaTimeoutError(f"nothing read from {partition} at {offset}")
        finally:
            with contextlib.suppress(KafkaError):
                await consumer.stop()

    async def _check_held(self, partition: TopicPartition, offset: int) -> None:
        """A consumer whose offset is gone goes on at the oldest one, without a word."""
        async with self._answered(partition) as consumer:
            oldest = (await consumer.beginning_offsets([partition]))[partition]
        if oldest > offset:
            raise NoLongerHeld(f"{partition} begins at {oldest}, beyond {offset}")

    @contextlib.asynccontextmanager
    async def _answered(self, partition: TopicPartition) -> AsyncIterator[AIOKafkaConsumer]:
        """The consumer to ask. Raises `KafkaTimeoutError` when no answer comes in time; then the next question goes another way.

        A connection that swallows everything is closed by aiokafka for a request that has waited as long as requests may, and by no
        other: with questions that are given up before, all that followed were lost on it too.
        """
        consumer = None
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                consumer = await self._asked()
                yield consumer
        except TimeoutError as error:
            if consumer is not None and consumer is self._consumer:
                self._endings.add(_stop_later(consumer))
                self._consumer = None
            raise KafkaTimeoutError(f"no answer about {partition}") from error

    async def _asked(self) -> AIOKafkaConsumer:
        """A consumer that reads nothing: on one that does, a question waits for the fetch before it."""
        async with self._asking:
            if self._consumer is None:
                consumer = self._kafka.consumer()
                try:
                    await consumer.start()
                except BaseException:
                    await consumer.stop()
                    raise
                self._consumer = consumer
            return self._consumer


async def _stop_later(consumer: AIOKafkaConsumer) -> None:
    """When the questions to it that are under way are answered or given up."""
    try:
        await asyncio.sleep(_ASK_SECONDS)
    finally:
        await consumer.stop()


def _changes(source: Source, records: Sequence[SourceRecord]) -> list[Change]:
    channel = Channel(source[0])
    return [change for record in records if (change := _change(channel, record)) is not None]


def _change(channel: Channel, record: SourceRecord) -> Change | None:
    """`None` for what was set aside as a dead letter."""
    if record.value is None:
        return Removal(record.offset, record.key) if record.key is not None else None
    with contextlib.suppress(InvalidUpdate):
        update = decode_update(record.value, channel=channel)
        return Entry(record.offset, record.timestamp, record.key, update)
    return None
