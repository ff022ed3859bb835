"""A producer that is made when first used, and anew after it has failed: one that failed may refuse everything from then on."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from common.kafka import AIOKafkaProducer, Kafka, KafkaError
from router.outgoing import Headers


class RenewedProducer:
    """For what is produced seldom and repeated by the caller. `send` raises `KafkaError`, at once or by the future."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._ending: set[asyncio.Task[None]] = set()

    async def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        partition: int | None = None,
        *,
        headers: Headers | None = None,
    ) -> asyncio.Future[object]:
        async with self._starting:
            if self._producer is None:
                self._producer = await self._kafka.start_producer()
            producer = self._producer
        future: asyncio.Future[object] = await producer.send(topic, value, key, partition, headers=headers)
        future.add_done_callback(lambda done: self._check(producer, done))
        return future

    async def stop(self) -> None:
        if self._producer is not None:
            await self._producer.stop()
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _check(self, producer: Any, done: asyncio.Future[object]) -> None:
        if done.cancelled() or done.exception() is None or producer is not self._producer:
            return
        self._producer = None
        ending = asyncio.ensure_future(_end(producer))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)


async def _end(producer: Any) -> None:
    with contextlib.suppress(KafkaError):
        await producer.stop()
