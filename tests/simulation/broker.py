"""A Kafka in memory: logs, producers whose records wait until the world lets them through, consumers that see what the world shows them.

It keeps what the product relies on (order in a partition, commits of a member of the group only, offsets that never come back), and
leaves to the world what a real one leaves open: when a record arrives, when it is acknowledged, when it is fetched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple
from zlib import crc32

from aiokafka.errors import CommitFailedError, IllegalStateError

from common.clock import ManualClock
from common.kafka import Commit, KafkaError, TopicPartition


class Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Sequence[tuple[str, bytes]]


class Log:
    """One partition. `start` is the oldest offset that is still held."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.start = 0

    @property
    def end(self) -> int:
        return len(self.records)


class Broker:
    """`partitions`: topic -> how many it has. `committed` is of the router group."""

    def __init__(self, clock: ManualClock, partitions: Mapping[str, int]) -> None:
        self.clock = clock
        self.logs = {
            TopicPartition(topic, number): Log() for topic, count in partitions.items() for number in range(count)
        }
        self.partitions = dict(partitions)
        self.committed: dict[TopicPartition, Commit] = {}
        self.watchers: list[Consumer] = []

    def append(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> Record:
        if partition is None:
            partition = crc32(key or b"") % self.partitions[topic]
        log = self.logs[TopicPartition(topic, partition)]
        record = Record(topic, partition, log.end, key, value, self.clock.now_ms(), tuple(headers))
        log.records.append(record)
        return record


class Kafka:
    """`common.kafka.Kafka` of one process. Once it is `cut`, nothing goes in or out."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.cut = False
        self.producers: list[Producer] = []
        self.consumers: list[Consumer] = []
        self.group: Any = None

    def consumer(self, **options: Any) -> Any:
        consumer = Consumer(self, grouped="group_id" in options)
        self.consumers.append(consumer)
        return consumer

    async def start_producer(self, **_options: Any) -> Any:
        self.check()
        producer = Producer(self)
        self.producers.append(producer)
        return producer

    async def committed(
        self, _group: str, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, Commit | None]:
        self.check()
        return {each: self.broker.committed.get(each) for each in partitions}

    async def topic_ids(self, _consumer: Any, _names: Collection[str]) -> dict[str, bytes]:
        """None, as a broker that gives topics no ids."""
        self.check()
        return {}

    def check(self) -> None:
        if self.cut:
            raise KafkaError("cut off")


class Sent(NamedTuple):
    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None
    headers: Sequence[tuple[str, bytes]]
    future: asyncio.Future[Any]


class Producer:
    """`waiting` is on its way to the broker, `written` is there and not acknowledged yet."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self.waiting: list[Sent] = []
        self.written: list[tuple[Sent, Record]] = []

    async def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        partition: int | None = None,
        *,
        headers: Sequence[tuple[str, bytes]] | None = None,
    ) -> asyncio.Future[Any]:
        self._kafka.check()
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if topic in self._kafka.broker.partitions:
            self.waiting.append(Sent(topic, key, value, partition, headers or (), future))
        else:
            future.set_result(None)
        return future

    async def stop(self) -> None:
        """What waits is given up: whether it was written, nobody learns."""
        for sent in [*self.waiting, *(sent for sent, _record in self.written)]:
            sent.future.cancel()
        self.waiting.clear()
        self.written.clear()
        if self in self._kafka.producers:
            self._kafka.producers.remove(self)

    def write(self, most: int) -> None:
        """So many records arrive at the broker."""
        for _ in range(min(most, len(self.waiting))):
            sent = self.waiting.pop(0)
            record = self._kafka.broker.append(
                sent.topic, sent.key, sent.value, partition=sent.partition, headers=sent.headers
            )
            self.written.append((sent, record))

    def acknowledge(self) -> None:
        for sent, record in self.written:
            if not sent.future.done():
                sent.future.set_result(record)
        self.written.clear()

    def fail(self) -> None:
        """No acknowledgement comes, neither of what was written nor of what was not."""
        for sent in [*self.waiting, *(sent for sent, _record in self.written)]:
            if not sent.future.done():
                sent.future.set_exception(KafkaError("not acknowledged"))
        self.waiting.clear()
        self.written.clear()


