"""The interest log: reads all of `rooms.interest` into the fold, and says when it has come to the end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from common import metrics
from common.backoff import Backoff
from common.channels import SYSTEM, Channel
from common.events import StreamCreated
from common.kafka import AIOKafkaConsumer, Kafka, KafkaError, TopicPartition, partitions_of
from common.logs import describe, get_logger
from common.topics import Topics, stream_key
from router.epochs import epoch_after
from router.interest import InterestFold, Taken, UnreadableInterest, Wanted, read_interest
from router.outgoing import Publisher

log = get_logger("interest")

_POLL_MS = 1000
_LOOK_SECONDS = 0.25
STREAMS = (*(channel.value for channel in Channel), SYSTEM)


class InterestLog:
    """Keeps the fold in step with the topic. No group: every router reads every partition."""

    def __init__(self, kafka: Kafka, topics: Topics, fold: InterestFold) -> None:
        self.fold = fold
        self._kafka = kafka
        self._topic = topics.rooms_interest
        self._consumer: AIOKafkaConsumer | None = None
        self._moved = asyncio.Condition()

    async def start(self) -> None:
        """Begin at the offsets that the fold has read to. Raises `KafkaError` when the broker is away."""
        consumer = self._kafka.consumer(auto_offset_reset="earliest", max_poll_records=5000)
        try:
            await consumer.start()
            numbers = await partitions_of(consumer, self._topic)
            partitions = [TopicPartition(self._topic, number) for number in numbers]
            consumer.assign(partitions)
            await self._seek(consumer, partitions)
        except BaseException:
            await consumer.stop()
            raise
        self._consumer = consumer

    async def stop(self) -> None:
        if self._consumer is not None:
            await self._consumer.stop()

    async def run(self, answer: Callable[[Sequence[Wanted | Taken]], None]) -> None:
        """Read until cancelled; what is to be answered is told in the order of the records."""
        assert self._consumer is not None
        backoff = Backoff()
        while True:
            try:
                batch = await self._consumer.getmany(timeout_ms=_POLL_MS)
            except KafkaError as error:
                log.warning("interest_unreadable", **describe(error))
                await asyncio.sleep(backoff.next())
                continue
            backoff.reset()
            if batch:
                found = [
                    each
                    for records in batch.values()
                    for record in records
                    if (each := self._apply(record)) is not None
                ]
                metrics.router_rooms.set(len(self.fold.index))
                answer(found)
                async with self._moved:
                    self._moved.notify_all()

    async def catch_up(self) -> None:
        """Return when everything is read that was in the topic at the call. Raises `KafkaError` when the end cannot be asked."""
        assert self._consumer is not None
        consumer = self._consumer
        partitions = sorted(consumer.assignment())
        await self._read_to(await consumer.end_offsets(partitions))
        # Tansu tells an end that is too low, by up to the last batch; that was fetched as a whole by now, and with it the right end.
        await self._read_to({each: consumer.highwater(each) or 0 for each in partitions})

    async def _read_to(self, ends: Mapping[TopicPartition, int]) -> None:
        assert self._consumer is not None
        while behind := [each for each, end in ends.items() if self.fold.read.get(each.partition, 0) < end]:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS), self._moved:
                    await self._moved.wait()
                continue
            # Compaction may have removed the last records: then the position passes the end without one.
            for each in behind:
                self.fold.read[each.partition] = max(
                    self.fold.read.get(each.partition, 0), await self._consumer.position(each)
                )

    async def check(self) -> None:
        """Raises `KafkaError` when the broker does not answer."""
        assert self._consumer is not None
        await self._consumer.end_offsets(sorted(self._consumer.assignment())[:1])

    async def ensure_streams(
        self,
        publisher: Publisher,
        ids: Mapping[str, bytes],
        *,
        made: Collection[str] = (),
        rewound: Collection[str] = (),
    ) -> None:
        """See that each channel has a stream epoch, of the topic that it has now (`router.epochs`); wait until it is read.

        To be called after `catch_up`. Raises `KafkaError`.
        """
        known = self.fold.streams
        changed: dict[str, str] = {}
        for channel in STREAMS:
            before, topic_id = known.get(channel), ids.get(channel)
            is_new = channel in rewound or (channel in made and topic_id is None)
            epoch = epoch_after(before, topic_id, is_new=is_new)
            if epoch != before:
                changed[channel] = epoch
        for channel, epoch in changed.items():
            record = StreamCreated(channel=channel, epoch=epoch)
            await (await publisher.send(self._topic, record.encode(), stream_key(channel)))
        if changed:
            log.info("streams_begun", channels=sorted(changed))
            await self.catch_up()

    async def _seek(self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> None:
        """Go on where the fold has come to; from the beginning where it knows of another topic, made anew since."""
        ends = await consumer.end_offsets(partitions)
        read = self.fold.read
        same = {each.partition for each in partitions} == set(read)
        if read and not (same and all(read[each.partition] <= ends[each] for each in partitions)):
            log.warning("interest_topic_made_anew")
            self.fold.clear()
        for each in partitions:
            consumer.seek(each, self.fold.read.setdefault(each.partition, 0))

    def _apply(self, record: Any) -> Wanted | Taken | None:
        self.fold.read[record.partition] = record.offset + 1
        try:
            change = read_interest(record.key, record.value, record.headers)
            return self.fold.apply(change) if change is not None else None
        except UnreadableInterest as error:
            log.warning("interest_record_skipped", **describe(error))
            return None
