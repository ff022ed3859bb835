"""Reads this slot's partition of `auth.replies`."""

from __future__ import annotations

import asyncio

from common.kafka import AIOKafkaConsumer, Kafka
from common.topics import Topics
from gateway.authentication import Authentication
from gateway.deliveries import open_at_end
from gateway.polling import poll
from gateway.slot import Lease

_TURN_SECONDS = 0.002
"""Of deciding at a time: whoever is let in writes, and each decision may be for many."""


class RepliesReader:
    def __init__(self, kafka: Kafka, topics: Topics, authentication: Authentication) -> None:
        self._kafka = kafka
        self._topic = topics.auth_replies
        self._authentication = authentication
        self._came = asyncio.Event()

    async def open(self, lease: Lease) -> AIOKafkaConsumer:
        """A consumer that stands at the slot's end. Raises `KafkaError`."""
        return await open_at_end(self._kafka.consumer(), self._topic, lease.slot)

    async def run(self, consumer: AIOKafkaConsumer) -> None:
        """Hand decisions to who asked, until cancelled. What comes is read meanwhile: handing out may take longer than auth may."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._hand_out())
            while True:
                for record in await poll(consumer, "auth replies"):
                    if record.value is not None:
                        self._authentication.replied(record.value)
                self._came.set()

    async def _hand_out(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._came.wait()
            self._came.clear()
            begun = loop.time()
            for _ in self._authentication.handing_out():
                if loop.time() - begun > _TURN_SECONDS:
                    await asyncio.sleep(0)
                    begun = loop.time()