class Consumer:
    """One that is in the group sees what the world has shown it (`show`); others see what there is."""

    def __init__(self, kafka: Kafka, *, grouped: bool) -> None:
        self._kafka = kafka
        self.grouped = grouped
        self.slow = grouped
        self.shown: dict[TopicPartition, int] = {}
        self.positions: dict[TopicPartition, int] = {}
        self.paused: set[TopicPartition] = set()
        self.generation = -1
        self.rejoining = False
        self.listener: Any = None
        self.most = 100
        self._awake: asyncio.Future[None] | None = None
        self._client = self

    # Of the client itself, for `partitions_of`.

    async def fetch_all_metadata(self) -> Any:
        return self

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(self._kafka.broker.partitions[topic]))

    async def start(self) -> None:
        self._kafka.check()
        if self.grouped:
            self._kafka.group.add(self)

    async def stop(self) -> None:
        if self.grouped and not self._kafka.cut:
            self._kafka.group.remove(self)
        if self in self._kafka.consumers:
            self._kafka.consumers.remove(self)

    def subscribe(self, *, topics: Sequence[str], listener: Any) -> None:
        self.listener = listener

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        self.positions = dict.fromkeys(partitions, 0)
        self.shown = dict.fromkeys(partitions, 0)

    def assignment(self) -> set[TopicPartition]:
        return set(self.positions)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.positions[partition] = offset

    async def seek_to_end(self, *partitions: TopicPartition) -> None:
        for each in partitions:
            self.positions[each] = self._log(each).end

    async def position(self, partition: TopicPartition) -> int:
        return self.positions[partition]

    def highwater(self, partition: TopicPartition) -> int:
        return self._log(partition).end

    def pause(self, *partitions: TopicPartition) -> None:
        self.paused.update(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self.paused.difference_update(partitions)
        self.wake()

    async def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        self._kafka.check()
        return {each: self._log(each).start for each in partitions}

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        self._kafka.check()
        return {each: self._log(each).end for each in partitions}

    async def commit(self, offsets: Mapping[TopicPartition, tuple[int, str]]) -> None:
        self._kafka.check()
        await asyncio.sleep(0)
        self._kafka.check()
        if not self.positions.keys() >= offsets.keys():
            raise IllegalStateError("not assigned")
        if not self._kafka.group.may_commit(self):
            raise CommitFailedError("not a member of this generation")
        self._kafka.broker.committed.update({each: Commit(*commit) for each, commit in offsets.items()})

    async def getmany(self, *partitions: TopicPartition, timeout_ms: int = 0) -> dict[TopicPartition, list[Record]]:
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_ms / 1000
        while True:
            self._kafka.check()
            found = {} if self.rejoining else self._fetch(partitions or tuple(self.positions))
            if found or loop.time() >= until:
                return found
            await self._sleep(until)

    def _fetch(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, list[Record]]:
        found: dict[TopicPartition, list[Record]] = {}
        for each in partitions:
            log = self._log(each)
            if each in self.paused or each not in self.positions:
                continue
            # As `auto_offset_reset="earliest"` has it.
            at = max(self.positions[each], log.start)
            end = min(self.shown.get(each, 0), log.end) if self.slow else log.end
            if records := log.records[at : min(end, at + self.most)]:
                found[each] = records
                self.positions[each] = at + len(records)
        return found

    async def _sleep(self, until: float) -> None:
        loop = asyncio.get_running_loop()
        self._awake = loop.create_future()
        timer = loop.call_at(until, self.wake)
        self._kafka.broker.watchers.append(self)
        try:
            await self._awake
        finally:
            timer.cancel()
            self._awake = None
            self._kafka.broker.watchers.remove(self)

    def wake(self) -> None:
        if self._awake is not None and not self._awake.done():
            self._awake.set_result(None)

    def show(self, ahead: int | None = None) -> None:
        """A fetch comes back, with all that there is, or with so much more than was seen before."""
        for each in self.positions:
            end = self._log(each).end
            self.shown[each] = (
                end if ahead is None else min(end, max(self.shown.get(each, 0), self.positions[each]) + ahead)
            )
        self.wake()

    def _log(self, partition: TopicPartition) -> Log:
        return self._kafka.broker.logs[partition]
