"""Reads this slot's partition of `auth.replies`."""

from __future__ import annotations

from common.kafka import AIOKafkaConsumer, Kafka
from common.topics import Topics
from gateway.authentication import Authentication
from gateway.deliveries import open_at_end
from gateway.polling import poll
from gateway.slot import Lease


class RepliesReader:
    def __init__(self, kafka: Kafka, topics: Topics, authentication: Authentication) -> None:
        self._kafka = kafka
        self._topic = topics.auth_replies
        self._authentication = authentication

    async def open(self, lease: Lease) -> AIOKafkaConsumer:
        """A consumer that stands at the slot's end. Raises `KafkaError`."""
        return await open_at_end(self._kafka.consumer(), self._topic, lease.slot)

    async def run(self, consumer: AIOKafkaConsumer) -> None:
        """Hand decisions to who asked, until cancelled."""
        while True:
            for record in await poll(consumer, "auth replies"):
                if record.value is not None:
                    self._authentication.replied(record.value)
