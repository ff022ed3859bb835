"""Writes the run's updates, and reads back what the topics hold: the truth to which clients are held."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterator
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from tests.faults.judge import Entry
from tests.faults.updates import Record, deliverable, marks
from tests.support.samples import TYPES

MOST_WAITING = 3000
"""Records without an acknowledgement; at it, writing waits."""

READ_SECONDS = 60.0


class Stream:
    """A producer that writes at a steady rate. `acknowledged`: channel, partition and offset of each record that the broker has."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.acknowledged: set[tuple[str, int, int]] = set()
        self.failed = 0
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", retry_backoff_ms=200)
        self._waiting: set[asyncio.Task[None]] = set()
        self._enough = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def write(self, records: Iterator[Record], rate: float) -> None:
        """Until `finish`."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in itertools.count():
            if self._enough.is_set():
                return
            await asyncio.sleep(max(0.0, began + number / rate - loop.time()))
            if len(self._waiting) < MOST_WAITING:
                self._spawn(next(records))

    async def finish(self) -> None:
        """Write no more; return when each record is acknowledged, or has failed."""
        self._enough.set()
        while self._waiting:
            await asyncio.wait(self._waiting)

    async def write_marks(self, users: dict[str, list[str]]) -> list[tuple[str, str, dict[str, Any]]]:
        """Marks on each partition of each channel, behind all that was written: channel, id and update of each.

        Each is an entity of its own: a slow connection is spared none of them.
        """
        written = []
        for channel in TYPES:
            topic = self._topic(channel)
            for partition in sorted(await self._producer.partitions_for(topic)):
                for number, value in enumerate(marks(channel, users[channel])):
                    key = f"marker-{number}".encode()
                    record = await self._producer.send_and_wait(topic, value, key, partition)
                    update = deliverable(value)
                    assert update is not None
                    written.append((channel, f"{partition}:{record.offset}", update))
        return written

    async def read(self) -> dict[str, list[Entry]]:
        """All that the topics hold."""
        return {channel: await self._read(self._topic(channel)) for channel in TYPES}

    async def _read(self, topic: str) -> list[Entry]:
        entries: list[Entry] = []
        async with (
            AIOKafkaConsumer(bootstrap_servers=self._bootstrap, auto_offset_reset="earliest") as consumer,
            asyncio.timeout(READ_SECONDS),
        ):
            numbers = await self._producer.partitions_for(topic)
            partitions = [TopicPartition(topic, number) for number in numbers]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            while any([await consumer.position(each) < ends[each] for each in partitions]):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    entries += [_entry(record) for record in records]
        return sorted(entries, key=lambda entry: entry.place)

    def _spawn(self, record: Record) -> None:
        task = asyncio.create_task(self._send(record))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _send(self, record: Record) -> None:
        # Not acknowledged is not promised; whether it was written all the same, the topic tells.
        self.failed += 1
        with contextlib.suppress(KafkaError):
            key = None if record.key is None else record.key.encode()
            written = await self._producer.send_and_wait(self._topic(record.channel), record.value, key)
            self.acknowledged.add((record.channel, written.partition, written.offset))
            self.failed -= 1

    def _topic(self, channel: str) -> str:
        return f"{self._prefix}updates.{channel}"


def _entry(record: Any) -> Entry:
    key = None if record.key is None else record.key.decode()
    return Entry(record.partition, record.offset, key, deliverable(record.value), record.timestamp / 1000)
