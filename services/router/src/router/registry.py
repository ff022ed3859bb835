"""Registry: keeps the records in Redis in step with what gateways tell, as a member of the group `router-registry`.

A batch is committed after it is written. Redis being away is waited for; a record that cannot be read is passed over.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from aiokafka import ConsumerRecord, TopicPartition
from faststream.kafka import KafkaMessage
from faststream.middlewares import AckPolicy
from pydantic import TypeAdapter, ValidationError

from common import metrics
from common.backoff import Backoff
from common.events import ConnectionEvent, SlotTaken, SubscriptionEvent
from common.faststream import KafkaBroker, subscriber_options
from common.logs import describe, get_logger
from common.redis import RedisError
from router.interest import Change, UnreadableInterest, read_interest
from router.records import Event, Records
from router.settings import RouterSettings

log = get_logger("registry")

KafkaRecord: TypeAlias = ConsumerRecord[Any, Any]
_BATCH_WAIT_MS = 20
"""A batch subscriber waits and then sleeps this long when there is nothing; the records lag by it at most."""
_BATCH_RECORDS = 1000
_GATHERING = {"fetch_min_bytes": 65536, "fetch_max_wait_ms": 100}
"""The records may lag by that wait, too: few large batches cost the broker, Redis and us less than many small ones."""

_connections: TypeAdapter[Event] = TypeAdapter(ConnectionEvent)
_subscriptions: TypeAdapter[Event] = TypeAdapter(SubscriptionEvent)


class Registry:
    def __init__(self, settings: RouterSettings, records: Records) -> None:
        topics = settings.topics()
        self._records = records
        self._interest_topic = topics.rooms_interest
        self._readers = {topics.connections_events: _connections, topics.subscriptions_events: _subscriptions}
        self._rereading: set[int] = set()

    @property
    def topics(self) -> tuple[str, ...]:
        return (*self._readers, self._interest_topic)

    async def handle(self, batch: Sequence[KafkaRecord], consumer: Any) -> None:
        """Write a batch, however long Redis is away. Idempotent."""
        backoff = Backoff()
        while True:
            try:
                await self._write(batch, consumer)
            except RedisError as error:
                log.warning("records_not_written", **describe(error))
                await asyncio.sleep(backoff.next())
            else:
                return

    async def _write(self, batch: Sequence[KafkaRecord], consumer: Any) -> None:
        events = [event for record in batch if (event := self._event(record)) is not None]
        await self._records.write(events)
        for kind, count in Counter(event.kind for event in events).items():
            metrics.router_registry_events_total.labels(kind).inc(count)
        await self._write_interest([record for record in batch if record.topic == self._interest_topic], consumer)

    def _event(self, record: KafkaRecord) -> Event | None:
        reader = self._readers.get(record.topic)
        if reader is None:
            return None
        try:
            return reader.validate_json(record.value or b"")
        except ValidationError as error:
            _passed_over(record, error)
            return None

    # Interest -------------------------------------------------------------------------------------------------------------

    async def _write_interest(self, batch: Sequence[KafkaRecord], consumer: Any) -> None:
        runs: dict[int, list[KafkaRecord]] = defaultdict(list)
        for record in batch:
            runs[record.partition].append(record)
        # Again from the start where Redis was emptied between the look and the write.
        while runs:
            seen = await self._records.interest_offsets()
            runs = {
                partition: records
                for partition, records in runs.items()
                if not self._must_reread(partition, records[0].offset, seen.get(partition, 0), consumer)
            }
            if not runs:
                return
            offsets = {partition: records[-1].offset + 1 for partition, records in runs.items()}
            changes = [change for records in runs.values() for each in records if (change := _change(each)) is not None]
            if await self._records.write_interest(changes, offsets, seen=seen):
                metrics.router_registry_events_total.labels("interest").inc(len(changes))
                await self._remove_older([change for change in changes if isinstance(change, SlotTaken)])
                return

    def _must_reread(self, partition: int, first: int, written: int, consumer: Any) -> bool:
        """Whether records before these are missing in Redis, which was emptied or put back: then read on from there.

        A gap that is still there when read again was made by compaction.
        """
        if first <= written or partition in self._rereading:
            self._rereading.discard(partition)
            return False
        log.info("interest_read_again", partition=partition, offset=written)
        self._rereading.add(partition)
        consumer.seek(TopicPartition(self._interest_topic, partition), written)
        return True

    async def _remove_older(self, taken: Sequence[SlotTaken]) -> None:
        """Connections that a slot's former gateways have left."""
        for each in taken:
            connections = await self._records.connections_of(each.slot)
            removed = await self._records.remove(each.slot, connections, below=each.epoch)
            if removed:
                log.info("connections_removed", slot=each.slot, connections=removed)


def subscribe(broker: KafkaBroker, registry: Registry, settings: RouterSettings) -> None:
    """Have the broker, once started, hand batches of the control topics to the registry."""
    subscriber = broker.subscriber(
        *registry.topics,
        group_id=f"{settings.topic_prefix}router-registry",
        batch=True,
        batch_timeout_ms=_BATCH_WAIT_MS,
        max_records=_BATCH_RECORDS,
        ack_policy=AckPolicy.NACK_ON_ERROR,
        no_reply=True,
        **subscriber_options(settings) | _GATHERING,
    )

    async def handle(message: KafkaMessage) -> None:
        records: Any = message.raw_message
        await registry.handle(records, message.consumer)

    subscriber(handle, parser=_plain, decoder=_undecoded)


async def _plain(records: tuple[KafkaRecord, ...], parse: Any) -> Any:
    """FastStream reads headers as UTF-8, where one that is not would cost the whole batch; what we read is the raw record."""
    message = await parse(tuple(replace(record, headers=()) if record.headers else record for record in records))
    message.raw_message = records
    return message


async def _undecoded(message: KafkaMessage) -> KafkaMessage:
    return message


def _change(record: KafkaRecord) -> Change | None:
    try:
        return read_interest(record.key, record.value, record.headers)
    except UnreadableInterest as error:
        _passed_over(record, error)
        return None


def _passed_over(record: KafkaRecord, error: Exception) -> None:
    where = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    log.warning("record_passed_over", **where, reason=str(error).replace("\n", " "))
