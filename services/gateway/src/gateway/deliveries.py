"""Reads this slot's partition of `deliveries` and hands each record to the hub; what comes while others are written to is one write."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka.errors import OffsetOutOfRangeError

from common import metrics
from common.clock import Clock
from common.deliveries import Delivery, Routed, UnreadableDelivery, decode_delivery
from common.errors import DefistreamError
from common.kafka import AIOKafkaConsumer, Kafka, TopicPartition
from common.logs import describe, get_logger
from common.topics import Topics
from gateway.hub import Hub
from gateway.polling import ReadingAhead, poll
from gateway.slot import Lease

log = get_logger("deliveries")

_FLUSH_FRAMES, _FLUSH_BYTES = 20_000, 64 * 1024
"""Once what was taken is so many frames and its records so many bytes, it is written before more is taken. Not by frames alone: one
update makes 10,000 in a large room. By bytes as they bound what a member gets in one write: what a transport holds, and a record more.
"""
_WRITES_A_TURN = 250
"""Connections that are written to before others have their turn: 2 ms of small writes, 10 ms of a replay's."""


class Gap(DefistreamError):
    """Deliveries that were not read are not there any more: what connections missed they can only get by their cursors."""


class Fenced(DefistreamError):
    """The slot is leased under a newer epoch."""


class DeliveriesReader:
    def __init__(self, kafka: Kafka, topics: Topics, hub: Hub, clock: Clock) -> None:
        self._kafka = kafka
        self._topic = topics.deliveries
        self._hub = hub
        self._clock = clock

    async def open(self, lease: Lease) -> AIOKafkaConsumer:
        """A consumer that stands at the slot's end: what came before is for whoever had the slot. Raises `KafkaError`."""
        # Never on from somewhere else by itself: that would be a silent gap.
        return await open_at_end(self._kafka.consumer(auto_offset_reset="none"), self._topic, lease.slot)

    async def run(self, consumer: AIOKafkaConsumer, lease: Lease) -> None:
        """Deliver until cancelled; or until a delivery names a newer epoch of the slot, as it is another gateway's then, or the
        broker does not have what comes next, be it that this gateway stood still for longer than deliveries are kept.
        """
        async with ReadingAhead(lambda: self._poll(consumer)) as ahead:
            try:
                while True:
                    await self._take_all(await ahead.take(), lease)
            except Gap:
                log.warning("deliveries_lost", slot=lease.slot)
            except Fenced:
                log.warning("slot_fenced", slot=lease.slot, epoch=lease.epoch)
            finally:
                self._hub.flush()

    @staticmethod
    async def _poll(consumer: AIOKafkaConsumer) -> list[Any]:
        try:
            return await poll(consumer, "deliveries")
        except OffsetOutOfRangeError as error:
            raise Gap(str(error)) from error

    async def _take_all(self, records: Sequence[Any], lease: Lease) -> None:
        frames, size = self._hub.counts.frames, 0
        for record in records:
            if record.value is None:
                continue
            await self._take(record.value, lease)
            size += len(record.value)
            if size >= _FLUSH_BYTES and self._hub.counts.frames - frames >= _FLUSH_FRAMES:
                await self._flush()
                await asyncio.sleep(0)
                frames, size = self._hub.counts.frames, 0
        await self._flush()

    async def _take(self, value: bytes, lease: Lease) -> None:
        try:
            delivery = decode_delivery(value)
        except UnreadableDelivery as error:
            log.warning("delivery_unreadable", slot=lease.slot, **describe(error))
            return
        if delivery.slot_epoch != lease.epoch:
            metrics.gateway_fenced_total.labels(reason="slot").inc()
            if delivery.slot_epoch > lease.epoch:
                raise Fenced
            return
        for _ in self._hub.delivering(delivery):
            await asyncio.sleep(0)
        self._measure(delivery)

    async def _flush(self) -> None:
        for _ in self._hub.flushing(_WRITES_A_TURN):
            await asyncio.sleep(0)

    def _measure(self, delivery: Delivery) -> None:
        """One observation a segment, of its newest update: the histogram is not worth a call for each."""
        now_ms = self._clock.now_ms()
        for segment in delivery.segments:
            newest = segment.items[-1] if segment.items else None
            if isinstance(newest, Routed):
                metrics.gateway_delivery_seconds.observe(max(0.0, (now_ms - newest.produced_at) / 1000))


async def open_at_end(consumer: AIOKafkaConsumer, topic: str, partition: int) -> AIOKafkaConsumer:
    """The consumer, started, with one partition and at its end. Raises `KafkaError`."""
    try:
        await consumer.start()
        assigned = TopicPartition(topic, partition)
        consumer.assign([assigned])
        await consumer.seek_to_end(assigned)
        # Resolve the end now: what is asked for after this call must not be skipped.
        await consumer.position(assigned)
    except BaseException:
        await consumer.stop()
        raise
    return consumer
