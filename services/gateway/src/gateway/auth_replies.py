"""Reads this slot's partition of `auth.replies`."""

from __future__ import annotations

import asyncio

from common.kafka import AIOKafkaConsumer, Kafka, KafkaError
from common.logs import describe, get_logger
from common.topics import Topics
from gateway.authentication import Authentication
from gateway.deliveries import open_at_end
from gateway.slot import Lease

log = get_logger("replies")


class RepliesReader:
    def __init__(self, kafka: Kafka, topics: Topics, authentication: Authentication) -> None:
        self._kafka = kafka
        self._topic = topics.auth_replies
        self._authentication = authentication

    async def open(self, lease: Lease) -> AIOKafkaConsumer:
        """A consumer that stands at the slot's end. Raises `KafkaError`."""
        return await open_at_end(self._kafka, self._topic, lease.slot)

    async def run(self, consumer: AIOKafkaConsumer) -> None:
        """Hand decisions to who asked, until cancelled."""
        while True:
            try:
                fetched = await consumer.getmany(timeout_ms=1000)
            except KafkaError as error:
                log.warning("auth_replies_not_read", **describe(error))
                await asyncio.sleep(0.2)
                continue
            for records in fetched.values():
                for record in records:
                    if record.value is not None:
                        self._authentication.replied(record.value)
