"""A gateway as the auth service sees it: it asks by `auth.requests` and reads its own partition of `auth.replies`."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from common.events import AuthReply, AuthRequest, Decision
from common.identifiers import FencingEpoch, KeyHash, Slot
from common.kafka import AIOKafkaConsumer, AIOKafkaProducer, Kafka, TopicPartition
from common.settings import CommonSettings


class AskingGateway:
    def __init__(
        self, settings: CommonSettings, slot: Slot, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer
    ) -> None:
        self.topics = settings.topics()
        self.slot = slot
        # New for each, as a gateway's: replies to one that was here before are not ours.
        self.epoch = FencingEpoch(time.time_ns())
        self.producer = producer
        self._consumer = consumer
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Decision]] = {}

    async def ask(self, key_hash: KeyHash, *, limit: float = 15.0) -> Decision:
        async with asyncio.timeout(limit):
            return await (await self.send(key_hash))

    async def ask_all(self, hashes: Sequence[KeyHash], *, limit: float = 15.0) -> list[Decision]:
        async with asyncio.timeout(limit):
            return list(await asyncio.gather(*[await self.send(key_hash) for key_hash in hashes]))

    async def send(
        self, key_hash: KeyHash, *, at_ms: int | None = None, slot: int | None = None
    ) -> asyncio.Future[Decision]:
        """Write a request; the future is its decision."""
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        at = time.time_ns() // 1_000_000 if at_ms is None else at_ms
        request = AuthRequest(
            request=number, slot=Slot(self.slot if slot is None else slot), epoch=self.epoch, key_hash=key_hash, at=at
        )
        await self.write(request.encode(), key=key_hash.encode())
        return self._waiting[number]

    async def write(
        self, value: bytes | None, *, key: bytes = b"key", headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """Write to auth.requests whatever it is."""
        await self.producer.send(self.topics.auth_requests, value, key=key, headers=headers)

    async def read(self) -> None:
        """Hand replies to those who wait, until cancelled."""
        while True:
            for records in (await self._consumer.getmany(timeout_ms=1000)).values():
                for record in records:
                    reply = AuthReply.model_validate_json(record.value)
                    ours = reply.epoch == self.epoch
                    waiting = self._waiting.pop(reply.request, None) if ours else None
                    if waiting is not None and not waiting.done():
                        waiting.set_result(reply.decision)


@asynccontextmanager
async def asking_gateway(settings: CommonSettings, slot: int = 3) -> AsyncIterator[AskingGateway]:
    """One in this slot, with the topics there, reading what is written from now on."""
    kafka = Kafka(settings, client="asking")
    await kafka.ensure_topics(settings.topics().specs())
    producer, consumer = await kafka.start_producer(), kafka.consumer()
    await consumer.start()
    partition = TopicPartition(settings.topics().auth_replies, slot)
    consumer.assign([partition])
    await consumer.seek_to_end(partition)
    gateway = AskingGateway(settings, Slot(slot), producer, consumer)
    reading = asyncio.create_task(gateway.read())
    try:
        yield gateway
    finally:
        reading.cancel()
        await consumer.stop()
        await producer.stop()
