"""Reads `auth.revocations` whole, then on: a revoked key is refused and its connections are closed, on every gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pydantic import ValidationError

from common.events import Revocation
from common.identifiers import KeyHash
from common.kafka import AIOKafkaConsumer, Kafka, KafkaError, TopicPartition, at_end, partitions_of
from common.logs import describe, get_logger
from common.topics import Topics

log = get_logger("revocations")


class RevocationsReader:
    """`revoked(key_hash)` is called for each revocation, old and new, and must be idempotent."""

    def __init__(self, kafka: Kafka, topics: Topics, *, revoked: Callable[[KeyHash], None]) -> None:
        self._kafka = kafka
        self._topic = topics.auth_revocations
        self._revoked = revoked

    async def open(self) -> AIOKafkaConsumer:
        """A consumer that has taken every revocation made before this call. Raises `KafkaError`."""
        consumer = self._kafka.consumer()
        try:
            await consumer.start()
            partitions = [TopicPartition(self._topic, number) for number in await partitions_of(consumer, self._topic)]
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            while not await at_end(consumer, partitions):
                await self._take(consumer)
        except BaseException:
            await consumer.stop()
            raise
        return consumer

    async def run(self, consumer: AIOKafkaConsumer) -> None:
        """Take revocations until cancelled."""
        while True:
            try:
                await self._take(consumer)
            except KafkaError as error:
                log.warning("revocations_not_read", **describe(error))
                await asyncio.sleep(0.2)

    async def _take(self, consumer: AIOKafkaConsumer) -> None:
        fetched = await consumer.getmany(timeout_ms=1000)
        for records in fetched.values():
            for record in records:
                if record.value is None:
                    continue
                try:
                    revocation = Revocation.model_validate_json(record.value)
                except ValidationError as error:
                    log.warning("revocation_unreadable", offset=record.offset, **describe(error))
                else:
                    self._revoked(revocation.key_hash)
