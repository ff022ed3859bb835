"""Reads `auth.revocations` whole, then on: a revoked key is refused and its connections are closed, on every gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pydantic import ValidationError

from common.events import Revocation
from common.identifiers import KeyHash
from common.kafka import AIOKafkaConsumer, Kafka, TopicPartition, at_end, partitions_of
from common.logs import describe, get_logger
from common.topics import Topics
from gateway.polling import fetch, poll

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
                self._take(await fetch(consumer))
        except BaseException:
            await consumer.stop()
            raise
        return consumer

    async def run(self, consumer: AIOKafkaConsumer) -> None:
        """Take revocations until cancelled."""
        while True:
            self._take(await poll(consumer, "revocations"))

    def _take(self, records: Iterable[Any]) -> None:
        for record in records:
            if record.value is None:
                continue
            try:
                revocation = Revocation.model_validate_json(record.value)
            except ValidationError as error:
                log.warning("revocation_unreadable", offset=record.offset, **describe(error))
            else:
                self._revoked(revocation.key_hash)
