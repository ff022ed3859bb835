"""Reads this slot's partition of `deliveries` and hands each record to the hub; what comes while others are written to is one write."""

from __future__ import annotations

import asyncio
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

FLUSH_EVERY_FRAMES = 20_000
"""Frames that may be appended before they are written."""
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
                    for record in await ahead.take():
                        if record.value is not None:
                            await self._take(record.value, lease)
                    await self._flush()
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
        before = self._hub.counts.frames
        for _ in self._hub.delivering(delivery):
            await asyncio.sleep(0)
        self._measure(delivery)
        if self._hub.counts.frames - before >= FLUSH_EVERY_FRAMES:
            await self._flush()
            await asyncio.sleep(0)

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
